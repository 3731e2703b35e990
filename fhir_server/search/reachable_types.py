"""Which types the expression of a search parameter can end at, found without any resource.

An expression that ends nowhere, or at what the kind of parameter cannot index, would be announced and never match.
https://hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from fhir_server.r4.definitions import RESOURCE_TYPES, TABLE_NAMES, table
from fhir_server.r4.fhirpath.navigation import elements_named
from fhir_server.r4.fhirpath.parser import parse
from fhir_server.r4.fhirpath.syntax import Call, Indexer, Member, Node, Operation, TypeOperation, type_specifier

Types: TypeAlias = frozenset[str] | None
"""Types of items; None where they cannot be told."""

_SAME = frozenset({"where", "first", "last", "tail", "skip", "take", "distinct", "single", "trace"})
_CASTS = frozenset({"as", "ofType"})
_ANY = frozenset({"Resource", "DomainResource", "Element", "BackboneElement"})

_TEXTS = frozenset({"string", "markdown", "code", "id", "uri", "url", "canonical", "oid", "uuid"})
_INDEXED: dict[str, frozenset[str]] = {
    "number": frozenset({"decimal", "integer", "positiveInt", "unsignedInt", "Range"}),
    "date": frozenset({"date", "dateTime", "instant", "Period", "Timing"}),
    "string": _TEXTS
    | {"HumanName", "Address", "CodeableConcept", "Coding", "Annotation", "Identifier", "ContactPoint"},
    "token": _TEXTS
    | {"boolean", "integer", "positiveInt", "unsignedInt", "decimal", "date", "dateTime", "instant", "time"}
    | {"base64Binary", "Coding", "CodeableConcept", "Identifier", "ContactPoint", "Quantity", "Money"},
    "reference": frozenset({"Reference", "uri", "url", "canonical", "oid", "uuid"}) | RESOURCE_TYPES,
    "quantity": frozenset({"Quantity", "Money", "Range", "SampledData"}),
    "uri": frozenset({"uri", "url", "canonical", "oid", "uuid", "string"}),
}


def fault(expression: str, base: str, kind: str) -> str | None:
    """Return why an expression on a type can never give a parameter of the kind a value; None where it may."""
    types = ends(expression, base)
    if types is None:
        return None
    if not types:
        return f"{expression[:200]!r} can lead to nothing on {base}; a choice is written as in value.ofType(Reference)."
    indexed = _INDEXED.get(kind)
    if indexed is None or any(not indexed.isdisjoint(_with_bases(name)) for name in types):
        return None
    hint = " (add .value to what is to be an extension's value)" if "Extension" in types else ""
    named = ", ".join(sorted(types)[:5])
    return f"{expression[:200]!r} ends at {named} on {base}, by which a {kind} parameter cannot search{hint}."


def ends(expression: str, base: str) -> Types:
    """Return the types that an expression on a type can end at; None where they cannot be told."""
    types = _types(parse(expression), base)
    return None if types is None or types & _ANY else types


def _with_bases(name: str) -> Iterable[str]:
    while True:
        yield name
        if name not in TABLE_NAMES or (base := table(name).base) is None:
            return
        name = base


def _types(node: Node, base: str) -> Types:
    """Return the types of the items that a node gives on an item of the base type."""
    match node:
        case Member(None, name):
            is_type = name[:1].isupper() and name in TABLE_NAMES
            return frozenset({base}) if is_type else _named(frozenset({base}), name)
        case Member(target, name):
            return _named(_types(target, base), name) if target is not None else None
        case Indexer(target):
            return _types(target, base)
        case TypeOperation("as", operand, name):
            return _cast(_types(operand, base), name)
        case Operation("|", left, right):
            one, other = _types(left, base), _types(right, base)
            return None if one is None or other is None else one | other
        case Call():
            return _called(node, base)
    return None


def _called(call: Call, base: str) -> Types:
    target = frozenset({base}) if call.target is None else _types(call.target, base)
    if call.name in _SAME:
        return target
    if call.name in _CASTS and len(call.arguments) == 1:
        name = type_specifier(call.arguments[0])
        return None if name is None else _cast(target, name)
    return frozenset({"Extension"}) if call.name == "extension" else None


def _named(types: Types, name: str) -> Types:
    if types is None or types & _ANY:
        return None
    return frozenset(element.type for each in types for element in elements_named(each, name))


def _cast(types: Types, name: str) -> Types:
    if types is None:
        return None
    name = name.removeprefix("FHIR.")
    if name not in TABLE_NAMES:
        return None
    possible = types & _ANY or any(name in _with_bases(each) or each in _with_bases(name) for each in types)
    return frozenset({name}) if possible else frozenset()
