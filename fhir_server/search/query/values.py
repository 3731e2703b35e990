"""Search values as they stand in a URL: separators, and the backslash that makes them plain text.

https://hl7.org/fhir/R4/search.html#escaping
"""

from __future__ import annotations

_ESCAPABLE = ",$|\\"


def split(text: str, separator: str, limit: int = -1) -> list[str]:
    """Return the parts between separators that are not escaped, at most `limit` cuts; escapes stay in the parts."""
    if "\\" not in text:
        return text.split(separator, limit)
    parts: list[str] = []
    start = position = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 2
            continue
        if character == separator and limit != len(parts):
            parts.append(text[start:position])
            start = position + 1
        position += 1
    parts.append(text[start:])
    return parts


def unescape(text: str) -> str:
    """Return the text with each escaped separator, or backslash, as itself; other backslashes stay."""
    if "\\" not in text:
        return text
    characters, position = [], 0
    while position < len(text):
        if text[position] == "\\" and text[position + 1 : position + 2] in tuple(_ESCAPABLE):
            position += 1
        characters.append(text[position])
        position += 1
    return "".join(characters)


def escape(text: str) -> str:
    """Return a text that reads as one value."""
    return "".join(f"\\{character}" if character in _ESCAPABLE else character for character in text)
