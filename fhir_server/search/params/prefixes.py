"""The comparison prefixes of number, date and quantity values. https://hl7.org/fhir/R4/search.html#prefix"""

from __future__ import annotations

from typing import Literal, TypeAlias, cast

Prefix: TypeAlias = Literal["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]

_PREFIXES = frozenset({"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"})


def split_prefix(text: str) -> tuple[Prefix, str]:
    """Return the prefix of a value (eq where there is none) and the rest of it."""
    if text[:2] in _PREFIXES:
        return cast(Prefix, text[:2]), text[2:]
    return "eq", text
