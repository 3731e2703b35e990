"""The one policy of new passwords, at sign-up, at a change, after a reset and on the command line.

Long enough, not made of the person's own name or address, and hard to guess by the measure of zxcvbn; nothing is
demanded of the kinds of characters. https://pages.nist.gov/800-63-4/sp800-63b.html#passwordver
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Iterable

from zxcvbn import zxcvbn

SHORTEST = 10
LONGEST = 256
"""A longer one would make hashing a way to keep the server busy."""
_SCORE = 3
_JUDGED = 72
"""Characters that zxcvbn looks at; it takes up to 0.12 s for as many."""
_SHORTEST_NAME = 4
"""Shorter names are parts of many words: "ana" is in "banana"."""

_NAME_MARKS = re.compile(r"[-\u2010\u2011'\u2019]")
"""What joins the parts of a double name, and of O'Brien."""

# What zxcvbn's English lists lack: words that guessers of a hospital's Spanish-speaking patients try first.
_LOCAL_WORDS = (
    "contrasena contraseña clave bienvenido teamo tequiero futbol barcelona realmadrid princesa verano invierno "
    "primavera otono hospital doctor health salud medical clinic clinica medico paciente enfermera passwort"
)

TEXTS = {
    "password_short": f"A password has at least {SHORTEST} characters.",
    "password_long": f"A password has at most {LONGEST} characters.",
    "password_personal": "A password must not contain the user's name or address.",
    "password_common": "This password is too easy to guess.",
}


def weakness(password: str, personal: Iterable[str | None] = ()) -> str | None:
    """Return the key of TEXTS that says why a password is refused, or None; it must not contain what is `personal`."""
    if len(password) > LONGEST:
        return "password_long"
    plain, words = _folded(password), _words(personal)
    if min(len(password), len(plain)) < SHORTEST:
        return "password_short"
    if any(word in plain for word in words):
        return "password_personal"
    judged = zxcvbn(plain[:_JUDGED], user_inputs=[*words, *_LOCAL_WORDS.split()])
    return None if judged["score"] >= _SCORE else "password_common"


async def weakness_of(password: str, personal: Iterable[str | None] = ()) -> str | None:
    """Return the same, found in a thread."""
    return await asyncio.to_thread(weakness, password, list(personal))


def _folded(text: str) -> str:
    """Return the text without case and accents: "José" is in "jose"."""
    marked = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFKC", "".join(each for each in marked if not unicodedata.combining(each)))


def _words(personal: Iterable[str | None]) -> list[str]:
    wholes = [whole for text in personal if text for whole in re.split(r"[\s@]+", _folded(text))]
    parts = [part for whole in wholes for part in _NAME_MARKS.split(whole)]
    return [word for word in dict.fromkeys([*wholes, *parts]) if len(word) >= _SHORTEST_NAME]
