"""Reading elements out of resources by small paths, each with its datatype.

A path is `name.family:string`, `effective[x]` (every type that a choice may have), `value[x]:dateTime|Period` (some),
`telecom:ContactPoint[system=phone]` (only those whose system is phone), `subject:Reference[Patient]` (only references
to a patient). The empty path is the resource or element itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LEAF = re.compile(r"(?P<name>\w+)(?P<choice>\[x])?(?::(?P<type>[\w|]+)(?:\[(?P<filter>[^]]+)])?)?")


@dataclass(frozen=True)
class Element:
    """A value with its datatype."""

    type: str
    value: Any


def elements(source: dict[str, Any], path: str) -> list[Element]:
    """Return the elements at a path that have a value: one with nothing but an id or extensions has none."""
    if not path:
        return [Element(str(source.get("resourceType", "")), source)]
    *steps, leaf = path.split(".")
    sources = [source]
    for step in steps:
        sources = [child for each in sources for child in _children(each, step) if isinstance(child, dict)]
    return [result for each in sources for result in _leaves(each, leaf) if _has_value(result.value)]


def _children(source: dict[str, Any], name: str) -> list[Any]:
    value = source.get(name)
    return value if isinstance(value, list) else [] if value is None else [value]


def _leaves(source: dict[str, Any], leaf: str) -> Iterator[Element]:
    match = _LEAF.fullmatch(leaf)
    assert match is not None, leaf
    for name, datatype in _named(source, match):
        for value in _children(source, name):
            if _kept(value, match["filter"]):
                yield Element(datatype, value)


def _named(source: dict[str, Any], match: re.Match[str]) -> Iterator[tuple[str, str]]:
    name = match["name"]
    if not match["choice"]:
        yield name, match["type"]
        return
    for property_name in source:
        rest = property_name.removeprefix(name)
        if rest != property_name and rest[:1].isupper():
            datatype = rest if rest in _COMPLEX else rest[0].lower() + rest[1:]
            if match["type"] is None or datatype in match["type"].split("|"):
                yield property_name, datatype


_COMPLEX = frozenset({"Age", "CodeableConcept", "Period", "Quantity", "Range", "Reference", "Timing"})


def _kept(value: Any, required: str | None) -> bool:
    if required is None:
        return True
    name, equals, expected = required.partition("=")
    if equals:
        return bool(value.get(name) == expected)
    # What is referred to is known by the reference itself: its type is named there.
    return f"{required}/" in (value.get("reference") or "") or value.get("type") == required


def _has_value(value: Any) -> bool:
    if isinstance(value, dict):
        return any(name not in ("id", "extension") for name in value)
    return value is not None
