"""What makes a password too weak. https://pages.nist.gov/800-63-4/sp800-63b.html#passwordver"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

SHORTEST = 10
LONGEST = 256
_SHORTEST_NAME = 3
"""Two letters are in almost every phrase."""

# What guessers try first; digits, signs and look-alikes around and in them do not help.
_WORDS = (
    "password passwort contrasena contraseña clave qwerty qwertyuiop azerty asdfghjkl zxcvbnm letmein welcome "
    "bienvenido iloveyou teamo tequiero admin administrator superman batman spiderman pokemon dragon monkey "
    "football baseball basketball futbol barcelona realmadrid liverpool chelsea princess princesa sunshine shadow "
    "master starwars computer internet trustno one secret hospital doctor health salud medical clinic changeme "
    "default michael jennifer jessica charlie daniel alejandro abcdefgh abcdefghij passpass whatever freedom cookie "
    "summer winter spring autumn verano invierno november december january february september october "
)
_COMMON = frozenset(_WORDS.split())
_LOOK_ALIKES = str.maketrans("0134578@$!", "oieastbasi")
_RUNS = ("0123456789012345678901234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm")


def weakness(password: str, personal: Iterable[str | None]) -> str | None:
    """Return the key of the text that says why a password is refused; it must not contain what is `personal`."""
    if len(password) < SHORTEST:
        return "password_short"
    if len(password) > LONGEST:
        return "password_long"
    folded = _folded(password)
    if any(part in folded for part in _parts(personal)):
        return "password_personal"
    return "password_common" if _is_common(folded) else None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _parts(personal: Iterable[str | None]) -> list[str]:
    words = [word for text in personal if text for word in re.split(r"[\s@]+", _folded(text))]
    return [word for word in words if len(word) >= _SHORTEST_NAME]


def _is_common(folded: str) -> bool:
    if len(set(folded)) <= 3 or any(folded in run or folded in run[::-1] for run in _RUNS):
        return True
    bare = re.sub(r"[\W\d_]+", "", folded)
    likened = re.sub(r"[\W\d_]+", "", folded.rstrip("0123456789!?.*#$").translate(_LOOK_ALIKES))
    return not bare or any(word in _COMMON or _repeats(word) for word in (bare, likened))


def _repeats(word: str) -> bool:
    return any(word == word[:size] * (len(word) // size) for size in range(1, len(word) // 2 + 1))
