"""Where the elements that a FHIRPath selects stand in the JSON of a resource.

FHIRPath gives values, and a patch needs their places. So a path is evaluated on a shadow of the resource, a copy in
which every primitive has a `_name` sibling: each selected item then holds an object of the shadow, the element itself
or the sibling, and that object tells the place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from fhir_server.r4.fhirpath import Expression, FhirPathError, Item
from fhir_server.r4.fhirpath.navigation import type_elements

Node = dict[str, Any]
# The functions that take a regular expression can run for ages on a short text.
_REFUSED = frozenset(("matches", "matchesFull", "replaceMatches"))
# And these meet elements that the path does not name.
_REACHING = frozenset(("children", "descendants", "resolve", "extension", "hasExtension"))
_MOST_VISITED = 200_000


class Place(NamedTuple):
    """A place in a resource: a property of an object, `at` an index where it is an array.

    `owner` is the place of that object, None for the resource itself. `within` says that the object is the `_name`
    sibling of the primitive at the owner's place.
    """

    owner: Place | None
    node: Node
    name: str
    at: int | None = None
    within: bool = False

    @property
    def sibling(self) -> str:
        """The property that holds the extensions of a primitive here."""
        return f"_{self.name}"

    @property
    def type(self) -> str:
        """The type of the object that has the property."""
        declared = "Resource" if self.owner is None else type_elements(self.owner.type)[self.owner.name].type
        return str(self.node["resourceType"]) if declared == "Resource" else declared


class Selected(NamedTuple):
    """A selected element: its type, its place (None for the resource), its object (None for a primitive)."""

    type: str
    place: Place | None
    node: Node | None


class Shadow:
    """A copy of a resource to evaluate one path on, and the places of its objects in the original."""

    def __init__(self, resource: Node, path: Expression) -> None:
        refused = _REFUSED & path.functions
        if refused:
            raise FhirPathError(f"{min(refused)}() cannot stand in the path of a patch.")
        self._path = path
        self._origins: dict[int, tuple[Place | None, Node]] = {}
        # A path that only follows names cannot meet the resource's other elements, which need no shadow then.
        names = None if _REACHING & path.functions else ("resourceType", *path.names)
        self._root = self._object(resource, None, names=names)

    @property
    def size(self) -> int:
        """How many elements the shadow has, which is what it cost to make."""
        return len(self._origins)

    def select(self) -> list[Selected]:
        """Return what the path selects.

        Raises FhirPathError where the path cannot be evaluated or selects what is no element of the resource.
        """
        items = self._path.items(self._root, self._root["resourceType"], budget=_MOST_VISITED)
        return [self._selected(item) for item in items]

    def _selected(self, item: Item) -> Selected:
        held = item.value if isinstance(item.value, dict) else item.extension
        if id(held) not in self._origins:
            raise FhirPathError("The path does not select an element of the resource.")
        place, node = self._origins[id(held)]
        return Selected(item.type, place, node if isinstance(item.value, dict) else None)

    def _object(
        self, node: Node, place: Place | None, *, within: bool = False, names: tuple[str, ...] | None = None
    ) -> Node:
        shadow: Node = {}
        self._origins[id(shadow)] = (place, node)
        for key, value in node.items():
            name = key.removeprefix("_")
            if names is not None and not name.startswith(names):
                continue
            if key == name:
                self._property(shadow, name, value, Place(place, node, name, within=within))
            elif name not in node:
                # A primitive that has only extensions.
                self._property(shadow, name, None, Place(place, node, name, within=within))
        return shadow

    def _property(self, shadow: Node, name: str, value: Any, place: Place) -> None:
        siblings = place.node.get(place.sibling)
        if isinstance(value, dict):
            shadow[name] = self._object(value, place)
        elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
            shadow[name] = [
                self._object(each, at) if isinstance(each, dict) else each for at, each in _indexed(place, value)
            ]
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
