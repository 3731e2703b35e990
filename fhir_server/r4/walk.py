"""Walking through a resource by the official tables: every object in it, with the element that it is the value of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fhir_server.r4.definitions import RESOURCE_TYPES, Element, table


class Node(NamedTuple):
    """An object inside a resource: where it stands, as FHIRPath, and what it is the value of."""

    path: str
    element: Element
    type: str
    """The type of the value: of a contained resource its resourceType, or "Resource" where that is none."""
    value: Mapping[str, Any]


def walk(value: Any, type_name: str, path: str) -> Iterator[Node]:
    """Yield the objects below a value of the type, outer ones first; what the tables do not know is passed over.

    The extensions of primitives (`_birthDate`) count, contained resources too.
    """
    if not isinstance(value, Mapping):
        return
    elements = table(type_name).elements
    for name, inner in value.items():
        element = elements.get(name.removeprefix("_"))
        if element is not None:
            yield from walk_element(inner, element, f"{path}.{name}", primitive=name.startswith("_"))


def walk_element(value: Any, element: Element, path: str, *, primitive: bool = False) -> Iterator[Node]:
    """Yield the objects that an element's value is or holds; `primitive` says that it is that of `_name`."""
    if isinstance(value, list):
        for position, item in enumerate(value):
            yield from walk_element(item, element, f"{path}[{position}]", primitive=primitive)
    elif isinstance(value, Mapping):
        kind = "Element" if primitive else element.type
        if kind == "Resource":
            named = value.get("resourceType")
            kind = named if named in RESOURCE_TYPES else "Resource"
        yield Node(path, element, kind, value)
        yield from walk(value, kind, path)
