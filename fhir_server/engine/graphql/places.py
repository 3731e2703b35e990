"""Where in the graph a selection stands, and which elements there are: read from the tables of FHIR's types.

A place may be one of several types (what a reference leads to), and has the elements of each. A connection and its
edges count as types too: `PatientConnection`, `PatientEdge`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from fhir_server.r4.definitions import RESOURCE_TYPES, TABLE_NAMES, Element, table

ANY = frozenset(RESOURCE_TYPES)
TYPES = frozenset(TABLE_NAMES)
LIST, CONNECTION, EDGE = "List", "Connection", "Edge"

_MANY, _PRIMITIVE = 1, 2


def _element(type_name: str, flags: int) -> Element:
    return Element("", type_name, type_name, flags, 0, None, (), None, ())


_EXTENSIONS = {False: _element("Element", 0), True: _element("Element", _MANY)}
_CURSORS = dict.fromkeys(("first", "previous", "next", "last"), _element("string", _PRIMITIVE))
_CONNECTION = _CURSORS | dict.fromkeys(("count", "offset", "pagesize"), _element("integer", _PRIMITIVE))
_EDGE = {"mode": _element("code", _PRIMITIVE), "score": _element("decimal", _PRIMITIVE)}


@dataclass(frozen=True, slots=True)
class Place:
    """The types that a node here may have, and those that it may refer to, where it is a Reference."""

    types: frozenset[str]
    targets: frozenset[str] = ANY

    @property
    def resource(self) -> bool:
        """Whether a resource stands here."""
        return not self.types.isdisjoint(ANY)

    def element(self, name: str) -> Element | None:
        """Return an element that a node here may have."""
        return next((child for each in sorted(self.types) if (child := element(each, name))), None)

    def below(self, name: str) -> Place:
        """Return the place of an element of that name."""
        elements = [each for type_name in sorted(self.types) if (each := element(type_name, name))]
        targets = frozenset(target for each in elements for target in each.targets) & ANY
        return Place(types_of(each.type for each in elements), targets or ANY)

    def narrowed(self, condition: str) -> Place:
        """Return the place where a fragment on a type applies."""
        return Place(frozenset(each for each in self.types if is_a(each, condition)), self.targets)


def types_of(names: Iterable[str]) -> frozenset[str]:
    """Return the types that nodes have for which such types are declared."""
    types = frozenset(names)
    return types | ANY if types & {"Resource", "DomainResource"} else types


@lru_cache(maxsize=65536)
def element(type_name: str, name: str) -> Element | None:
    """Return the element of a type; `_name` is that of a primitive's extensions."""
    if type_name not in TYPES:
        return _of_search(type_name, name)
    child = table(type_name).elements.get(name.removeprefix("_"))
    if child is not None and name.startswith("_"):
        return _EXTENSIONS[child.many] if child.primitive else None
    return child


def _of_search(type_name: str, name: str) -> Element | None:
    if type_name.endswith(EDGE):
        return _element(type_name.removesuffix(EDGE), 0) if name == "resource" else _EDGE.get(name)
    if name == "edges":
        return _element(type_name.removesuffix(CONNECTION) + EDGE, _MANY)
    return _CONNECTION.get(name)


@lru_cache(maxsize=4096)
def is_a(type_name: str, condition: str) -> bool:
    """Return whether a type is another, or a specialisation of it."""
    if type_name == condition or type_name not in TYPES:
        return type_name == condition
    base = table(type_name).base
    return base is not None and is_a(base, condition)


def searched_type(name: str, suffix: str) -> str | None:
    """Return the resource type of a field such as PatientList."""
    resource_type = name.removesuffix(suffix)
    return resource_type if resource_type != name and resource_type in RESOURCE_TYPES else None
