"""For each search parameter resources that it finds and resources that it does not, made from its own expression.

Only the forms of expressions that the official parameters have are read here, with nothing of the server's FHIRPath.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from fhir_server.r4.definitions import Element, SearchParameter, search_parameters, table
from tests.search.samples.sample_values import Variant, filled, put, searched, value

Resource = dict[str, Any]

_STEP = re.compile(r"(?P<name>\w+)(?:\((?P<argument>[^()]*(?:\(\))?[^()]*)\))?")


_OF_THE_SERVER = frozenset({"_id", "_lastUpdated"})
"""Parameters whose values the server gives."""


@dataclass(frozen=True)
class Case:
    """A search that must find one resource and not the other."""

    code: str
    value: str
    match: Resource
    other: Resource


def of_type(resource_type: str) -> Iterator[SearchParameter]:
    """Return the official parameters of a type, those of all types included."""
    bases = {resource_type, "Resource", "DomainResource"}
    for parameter in search_parameters():
        if bases.intersection(parameter.base) and parameter.expression and parameter.code not in _OF_THE_SERVER:
            yield parameter


def cases(parameter: SearchParameter, resource_type: str) -> Iterator[Case]:
    """Return a case for each path that a parameter's expression has into the type."""
    for branch in branches(parameter.expression, resource_type):
        if parameter.type == "composite":
            yield _composite(parameter, branch, resource_type)
            continue
        path = steps(branch)[1:]
        match, element, content = _with(resource_type, path, "match", parameter.type)
        other = _with(resource_type, path, "other", parameter.type)[0]
        yield Case(parameter.code, searched(parameter.type, element, content), match, other)


def branches(expression: str, resource_type: str) -> list[str]:
    """Return the members of a union that concern a type."""
    items = [each.strip() for each in expression.split(" | ")]
    roots = {resource_type, "Resource", "DomainResource"}
    return [each for each in items if steps(each)[0][0] in roots]


def steps(expression: str) -> list[tuple[str, str | None]]:
    """Return the steps of a path with their arguments: `as` and `where` are steps of their own."""
    text = re.sub(r"\(([\w.]+) as (\w+)\)", r"\1.as(\2)", expression)
    text = re.sub(r"^([\w.]+) as (\w+)$", r"\1.as(\2)", text)
    # A few parameters name their first element without the type.
    if text[:1].islower():
        text = f"Resource.{text}"
    return [(match["name"], match["argument"]) for match in _STEP.finditer(text)]


# --- Building ----------------------------------------------------------------------------------------------------


def _with(
    resource_type: str, path: list[tuple[str, str | None]], variant: Variant, kind: str
) -> tuple[Resource, Element, Any]:
    resource = {"resourceType": resource_type, **filled(resource_type)}
    element, content = _set(resource, resource_type, path, variant, kind)
    return resource, element, content


def _set(
    target: dict[str, Any], type_name: str, path: list[tuple[str, str | None]], variant: Variant, kind: str
) -> tuple[Element, Any]:
    """Set the element at a path below an object of a type; returns the last element and its content."""
    (name, _), *rest = path
    expected = rest.pop(0)[1] if rest and rest[0][0] == "as" else None
    condition = rest.pop(0)[1] if rest and rest[0][0] == "where" else None
    element = _element(type_name, name, expected, kind)
    _leave_other_choices(target, type_name, element)
    content = value(element, "filler" if rest else variant)
    if condition is not None:
        _meet(content, condition, variant)
    put(target, element, content)
    if not rest:
        return element, content
    return _set(content, element.type, rest, variant, kind)


def _leave_other_choices(target: dict[str, Any], type_name: str, element: Element) -> None:
    for other in table(type_name).elements.values():
        if other.choice is not None and other.choice == element.choice:
            target.pop(other.name, None)


def _meet(content: Any, condition: str, variant: Variant) -> None:
    if resolved := re.fullmatch(r"resolve\(\) is (\w+)", condition):
        content["reference"] = f"{resolved[1]}/{variant}"
        return
    name, expected = condition.split("=")
    content[name] = expected.strip("'")


_SEARCHABLE = {
    "date": ("dateTime", "date", "instant", "Period", "Timing"),
    "quantity": ("Quantity", "Age", "Duration", "Money", "Range"),
    "token": ("CodeableConcept", "code", "boolean", "string"),
    "reference": ("Reference", "canonical", "uri"),
    "string": ("string",),
    "number": ("decimal", "integer"),
    "uri": ("uri", "canonical"),
}


def _element(type_name: str, name: str, expected: str | None, kind: str) -> Element:
    elements = table(type_name).elements
    if name in elements:
        return elements[name]
    choices = [each for each in elements.values() if each.choice == name]
    if expected is not None:
        return next(each for each in choices if each.type.lower() == expected.lower())
    order = _SEARCHABLE[kind]
    return min(choices, key=lambda each: order.index(each.type) if each.type in order else 99)


# --- Composites --------------------------------------------------------------------------------------------------


@cache
def _by_url() -> dict[str, SearchParameter]:
    return {parameter.url: parameter for parameter in search_parameters()}


def _composite(parameter: SearchParameter, branch: str, resource_type: str) -> Case:
    """Return a case whose other resource has the first parts of the match, but another last one."""
    match, values = _with_parts(parameter, branch, resource_type, "match")
    other, _ = _with_parts(parameter, branch, resource_type, "other")
    return Case(parameter.code, "$".join(values), match, other)


def _with_parts(
    parameter: SearchParameter, branch: str, resource_type: str, last: Variant
) -> tuple[Resource, list[str]]:
    resource = {"resourceType": resource_type, **filled(resource_type)}
    whole, type_name = resource, resource_type
    for name, _ in steps(branch)[1:]:
        element = table(type_name).elements[name]
        content = filled(element.type)
        put(whole, element, content)
        whole, type_name = content, element.type
    values: list[str] = []
    for component in parameter.component:
        variant: Variant = last if component is parameter.component[-1] else "match"
        kind = _by_url()[component.definition].type
        path = steps(component.expression.split(" | ")[0])[1:]
        element, content = _set(whole, type_name, path, variant, kind)
        values.append(searched(kind, element, content))
    return resource, values
