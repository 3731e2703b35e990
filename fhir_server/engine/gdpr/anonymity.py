"""A resource without a person: pure. What stays of an invoice says what was paid and for which codes, not by whom."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from fhir_server.r4 import definitions
from fhir_server.r4.references import literal, mentioned

ERASED = {"display": "Erased"}
"""What stands where somebody was named."""

_PEOPLE = frozenset({"Patient", "RelatedPerson", "Person"})

_FREE_TEXT = frozenset({"string", "markdown", "xhtml", "base64Binary"})
"""Primitive types in which anybody may have written anything of anyone."""
_SAID_ANYWAY = frozenset({"Identifier.value", "Extension.url"})
"""Elements of those types that are no free text: an invoice is found by its number."""
_TELLING = frozenset({
    "Address", "Annotation", "Attachment", "ContactDetail", "ContactPoint", "HumanName", "Narrative", "Resource",
    "Signature",
})  # fmt: skip
"""Types that are about a person, or hold text and files of any kind."""


def anonymised(resource: Mapping[str, Any], gone: Set[str], base_url: str = "") -> dict[str, Any]:
    """Return the resource with nobody in the place of those `gone`, which are references such as Patient/1.

    Who has the same id on another server than that of `base_url` is another person.
    """
    result = _without(resource, gone, base_url)
    assert isinstance(result, dict)
    return result


def _without(node: Any, gone: Set[str], base_url: str) -> Any:
    if isinstance(node, list):
        return [_without(item, gone, base_url) for item in node]
    if not isinstance(node, dict):
        return node
    # Not only what names one of those: an operation on one, or a part, tells the id too.
    if mentioned(node.get("reference"), base_url) in gone:
        return dict(ERASED)
    return {name: _without(value, gone, base_url) for name, value in node.items()}


def without_text(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource that was about one person alone without that person, and without all free text.

    Amounts, dates, codes, identifiers and references to whom is no person's relation stay. An element that must be
    there says "Erased".
    """
    kept = _elements(resource, resource["resourceType"])
    return {"resourceType": resource["resourceType"], **kept}


def _elements(node: Mapping[str, Any], type_name: str) -> dict[str, Any]:
    table = definitions.table(type_name)
    kept: dict[str, Any] = {}
    for name, value in node.items():
        element = table.elements.get(name)
        if element is None:
            continue  # the type of the resource, and what extends primitives
        values = [_value(each, element) for each in value] if isinstance(value, list) else [_value(value, element)]
        values = [each for each in values if each is not None]
        if values:
            kept[name] = values if isinstance(value, list) else values[0]
    return kept


def _value(value: Any, element: definitions.Element) -> Any:
    """Return what stays of a value; None where nothing does."""
    if element.primitive:
        if element.type not in _FREE_TEXT or element.path in _SAID_ANYWAY:
            return value
        return ERASED["display"] if element.min and not element.choice else None
    if element.type in _TELLING or not isinstance(value, dict):
        return None
    if element.type == "Reference":
        return _reference(value)
    kept = _elements(value, element.type)
    if element.type == "Extension":
        return kept if len(kept) > 1 else None  # its URL alone says nothing
    if element.type == "CodeableConcept" and not kept:
        return {"text": ERASED["display"]}
    return kept or None


def _reference(reference: Mapping[str, Any]) -> dict[str, Any]:
    """Return a reference without what describes its target; to a person, or to nobody knows whom, none is left."""
    text = reference.get("reference")
    named = literal(text)
    if named is None or named.type in _PEOPLE:
        return dict(ERASED)
    return {"reference": text}
