"""From an element to the elements within it, by the tables of the specification.

A name is looked up once per type; what runs afterwards only reads dictionaries. A choice element is found under its
bare name: `value` reads valueQuantity, valueString and so on. https://hl7.org/fhir/R4/fhirpath.html#polymorphism
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeAlias

from fhir_server.r4 import definitions
from fhir_server.r4.definitions import Element
from fhir_server.r4.fhirpath.items import EMPTY, Item, Items, Scope, make
from fhir_server.r4.fhirpath.types import SYSTEM_TYPES

Reader: TypeAlias = Callable[[dict[str, Any], Items], None]
"""Reads one property of a JSON object and appends what it holds to a collection."""

# What type() tells of an item, in FHIR's shape.
_TYPE_INFO = {
    name: Element(name, f"TypeInfo.{name}", "string", 2, 0, None, (), None, ()) for name in ("namespace", "name")
}


@cache
def elements_named(type_name: str, name: str) -> tuple[Element, ...]:
    """Return the elements that a name means within a type: one, or all types of a choice; none where it is unknown."""
    elements = type_elements(type_name)
    element = elements.get(name)
    if element is not None and element.choice is None:
        return (element,)
    return tuple(element for element in elements.values() if element.choice == name)


@cache
def type_elements(type_name: str) -> dict[str, Element]:
    """Return the elements of a type by JSON property; none for the System types that are a single value."""
    if type_name == "System.TypeInfo":
        return _TYPE_INFO
    if type_name == "System.Quantity":
        type_name = "Quantity"
    try:
        return definitions.table(type_name).elements
    except KeyError:
        return {}


@cache
def reader(element: Element) -> Reader:
    """Return what reads an element."""
    if element.primitive:
        return _primitive_reader(element.name, element.type)
    return _resource_reader(element.name) if element.type == "Resource" else _complex_reader(element.name, element.type)


def _primitive_reader(name: str, type_name: str) -> Reader:
    sibling = f"_{name}"

    def read(node: dict[str, Any], items: Items) -> None:
        value = node.get(name)
        if sibling in node:
            items.extend(_with_extensions(type_name, value, node[sibling]))
        elif value.__class__ is list:
            for each in value:
                items.append(make(Item, (type_name, each, None)))
        elif value is not None:
            items.append(make(Item, (type_name, value, None)))

    return read


def _with_extensions(type_name: str, value: Any, extension: Any) -> Iterator[Item]:
    values = value if isinstance(value, list) else [value]
    extensions = extension if isinstance(extension, list) else [extension]
    for at in range(max(len(values), len(extensions))):
        own = values[at] if at < len(values) else None
        more = extensions[at] if at < len(extensions) and isinstance(extensions[at], dict) else None
        if own is not None or more is not None:
            yield Item(type_name, own, more)


def _complex_reader(name: str, type_name: str) -> Reader:
    def read(node: dict[str, Any], items: Items) -> None:
        value = node.get(name)
        if value.__class__ is list:
            for each in value:
                items.append(make(Item, (type_name, each, None)))
        elif value is not None:
            items.append(make(Item, (type_name, value, None)))

    return read


def _resource_reader(name: str) -> Reader:
    def read(node: dict[str, Any], items: Items) -> None:
        value = node.get(name)
        for each in value if isinstance(value, list) else (value,):
            if isinstance(each, dict):
                items.append(resource_item(each))

    return read


def resource_item(resource: dict[str, Any]) -> Item:
    """Return a resource as an item of its own type."""
    return Item(str(resource.get("resourceType", "Resource")), resource)


def member(name: str) -> Callable[[Items], Items]:
    """Return a step from items of any types to their elements of one name."""
    readers_by_type: dict[str, tuple[Reader, ...]] = {}

    def step(items: Items) -> Items:
        if not items:
            return EMPTY
        elements: Items = []
        for item in items:
            readers = readers_by_type.get(item[0])
            if readers is None:
                readers = readers_by_type[item[0]] = tuple(map(reader, elements_named(item[0], name)))
            # The elements within a primitive, id and extension, are those of its sibling.
            node = item[1] if item[1].__class__ is dict else item[2]
            if node is not None:
                for read in readers:
                    read(node, elements)
        return elements

    return _primitive_value if name == "value" else step


def _primitive_value(items: Items) -> Items:
    # A primitive's `value` is the bare System value; for all other types it is an element like any other.
    values: Items = []
    for item in items:
        kind = SYSTEM_TYPES.get(item.type)
        if kind is None or kind == "Quantity":
            node = item.value
            if isinstance(node, dict):
                for element in elements_named(item.type, "value"):
                    reader(element)(node, values)
        elif item.value is not None:
            values.append(Item(f"System.{kind}", item.value))
    return values


def children(items: Items) -> Items:
    """Return all elements directly within the items."""
    within: Items = []
    for item in items:
        node = item.value if isinstance(item.value, dict) else item.extension
        if node is None:
            continue
        elements = type_elements(item.type)
        for name in node:
            bare = name[1:] if name[0] == "_" else name
            # An element with a value and a sibling is read once, at its value.
            if bare in elements and (bare == name or bare not in node):
                reader(elements[bare])(node, within)
    return within


def descendants(items: Items, scope: Scope) -> Items:
    """Return all elements at any depth within the items."""
    below: Items = []
    level = children(items)
    while level:
        scope.spend(len(level))
        below.extend(level)
        level = children(level)
    return below
