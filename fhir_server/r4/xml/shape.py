"""How the elements of a type stand in XML: their order, and which are attributes, values, resources or narrative."""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

from fhir_server.r4.definitions import Element, table

FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
XSI = "http://www.w3.org/2001/XMLSchema-instance"

Form = Literal["attribute", "value", "complex", "resource", "xhtml"]


class Property(NamedTuple):
    """A JSON property in XML: `position` orders it among its siblings, `type` names its table."""

    name: str
    position: int
    form: Form
    type: str
    many: bool


Shape = dict[str, Property]


@cache
def shape(type_name: str) -> Shape:
    """Return the properties of a type by name, in the specification's order; raises KeyError for an unknown one."""
    elements = table(type_name).elements.values()
    return {
        element.name: Property(element.name, position, _form(element), element.type, element.many)
        for position, element in enumerate(elements)
    }


@cache
def attributes(type_name: str) -> tuple[str, ...]:
    """Return the names of a type's properties that are XML attributes: `id`, and `url` of an extension."""
    return tuple(entry.name for entry in shape(type_name).values() if entry.form == "attribute")


EXTENSION = Property("extension", 0, "complex", "Extension", True)
"""The one element that a primitive may contain."""


def _form(element: Element) -> Form:
    if element.attribute:
        return "attribute"
    if element.type == "xhtml":
        return "xhtml"
    if element.type == "Resource":
        return "resource"
    return "value" if element.primitive else "complex"
