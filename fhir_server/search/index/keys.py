"""How facts about a resource are spelt as index keys: `family=miller`, `code|http://loinc.org␟8480-6`,
`date<2020-01-15`.

A key is a parameter's name, one character that says what kind of fact follows, and the fact. Parameter names have none
of these characters, and parts of a fact are kept apart by a control character that no FHIR string may hold, so no value
can look like another parameter's key.
"""

from __future__ import annotations

import hashlib

EVERY = "*"
"""The key of every live resource."""

SEPARATOR = "\x1f"
_LONGEST = 2000
_STRIPPED = str.maketrans({"\x1f": "\ufffd", "\x00": "\ufffd"})


CANONICAL = "_canonical="
"""How the keys begin by which canonical references lead to a resource."""

CANONICAL_MARK = "@"
"""What follows the name in the keys of canonical references, before what the other resource has as its key."""


SORTED_BY = {"string": "=", "token": "=", "reference": "=", "uri": "=", "number": "<", "quantity": "<", "date": "<"}
"""What follows the name in the keys that stand in the order of a parameter's values, by its type."""


def unsorted_key(name: str) -> str:
    """Return the key of resources that have a value for the parameter, but none that stands in the order of values.

    A reference by identifier only is such a value, or a concept without a code.
    """
    return f"{name}!"


def contained_key(resource_type: str) -> str:
    """Return the key of resources that contain one of the type; also where the entries of such ones are kept."""
    return f"#{resource_type}"


def clean(text: str) -> str:
    """Return the text as a part of a key: without the separator, and cut beyond 2,000 characters to a digest."""
    if SEPARATOR in text or "\x00" in text:
        text = text.translate(_STRIPPED)
    if len(text) <= _LONGEST:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:_LONGEST]}{SEPARATOR}{digest}"


def after_prefix(prefix: str) -> str:
    """Return the lowest text above all texts that start with the prefix."""
    last = ord(prefix[-1])
    if last == 0x10FFFF:
        return prefix + "\U0010ffff"
    # The surrogates are no characters: the one after U+D7FF is U+E000.
    return prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
