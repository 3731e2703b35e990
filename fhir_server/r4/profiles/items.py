"""The values of an element in a resource, in the form that checks see them: one by one, with place and type.

https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

from functools import lru_cache
from itertools import zip_longest
from typing import Any, NamedTuple

from fhir_server.r4.definitions import RESOURCE_TYPES, Element, table
from fhir_server.r4.validation.faults import step


class Item(NamedTuple):
    """One value of an element: `place` continues the FHIRPath of its parent.

    Of a primitive, `value` is None where it has only extensions, and `sibling` is what JSON writes as `_name`.
    """

    place: str
    type: str
    value: Any
    sibling: Any = None

    @property
    def children(self) -> Any:
        """The object that the item's children are in: of a primitive, its sibling."""
        return self.value if isinstance(self.value, dict) else self.sibling


def root_item(resource: dict[str, Any], place: str = "") -> Item:
    """Return a resource as an item."""
    return Item(place, str(resource.get("resourceType")), resource)


@lru_cache(maxsize=8192)
def fields_of(type_name: str, name: str) -> tuple[Element, ...]:
    """Return the JSON properties that an element of a type may be written as: `value[x]` has one for each type."""
    try:
        elements = table(type_name).elements
    except KeyError:
        return ()
    if not name.endswith("[x]"):
        return (elements[name],) if name in elements else ()
    return tuple(each for each in elements.values() if each.choice == name[:-3])


def items_of(node: Any, fields: tuple[Element, ...]) -> list[Item]:
    """Return the values that an object has of an element, given as what it may be written as."""
    if not isinstance(node, dict):
        return []
    items: list[Item] = []
    for field in fields:
        value = node.get(field.name)
        sibling = node.get(f"_{field.name}") if field.primitive else None
        if value is None and sibling is None:
            continue
        place = step(field.choice or field.name)
        if isinstance(value, list) or isinstance(sibling, list):
            members = zip_longest(
                value if isinstance(value, list) else (), sibling if isinstance(sibling, list) else ()
            )
            items += [
                Item(f"{place}[{index}]", type_of(field, one), one, other)
                for index, (one, other) in enumerate(members)
                if one is not None or other is not None
            ]
        else:
            items.append(Item(place, type_of(field, value), value, sibling))
    return items


def type_of(field: Element, value: Any) -> str:
    """Return the type of an element's value: of a resource its own, where there is one."""
    if field.type == "Resource" and isinstance(value, dict):
        named = value.get("resourceType")
        return named if named in RESOURCE_TYPES else "Resource"
    return field.type


def children_of(item: Item, name: str) -> list[Item]:
    """Return the values of a child element by the name that FHIRPath gives it: `value` for a choice."""
    type_name = item.type if isinstance(item.value, dict) else "Element"
    fields = fields_of(type_name, name) or fields_of(type_name, f"{name}[x]")
    return [each._replace(place=item.place + each.place) for each in items_of(item.children, fields)]
