"""The changes that a patch makes to the JSON of an element: set, insert, remove.

An array of primitives and the array of their `_name` siblings are kept in step, and nothing empty is left behind: an
object, array or sibling without content does not exist in FHIR. https://hl7.org/fhir/R4/json.html
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fhir_server.r4.definitions import Element, table
from fhir_server.r4.patching.places import Node, Place


class Content(NamedTuple):
    """What to put at a place: the element it is there, its JSON value, and the sibling of a primitive."""

    element: Element
    value: Any
    sibling: Node | None = None


def add(node: Node, type_name: str, content: Content) -> None:
    """Put content into an object of a type: at the end of a list, or as the only value."""
    if content.element.many:
        entries = read(node, content.element.name)
        write(node, content.element.name, [*entries, (content.value, content.sibling)])
    else:
        put(node, content)
    arrange(node, type_name)


def put(node: Node, content: Content) -> None:
    """Set an element that does not repeat."""
    name = content.element.name
    for key, value in ((name, content.value), (f"_{name}", content.sibling)):
        if value is None:
            node.pop(key, None)
        else:
            node[key] = value


def replace(place: Place, content: Content) -> None:
    """Put content where another stood; of a choice element, the property changes with the type."""
    if place.at is None:
        if content.element.name != place.name:
            _drop(place)
        put(place.node, content)
        return
    entries = read(place.node, place.name)
    entries[place.at] = (content.value, content.sibling)
    write(place.node, place.name, entries)


def remove(place: Place) -> None:
    """Remove what stands at a place, and what holds nothing else."""
    _drop(place)
    owner = place.owner
    if owner is None or place.node:
        return
    if not place.within:
        remove(owner)
        return
    # The sibling of a primitive is empty now; the primitive stays if it has a value.
    set_sibling(owner, None)
    if _entry(owner)[0] is None:
        remove(owner)


def sibling(place: Place) -> Node:
    """Return the sibling of the primitive at a place, a new one where it has none."""
    return _entry(place)[1] or {}


def set_sibling(place: Place, node: Node | None) -> None:
    """Give the primitive at a place another sibling, or none."""
    if place.at is not None:
        entries = read(place.node, place.name)
        entries[place.at] = (entries[place.at][0], node)
        write(place.node, place.name, entries)
    elif node is None:
        place.node.pop(place.sibling, None)
    else:
        place.node[place.sibling] = node


def _entry(place: Place) -> tuple[Any, Node | None]:
    entries = read(place.node, place.name)
    return entries[place.at or 0] if entries else (None, None)


def _drop(place: Place) -> None:
    if place.at is None:
        place.node.pop(place.name, None)
        place.node.pop(place.sibling, None)
        return
    entries = read(place.node, place.name)
    del entries[place.at]
    write(place.node, place.name, entries)


def read(node: Node, name: str) -> list[tuple[Any, Node | None]]:
    """Return what a property holds, each value with its sibling."""
    values, siblings = _listed(node.get(name)), _listed(node.get(f"_{name}"))
    length = max(len(values), len(siblings))
    values += [None] * (length - len(values))
    siblings += [None] * (length - len(siblings))
    return list(zip(values, siblings, strict=True))


def write(node: Node, name: str, entries: list[tuple[Any, Node | None]]) -> None:
    """Make a list property hold the entries; leave out an array that would have no content."""
    columns = {name: [value for value, _ in entries], f"_{name}": [sibling for _, sibling in entries]}
    for key, column in columns.items():
        if any(each is not None for each in column):
            node[key] = column
        else:
            node.pop(key, None)


def arrange(node: Node, type_name: str) -> None:
    """Bring the properties of an object into the order of its type's definition."""
    order = {name: at for at, name in enumerate(table(type_name).elements)}
    properties = sorted(node.items(), key=lambda each: order.get(each[0].removeprefix("_"), -1))
    node.clear()
    node.update(properties)


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
