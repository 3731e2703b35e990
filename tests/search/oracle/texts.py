"""Texts as a string search compares them, and search values with escaped separators.

https://hl7.org/fhir/R4/search.html#string, https://hl7.org/fhir/R4/search.html#escaping
"""

from __future__ import annotations

import unicodedata
from typing import Any

from tests.search.oracle.elements import Element

_FIELDS = {
    "HumanName": ("family", "given", "prefix", "suffix", "text"),
    "Address": ("line", "city", "district", "state", "postalCode", "country", "text"),
    "CodeableConcept": ("text",),
}


def folded(text: str) -> str:
    """Return a text without case, accents, punctuation and repeated white space."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    letters = [character for character in decomposed if unicodedata.category(character) != "Mn"]
    spaced = "".join("" if each in "'’." else each if each.isalnum() else " " for each in letters)
    return " ".join(spaced.split())


def texts(element: Element) -> list[str]:
    """Return the texts of an element: a string itself, and every part of a name or an address."""
    if isinstance(element.value, str):
        return [element.value]
    collected: list[str] = []
    for name in _FIELDS[element.type]:
        value: Any = element.value.get(name)
        collected += [each for each in (value if isinstance(value, list) else [value]) if each is not None]
    return collected


def text_holds(modifier: str | None, expected: str, element: Element) -> bool:
    """Return whether an element's texts begin with what is wanted, are it (`exact`), or contain it."""
    for text in texts(element):
        if modifier == "exact":
            if text == expected:
                return True
        elif modifier == "contains":
            if folded(expected) in folded(text):
                return True
        elif folded(text).startswith(folded(expected)):
            return True
    return False


def split(text: str, separator: str) -> list[str]:
    """Return the parts between separators that no backslash precedes; the escapes stay."""
    parts, escaped = [""], False
    for character in text:
        if character == separator and not escaped:
            parts.append("")
            continue
        parts[-1] += character
        escaped = character == "\\" and not escaped
    return parts


def unescape(text: str) -> str:
    """Return the text without the backslashes that escape."""
    result, escaped = "", False
    for character in text:
        if character == "\\" and not escaped:
            escaped = True
            continue
        result += character
        escaped = False
    return result
