"""The value of a patch operation, as content that fits an element.

A value is one of value[x]; for a type that has no value[x], such as a backbone, it is given as nested parts, one for
each element. https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from fhir_server.errors import Unprocessable
from fhir_server.r4.definitions import Element, table
from fhir_server.r4.fhirpath.navigation import elements_named, type_elements
from fhir_server.r4.fhirpath.types import ancestors
from fhir_server.r4.patching.edits import Content, add
from fhir_server.r4.patching.parameters import Part


def candidates(type_name: str, name: str, expression: str) -> tuple[Element, ...]:
    """Return the elements that a name means in a type, all types of a choice.

    A single property of a choice (`valueQuantity`) is understood too. Raises Unprocessable for an unknown name.
    """
    elements = elements_named(type_name, name)
    single = type_elements(type_name).get(name)
    if not elements and single is not None:
        return (single,)
    if not elements:
        raise Unprocessable(f"{type_name} has no element {name!r}.", expression=expression)
    return elements


def content(part: Part, elements: tuple[Element, ...], expression: str) -> Content:
    """Return the value in a part as content of one of the elements; raise Unprocessable where it fits none."""
    if "resource" in part:
        return Content(_fitting(elements, "Resource", expression), deepcopy(part["resource"]))
    if "part" in part:
        return _of_parts(part, elements, expression)
    stated = [each for each in _values() if each.name in part or f"_{each.name}" in part]
    if len(stated) != 1:
        raise Unprocessable("A part has one value, or nested parts.", expression=expression)
    name = stated[0].name
    element = _fitting(elements, stated[0].type, expression)
    return Content(element, deepcopy(part.get(name)), deepcopy(part.get(f"_{name}")))


def _values() -> tuple[Element, ...]:
    return elements_named("Parameters.parameter", "value")


def _fitting(elements: tuple[Element, ...], type_name: str, expression: str) -> Element:
    for fits in (lambda element: element.type == type_name, lambda element: _takes(element.type, type_name)):
        for element in elements:
            if fits(element):
                return element
    type_names = " or ".join(element.type for element in elements)
    raise Unprocessable(f"{elements[0].path} takes {type_names}, not {type_name}.", expression=expression)


def _takes(expected: str, stated: str) -> bool:
    # value[x] has no xhtml, so a narrative comes as a string.
    return expected in ancestors(stated) or (expected == "xhtml" and stated == "string")


def _of_parts(part: Part, elements: tuple[Element, ...], expression: str) -> Content:
    complex_types = [element for element in elements if not element.primitive and element.type != "Resource"]
    if len(complex_types) != 1:
        raise Unprocessable(f"{elements[0].path} cannot be given as parts.", expression=expression)
    element = complex_types[0]
    node: dict[str, Any] = {}
    parts = part["part"] if isinstance(part["part"], list) else []
    for number, inner in enumerate(parts):
        where = f"{expression}.part[{number}]"
        if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
            raise Unprocessable("Every part has a name.", expression=where)
        inner_content = content(inner, candidates(element.type, inner["name"], where), where)
        require_absent(node, inner_content.element, where)
        add(node, element.type, inner_content)
    if not node:
        raise Unprocessable("An element cannot be empty.", expression=expression)
    return Content(element, node)


def require_absent(node: dict[str, Any], element: Element, expression: str) -> None:
    """Raise Unprocessable where an element that does not repeat is there already, in whichever type of a choice."""
    if element.many:
        return
    choice = element.choice
    same = [element.name]
    if choice is not None:
        owner = table(element.path.rpartition(".")[0])
        same = [each.name for each in owner.elements.values() if each.choice == choice]
    if any(name in node or f"_{name}" in node for name in same):
        raise Unprocessable(f"{element.path} is there already and does not repeat.", expression=expression)
