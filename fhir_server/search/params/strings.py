"""String parameters: texts folded to letters and digits, found by how they begin.
https://hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from fhir_server.r4.fhirpath import Item
from fhir_server.search.index.entry import Entry
from fhir_server.search.index.keys import SEPARATOR, after_prefix, clean
from fhir_server.search.query.conditions import Condition, HasKey, KeySpan

# Letters that have no decomposition in Unicode but are a base letter to anyone who searches.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ŧ": "t"}
)
_LONGEST_FOLDED = 4000


@lru_cache(maxsize=16384)
def fold(text: str) -> str:
    """Return the text without case, accents, punctuation and repeated white space.

    Dashes, slashes, commas and other marks between words become a space, apostrophes and full stops nothing. A text of
    nothing but punctuation stays as it is.
    """
    lowered = text.lower() if text.isascii() else _without_accents(text)
    if lowered.isalnum():
        return lowered[:_LONGEST_FOLDED]
    folded = " ".join("".join(map(_plain, lowered)).split())
    return (folded or " ".join(_printed(lowered).split()))[:_LONGEST_FOLDED]


def _printed(text: str) -> str:
    return "".join(character for character in text if unicodedata.category(character)[0] != "C")


def sought(text: str) -> str:
    """Return a search value folded; raises ValueError where nothing is left, which every text would begin with."""
    folded = fold(text)
    if not folded:
        raise ValueError("it holds no character to search for")
    return folded


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(character for character in decomposed if not unicodedata.combining(character))
    return unicodedata.normalize("NFC", kept.casefold()).translate(_LETTERS)


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    if character.isalnum():
        return character
    if character in "'’ʼ`´.":
        return ""
    return " " if unicodedata.category(character)[0] in "PSZC" else character


@lru_cache(maxsize=16384)
def text_fact(text: str) -> str:
    """Return what a key holds of a text: folded, and as it was written where that differs."""
    folded = fold(text)
    return f"{folded}{SEPARATOR}" if folded == text else f"{folded}{SEPARATOR}{clean(text)}"


_PARTS = {
    "HumanName": ("family", "given", "prefix", "suffix", "text"),
    "Address": ("line", "city", "district", "state", "postalCode", "country", "text"),
    "CodeableConcept": ("text",),
    "Coding": ("display",),
    "Identifier": ("value",),
    "ContactPoint": ("value",),
    "Reference": ("display",),
}


def texts(item: Item) -> list[str]:
    """Return the texts of an element that a string search looks at: of a name or an address, each of its parts."""
    value = item.value
    if isinstance(value, str):
        return [value]
    parts: list[str] = []
    if isinstance(value, dict):
        for part in _PARTS.get(item.type, ("text", "display", "value")):
            text = value.get(part)
            if isinstance(text, str):
                parts.append(text)
            elif isinstance(text, list):
                parts.extend(one for one in text if isinstance(one, str))
    return parts


SORTED_BACKWARDS = frozenset({"name", "family", "given", "title"})
"""Parameters by which people sort lists in falling order, for which there are keys in that order, too."""

_LONGEST_SORTED = 64
_INVERTED = {code: chr(0x9E - code) for code in range(0x20, 0x7F)}


def inverted(folded: str) -> str:
    """Return a folded text such that texts which sort later come first, as far as their first 64 characters go."""
    return "".join(map(_inverted, folded[:_LONGEST_SORTED])) + "\x7f"


def _inverted(character: str) -> str:
    # Beyond ASCII: below all of it, and by falling code.
    return _INVERTED.get(ord(character)) or f"\x1d{0x110000 - ord(character):06x}"


def index_sortable(name: str, items: list[Item], entry: Entry) -> None:
    """Write the keys of a string parameter, and one that stands in falling order."""
    index(name, items, entry)
    folded = [fold(text) for item in items for text in texts(item)]
    if folded:
        entry.keys.append(f"{name}>{inverted(max(folded))}")


def index(name: str, items: list[Item], entry: Entry) -> None:
    """Write the keys of a string parameter."""
    keys = entry.keys
    for item in items:
        for text in texts(item):
            keys.append(f"{name}={text_fact(text)}")


def condition(name: str, modifier: str | None, text: str) -> Condition:
    """Return what a search value asks; the modifier is None, exact or contains."""
    if modifier == "exact":
        return HasKey((f"{name}={text_fact(text)}",))
    folded = sought(text)
    prefix = f"{name}="
    if modifier == "contains":
        return KeySpan(prefix, after_prefix(prefix), folded)
    return KeySpan(prefix + folded, after_prefix(prefix + folded))


def index_phonetic(name: str, items: list[Item], entry: Entry) -> None:
    """Write the sounds of the words of names."""
    for item in items:
        for text in texts(item):
            entry.keys.extend(f"{name}={sound(word)}" for word in fold(text).split())


def condition_phonetic(name: str, text: str) -> Condition:
    """Return the condition that one word of the name sounds like the first word of the text."""
    words = fold(text).split()
    return HasKey((f"{name}={sound(words[0])}",)) if words else HasKey(())


_SOUNDS = {
    letter: digit
    for letters, digit in (("bfpv", "1"), ("cgjkqsxz", "2"), ("dt", "3"), ("l", "4"), ("mn", "5"), ("r", "6"))
    for letter in letters
}


def sound(word: str) -> str:
    """Return the Soundex code of a folded word, the word itself where it has no Latin letters."""
    if not word[:1].isascii() or not word[:1].isalpha():
        return word
    code, last = word[0], _SOUNDS.get(word[0], "")
    for letter in word[1:]:
        digit = _SOUNDS.get(letter, "")
        if digit and digit != last:
            code += digit
        if letter not in "hw":
            last = digit
    return f"{code}000"[:4]
