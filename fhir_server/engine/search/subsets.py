"""Parts of a resource: what `_summary` and `_elements` leave of it, and that such a part is never stored.

https://hl7.org/fhir/R4/search.html#summary
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from fhir_server.errors import BadRequest, Issue
from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES, Element, table
from fhir_server.search.query.ast import Query
from fhir_server.search.query.controls import Controls, read_control
from fhir_server.work.budget import spend

_TAG = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}
_ALWAYS = frozenset({"resourceType", "id", "meta"})


def subset_query(pairs: Iterable[tuple[str, str]], resource_type: str) -> Query | None:
    """Return what `_summary` and `_elements` ask where nothing is searched; None where neither leaves anything out.

    Raises BadRequest for a value that is none of theirs, and for a count of what is not searched.
    https://hl7.org/fhir/R4/http.html#parameters
    """
    controls = Controls((resource_type,))
    for name, value in pairs:
        if name in ("_summary", "_elements") and value:
            read_control(controls, name, value)
    query = Query(controls.types, **controls.fields)
    if query.summary == "count":
        raise BadRequest("_summary=count is for searches and histories.", code="not-supported")
    return query if is_subset(query, resource_type) else None


def shown(data: bytes, pairs: Sequence[tuple[str, str]], resource_type: str) -> bytes:
    """Return a resource's JSON with what `_summary` and `_elements` leave of it."""
    query = subset_query(pairs, resource_type) if pairs else None
    return data if query is None else subset(data, query)


def is_subset(query: Query, resource_type: str, *, included: bool = False) -> bool:
    """Return whether the search asks for a part only of a resource of the type: a match, or one `included` with it."""
    if query.summary in ("true", "text", "data"):
        return True
    return bool(query.elements) and bool(_names(query, resource_type, included=included))


def _names(query: Query, resource_type: str, *, included: bool) -> frozenset[str]:
    """Return the root elements that `_elements` asks of a type; none where it asks nothing of it.

    The names apply to the matches alone, unless a type stands before them: `Patient.name` applies to every Patient.
    """
    names = set()
    spend(len(query.elements))
    for text in query.elements:
        first, _, rest = text.partition(".")
        if first in RESOURCE_TYPES:
            names.update([rest.partition(".")[0]] if first == resource_type else [])
        elif not included:
            names.add(first)
    return frozenset(names)


def subset(data: bytes, query: Query, *, included: bool = False) -> bytes:
    """Return a resource's JSON with only what the search asks for, marked as SUBSETTED."""
    resource = values.decode(data)
    return values.encode(marked(_part(resource, query, included=included)))


def _part(resource: Mapping[str, Any], query: Query, *, included: bool) -> dict[str, Any]:
    resource_type = resource["resourceType"]
    names = _names(query, resource_type, included=included)
    if names:
        return _named(resource, names)
    if query.summary == "true":
        return _summary(resource, resource_type)
    if query.summary == "text":
        return _named(resource, {"text"})
    return {name: value for name, value in resource.items() if name != "text"}


def _named(resource: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the elements of these names (`value` of a choice too), and those that must not be left out."""
    elements = table(resource["resourceType"]).elements
    return {name: value for name, value in resource.items() if _is_kept(name, names, elements)}


def _is_kept(name: str, names: Collection[str], elements: Mapping[str, Element]) -> bool:
    plain = name.removeprefix("_")
    if plain in _ALWAYS or plain in names:
        return True
    element = elements.get(plain)
    return element is not None and (element.choice in names or element.min > 0 or element.modifier)


def _summary(node: Mapping[str, Any], type_name: str) -> dict[str, Any]:
    """Return the elements that the specification marks as summary, in backbone elements likewise."""
    elements = table(type_name).elements
    summary: dict[str, Any] = {}
    for name, value in node.items():
        element = elements.get(name.removeprefix("_"))
        if name in _ALWAYS:
            summary[name] = value
        elif element is not None and (element.summary or (element.min > 0 and "." in type_name)):
            summary[name] = _summary_value(value, element)
    return summary


def _summary_value(value: Any, element: Element) -> Any:
    if "." not in element.type:
        return value
    if isinstance(value, list):
        return [_summary(each, element.type) for each in value]
    return _summary(value, element.type)


def refusals(resource: Mapping[str, Any]) -> list[Issue]:
    """Return why a valid resource must not be stored: it says itself that it is but a part of one.

    Stored, it would pass for the whole, or take the place of the whole. What a Bundle holds is its own affair.
    """
    return [
        Issue(
            "business-rule",
            "The resource is tagged SUBSETTED: what _summary and _elements left of a resource cannot be stored as one.",
            (f"{resource['resourceType']}.meta.tag[{place}]",),
        )
        for place, tag in enumerate(resource.get("meta", {}).get("tag", ()))
        if (tag.get("system"), tag.get("code")) == (_TAG["system"], _TAG["code"])
    ]


def marked(resource: dict[str, Any]) -> dict[str, Any]:
    """Return the resource with the tag that says it is not whole."""
    meta = resource.get("meta") or {}
    tags = [tag for tag in meta.get("tag", ()) if tag.get("code") != "SUBSETTED"]
    return {**resource, "meta": {**meta, "tag": [*tags, _TAG]}}
