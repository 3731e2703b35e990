"""Plain paths from a known type, `name.given` from a Patient: one function over the JSON, no item but the last ones.

Most search expressions and half of the terms of invariants are of this kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fhir_server.r4.definitions import Element
from fhir_server.r4.fhirpath.items import EMPTY, Items
from fhir_server.r4.fhirpath.navigation import elements_named, reader
from fhir_server.r4.fhirpath.types import keeps

Node = dict[str, Any]


class Chain(NamedTuple):
    """A path: the JSON properties to pass through, then the elements (several for a choice) that it ends at."""

    through: tuple[str, ...]
    ends: tuple[Element, ...]

    @property
    def type(self) -> str | None:
        """The type of what the path gives, None where it has several or only the data tells."""
        types = {element.type for element in self.ends}
        return None if len(types) != 1 or types == {"Resource"} else types.pop()

    def then(self, name: str) -> Chain | None:
        """Return the path continued by a name; None where the data decides what the name means."""
        if self.type is None or len(self.ends) != 1 or self.ends[0].primitive:
            return None
        return Chain((*self.through, self.ends[0].name), elements_named(self.type, name))

    def narrowed(self, specifier: str) -> Chain:
        """Return the path with only those ends that are of a type; others could only be dropped item by item."""
        return Chain(self.through, tuple(end for end in self.ends if keeps(specifier, end.type)))

    def walk(self) -> Callable[[Node], Items]:
        """Return the function from a JSON object to the items at the path's end."""
        readers = tuple(reader(element) for element in self.ends)
        through = self.through
        if not readers:
            return lambda node: EMPTY
        if not through and len(readers) == 1:
            return _reading_one(readers[0])

        def walk(node: Node) -> Items:
            nodes = _below(node, through)
            items: Items = []
            for below in nodes:
                for read in readers:
                    read(below, items)
            return items

        return walk

    def presence(self) -> Callable[[Node], bool]:
        """Return the function that says whether the path's end has anything, a value or an extension."""
        keys = tuple(key for end in self.ends for key in ((end.name, f"_{end.name}") if end.primitive else (end.name,)))
        through = self.through

        def present(node: Node) -> bool:
            for below in _below(node, through) if through else (node,):
                for key in keys:
                    if key in below and below[key] not in (None, []):
                        return True
            return False

        return present


def chain(type_name: str, name: str) -> Chain:
    """Return the path that is one name, from a known type."""
    return Chain((), elements_named(type_name, name))


def _reading_one(read: Callable[[Node, Items], None]) -> Callable[[Node], Items]:
    def walk(node: Node) -> Items:
        items: Items = []
        read(node, items)
        return items

    return walk


def _below(node: Node, through: tuple[str, ...]) -> list[Node]:
    nodes = [node]
    for name in through:
        below: list[Node] = []
        for above in nodes:
            value = above.get(name)
            if value.__class__ is dict:
                below.append(value)
            elif value.__class__ is list:
                below.extend(value)
        if not below:
            return below
        nodes = below
    return nodes
