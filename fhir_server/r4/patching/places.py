"""Where the elements that a FHIRPath selects stand in the JSON of a resource.

FHIRPath gives values, and a patch needs their places. So a path is evaluated on a shadow of the resource, a copy in
which every primitive has a `_name` sibling: each selected item then holds an object of the shadow, the element itself
or the sibling, and that object tells the place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fhir_server.r4.fhirpath import Expression, FhirPathError, Item
from fhir_server.r4.fhirpath.navigation import type_elements

Node = dict[str, Any]
# The functions that take a regular expression can run for ages on a short text.
_REFUSED = frozenset(("matches", "matchesFull", "replaceMatches"))
_MOST_VISITED = 200_000


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a resource: a property of an object, with an index where it is an array.

    `owner` is the place of that object, None for the resource itself. `within` says that the object is the `_name`
    sibling of the primitive at the owner's place.
    """

    owner: Place | None
    node: Node
    name: str
    index: int | None = None
    within: bool = False

    @property
    def sibling(self) -> str:
        """The property that holds the extensions of a primitive here."""
        return f"_{self.name}"

    @property
    def type(self) -> str:
        """The type of the object that has the property."""
        if "resourceType" in self.node and not self.within:
            return str(self.node["resourceType"])
        assert self.owner is not None  # only a resource has none
        return type_elements(self.owner.type)[self.owner.name].type


@dataclass(slots=True)
class Shadow:
    """A copy of a resource to evaluate paths on, and the places of its objects in the original."""

    resource: Node
    root: Node = field(init=False)
    places: dict[int, Place | None] = field(default_factory=dict)
    originals: dict[int, Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = self._object(self.resource, None)

    def select(self, path: Expression) -> list[tuple[Item, Place | None]]:
        """Return what a path selects, each item with its place, None for the resource itself.

        Raises FhirPathError where the path cannot be evaluated or selects what is no element of the resource.
        """
        refused = _REFUSED & path.functions
        if refused:
            raise FhirPathError(f"{min(refused)}() cannot stand in the path of a patch.")
        found = path.items(self.root, self.root["resourceType"], budget=_MOST_VISITED)
        return [(item, self._place(item)) for item in found]

    def original(self, item: Item) -> Node | None:
        """Return the resource's own object for a selected complex element, None for a primitive."""
        return self.originals.get(id(item.value)) if isinstance(item.value, dict) else None

    def _place(self, item: Item) -> Place | None:
        held = item.value if isinstance(item.value, dict) else item.extension
        if id(held) not in self.places:
            raise FhirPathError("The path does not select an element of the resource.")
        return self.places[id(held)]

    def _object(self, node: Node, place: Place | None, *, within: bool = False) -> Node:
        shadow: Node = {}
        self.places[id(shadow)] = place
        self.originals[id(shadow)] = node
        for name, value in node.items():
            if name[0] != "_":
                self._property(shadow, node, name, value, Place(place, node, name, within=within))
        for name in node:
            # A primitive that has only extensions.
            if name[0] == "_" and name[1:] not in node:
                self._property(shadow, node, name[1:], None, Place(place, node, name[1:], within=within))
        return shadow

    def _property(self, shadow: Node, node: Node, name: str, value: Any, place: Place) -> None:
        siblings = node.get(place.sibling)
        if isinstance(value, dict):
            shadow[name] = self._object(value, place)
        elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
            shadow[name] = [
                self._object(each, at) if isinstance(each, dict) else each for at, each in _indexed(place, value)
            ]
        elif name == "resourceType" and not isinstance(value, dict):
            shadow[name] = value
        elif isinstance(value, list) or isinstance(siblings, list):
            values, more = value or [], siblings or []
            shadow[name] = values
            padded = [*more, *[None] * (len(values) - len(more))]
            shadow[place.sibling] = [self._sibling(each, at) for at, each in _indexed(place, padded)]
        else:
            if value is not None:
                shadow[name] = value
            shadow[place.sibling] = self._sibling(siblings, place)

    def _sibling(self, sibling: Any, place: Place) -> Node:
        # The elements in a sibling have the primitive's place as their owner.
        return self._object(sibling if isinstance(sibling, dict) else {}, place, within=True)


def _indexed(place: Place, values: list[Any]) -> Iterator[tuple[Place, Any]]:
    for index, value in enumerate(values):
        yield Place(place.owner, place.node, place.name, index, place.within), value
