"""Texts in the languages that there are catalogues of. https://www.gnu.org/software/gettext/manual/"""

from __future__ import annotations

from gettext import GNUTranslations
from pathlib import Path
from typing import TypeAlias

Language: TypeAlias = str
"""One of LANGUAGES."""

SOURCE: Language = "en"
"""The language of the texts in the code."""

FOLDER = Path(__file__).parent


def _compiled() -> dict[Language, GNUTranslations]:
    catalogues = {}
    for path in sorted(FOLDER.glob("*/LC_MESSAGES/messages.mo")):
        with path.open("rb") as file:
            catalogues[path.parts[-3]] = GNUTranslations(file)
    return catalogues


_CATALOGUES = _compiled()
LANGUAGES: tuple[Language, ...] = (SOURCE, *_CATALOGUES)


def N_(text: str) -> str:
    """Mark a text for the catalogues, and return it: for tables, whose texts are translated when they are used."""
    return text


def NP_(context: str, text: str) -> str:
    """Mark a text that means different things in different places, and return it."""
    return text


def translated(text: str, language: Language, context: str | None = None) -> str:
    """Return the text in the language; in English where the catalogue has none, as for texts that callers sent."""
    catalogue = _CATALOGUES.get(language)
    if catalogue is None or not text:  # the empty text is the catalogue's header
        return text
    return catalogue.pgettext(context, text) if context else catalogue.gettext(text)


def own_name(language: Language) -> str:
    """Return what the language calls itself."""
    return translated(NP_("name of this language in itself", "English"), language, "name of this language in itself")
