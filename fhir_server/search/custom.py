"""SearchParameter resources as search parameters of this server: what one must be to be used, and what it occupies.

Only a resource with the status active is used. https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from fhir_server.errors import Issue
from fhir_server.r4 import fhirpath
from fhir_server.r4.definitions import RESOURCE_TYPES, Component, SearchParameter, search_parameters, table
from fhir_server.r4.fhirpath import FhirPathError, compile_path
from fhir_server.search import reachable_types
from fhir_server.search.registry import branches, official_parameters

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_CHANGING = frozenset({"now", "today", "timeOfDay"})
_UNSUPPORTED_USAGE = frozenset({"nearby", "distance", "other"})


def definition(resource: Mapping[str, Any]) -> SearchParameter | None:
    """Return the parameter that a valid SearchParameter resource adds.

    None where it adds none: it is not active, or it says again what the specification says.
    """
    if resource.get("status") != "active":
        return None
    parameter = _definition(resource)
    return None if _repeats(parameter) else parameter


def faults(resource: Mapping[str, Any]) -> list[Issue]:
    """Return why a SearchParameter resource, valid as such, cannot be used by this server."""
    parameter = definition(resource)
    if parameter is None:
        return []
    return [*_identity(parameter), *_kind(parameter), *_expressions(parameter)]


def is_official(url: str) -> bool:
    """Return whether the canonical URL is that of a search parameter of the specification."""
    return url in _official()


def claims(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what no other SearchParameter may have while this one is there: its URL, and its code on each type."""
    parameter = definition(resource)
    if parameter is None:
        return ()
    return (f"url {parameter.url}", *(f"{name}?{parameter.code}" for name in sorted(types(parameter))))


def types(parameter: SearchParameter) -> frozenset[str]:
    """Return the resource types that the parameter applies to, those below Resource and DomainResource included."""
    return frozenset(name for name in RESOURCE_TYPES if not _with_bases(name).isdisjoint(parameter.base))


@lru_cache(maxsize=256)
def _with_bases(name: str) -> frozenset[str]:
    base = table(name).base
    return frozenset({name}) | (_with_bases(base) if base else frozenset())


@lru_cache(maxsize=1)
def _official() -> Mapping[str, SearchParameter]:
    return {parameter.url: parameter for parameter in search_parameters()}


def _definition(resource: Mapping[str, Any]) -> SearchParameter:
    parts = [
        Component(part.get("definition", "").partition("|")[0], part.get("expression", ""))
        for part in resource.get("component", ())
    ]
    return SearchParameter(
        code=resource["code"],
        url=resource["url"],
        name=resource.get("name", resource["code"]),
        type=resource["type"],
        base=tuple(resource["base"]),
        expression=resource.get("expression", ""),
        target=tuple(resource.get("target", ())),
        component=tuple(parts),
        xpathUsage=resource.get("xpathUsage", ""),
    )


def _repeats(parameter: SearchParameter) -> bool:
    official = _official().get(parameter.url)
    return official is not None and (
        (official.code, official.type, official.expression) == (parameter.code, parameter.type, parameter.expression)
        and set(official.base) == set(parameter.base)
    )


# --- Faults ------------------------------------------------------------------------------------------------------


def _identity(parameter: SearchParameter) -> Iterator[Issue]:
    if parameter.url in _official():
        yield _issue("url", f"{parameter.url} is a search parameter of the specification, which says something else.")
    elif not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:\S", parameter.url):
        yield _issue("url", f"{parameter.url[:200]!r} is not an absolute URI.")
    if not _CODE.fullmatch(parameter.code):
        yield _issue("code", "A code has letters, digits, '-' and '_' after a letter, and at most 64 of them.")
        return
    taken = sorted(name for name in types(parameter) if parameter.code in official_parameters(name))
    if taken:
        where = ", ".join(taken[:5]) + (", ..." if len(taken) > 5 else "")
        text = f"The specification has a search parameter {parameter.code!r} on {where}."
        yield _issue("code", text, "duplicate")


def _kind(parameter: SearchParameter) -> Iterator[Issue]:
    if parameter.type == "special":
        yield _issue("type", "A special parameter is one that only a server's own code can carry out.", "not-supported")
    if parameter.xpathUsage in _UNSUPPORTED_USAGE:
        yield _issue("xpathUsage", f"The usage {parameter.xpathUsage} is not supported, only normal.", "not-supported")
    if parameter.xpathUsage == "phonetic" and parameter.type != "string":
        yield _issue("xpathUsage", "Only a string can be searched by its sound.")
    if (parameter.type == "composite") != bool(parameter.component):
        yield _issue("component", "A composite parameter has components, and no other has them.")
    for position, part in enumerate(parameter.component):
        official = _official().get(part.definition)
        if official is not None and official.type in ("composite", "special"):
            text = f"A {official.type} parameter cannot be a component."
            yield _issue(f"component[{position}].definition", text, "not-supported")


def _expressions(parameter: SearchParameter) -> Iterator[Issue]:
    if not parameter.expression:
        yield _issue("expression", "A search parameter needs a FHIRPath expression here.", "required")
        return
    for base in parameter.base:
        if not branches(parameter.expression, base):
            yield _issue("expression", f"No path of the expression starts at {base}.")
            return
    for name in sorted(types(parameter)):
        try:
            compile_path(" | ".join(branches(parameter.expression, name)), name)
        except FhirPathError as error:
            yield _issue("expression", f"The expression cannot be used on {name}: {error}")
            return
        reasons = [
            reachable_types.fault(branch, name, parameter.type) for branch in branches(parameter.expression, name)
        ]
        if any(reasons):
            yield _issue("expression", next(reason for reason in reasons if reason))
            return
    yield from _component_expressions(parameter)


def _component_expressions(parameter: SearchParameter) -> Iterator[Issue]:
    for position, part in enumerate(parameter.component):
        try:
            changing = fhirpath.compile(part.expression).functions & _CHANGING
        except FhirPathError as error:
            yield _issue(f"component[{position}].expression", f"The expression cannot be used: {error}")
            continue
        yield from _component_ends(parameter, position, part)
        if changing:
            text = f"{min(changing)}() cannot stand in a search expression: an index does not change with time."
            yield _issue(f"component[{position}].expression", text)


def _component_ends(parameter: SearchParameter, position: int, part: Component) -> Iterator[Issue]:
    """Yield why a component can never have a value on any element that the composite's expression ends at."""
    official = _official().get(part.definition)
    outer = [
        reachable_types.ends(branch, name)
        for name in sorted(types(parameter))
        for branch in branches(parameter.expression, name)
    ]
    if official is None or None in outer:
        return
    reasons = [
        reachable_types.fault(part.expression, name, official.type) for each in outer for name in sorted(each or ())
    ]
    if reasons and None not in reasons:
        yield _issue(f"component[{position}].expression", str(reasons[0]))


def _issue(element: str, diagnostics: str, code: str = "business-rule") -> Issue:
    return Issue(code, diagnostics, (f"SearchParameter.{element}",))
