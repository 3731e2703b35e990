"""Results as resources of R4; what R4 has no element for, as the cross-version extensions of R5."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from terminology.model.codings import Coding
from terminology.model.concept_maps import Dependency
from terminology.model.concepts import Designation, Json, Property
from terminology.operations.closure import ClosureEntry
from terminology.operations.expansion import UNCLOSED, UNCLOSED_REASON, Entry, Expansion
from terminology.operations.find_matches import CodeMatch
from terminology.operations.lookup import Lookup, LookupProperty
from terminology.operations.translate import Match, Translation
from terminology.operations.validate import Validation
from terminology.parameters.outcomes import write_outcome

_FIVE = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion."
_DESIGNATION_EXTENSIONS = {
    "http://hl7.org/fhir/StructureDefinition/" + name
    for name in (
        "coding-sctdescid",
        "rendering-style",
        "rendering-xhtml",
        "structuredefinition-standards-status",
        "codesystem-alternate",
    )
}
_DEFINITION = (
    "purpose",
    "compose",
    "description",
    "contact",
    "copyright",
    "publisher",
    "extension",
    "text",
    "contained",
)


def _parameters(parameters: Iterable[Json]) -> Json:
    return {"resourceType": "Parameters", "parameter": list(parameters)}


def _value(name: str, kind: str, value: Any) -> Json:
    return {"name": name, "value" + kind[0].upper() + kind[1:]: value}


def _stated(values: Iterable[tuple[str, str, Any]]) -> list[Json]:
    """Return parameters for the values that are there."""
    return [_value(name, kind, value) for name, kind, value in values if value is not None]


# --- Expansion ---------------------------------------------------------------------------------------------------


def write_expansion(expansion: Expansion) -> Json:
    """Return the ValueSet of an expansion; the definition is left out unless the caller asked for it."""
    resource = {key: value for key, value in expansion.value_set.resource.items() if key not in ("id", "expansion")}
    if not expansion.include_definition:
        resource = {key: value for key, value in resource.items() if key not in _DEFINITION}
    resource["resourceType"] = "ValueSet"
    body: Json = {"identifier": f"urn:uuid:{uuid4()}", "timestamp": _now()}
    if extensions := list(_expansion_extensions(expansion)):
        body["extension"] = extensions
    if expansion.total is not None:
        body["total"] = expansion.total
    if expansion.offset is not None:
        body["offset"] = expansion.offset
    if expansion.parameters:
        body["parameter"] = [_value(*each) for each in expansion.parameters]
    if expansion.contains:
        body["contains"] = [write_entry(each) for each in expansion.contains]
    return {**resource, "expansion": body}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _expansion_extensions(expansion: Expansion) -> Iterator[Json]:
    if expansion.unclosed_reasons:
        yield {"url": UNCLOSED, "valueBoolean": True}
    for reason in expansion.unclosed_reasons:
        yield {"url": UNCLOSED_REASON, "valueString": reason}
    for code, uri in expansion.properties.items():
        parts: list[Json] = [{"url": "code", "valueCode": code}]
        if uri:
            parts.append({"url": "uri", "valueUri": uri})
        yield {"url": f"{_FIVE}property", "extension": parts}


def write_entry(entry: Entry) -> Json:
    """Return an entry as an element of ValueSet.expansion.contains."""
    element: Json = {"system": entry.system}
    extensions = [*entry.extensions, *map(_entry_property, entry.properties)]
    if extensions:
        element["extension"] = extensions
    if entry.abstract:
        element["abstract"] = True
    if entry.inactive:
        element["inactive"] = True
    if entry.version:
        element["version"] = entry.version
    element["code"] = entry.code
    if entry.display is not None:
        element["display"] = entry.display
    if entry.designations:
        element["designation"] = [write_designation(each) for each in entry.designations]
    if entry.contains:
        element["contains"] = [write_entry(each) for each in entry.contains]
    return element


def _entry_property(each: Property) -> Json:
    parts = [{"url": "code", "valueCode": each.code}, {"url": "value", each.element: each.value}]
    return {"url": f"{_FIVE}contains.property", "extension": parts}


def write_designation(designation: Designation) -> Json:
    """Return a designation as an element of R4."""
    element: Json = {}
    kept = [each for each in designation.extensions if each.get("url") in _DESIGNATION_EXTENSIONS]
    if kept:
        element["extension"] = kept
    if designation.language:
        element["language"] = designation.language
    if designation.use:
        element["use"] = designation.use
    return {**element, "value": designation.value}


# --- Validation --------------------------------------------------------------------------------------------------


def write_validation(validation: Validation) -> Json:
    """Return the Parameters of `$validate-code`."""
    values: list[tuple[str, str, Any]] = [
        ("result", "boolean", validation.valid),
        ("message", "string", validation.message),
        ("display", "string", validation.display if validation.code else None),
        ("system", "uri", validation.system),
        ("version", "string", validation.version),
        ("code", "code", validation.code),
        ("normalized-code", "code", validation.normal_form),
        ("inactive", "boolean", validation.inactive or None),
        ("status", "code", validation.status),
        ("codeableConcept", "CodeableConcept", validation.concept),
        *(("x-unknown-system", "canonical", each) for each in validation.unknown_systems),
        *(("x-caused-by-unknown-system", "canonical", each) for each in validation.caused_by_unknown_systems),
    ]
    parameters = _stated(values)
    if validation.issues:
        parameters.append({"name": "issues", "resource": write_outcome(validation.issues)})
    return _parameters(parameters)


# --- Lookup, subsumption, matches --------------------------------------------------------------------------------


def write_lookup(lookup: Lookup) -> Json:
    """Return the Parameters of `$lookup`."""
    info = lookup.info
    parameters = _stated(
        [
            ("name", "string", info.name or info.title or info.url),
            ("code", "code", lookup.concept.code),
            ("system", "uri", info.url),
            ("version", "string", info.version),
            ("display", "string", lookup.display or lookup.concept.code),
            ("definition", "string", lookup.definition),
            ("abstract", "boolean", lookup.concept.abstract),
        ]
    )
    parameters += [{"name": "designation", "part": list(_designation_parts(each))} for each in lookup.designations]
    parameters += [{"name": "property", "part": list(_property_parts(each))} for each in lookup.properties]
    return _parameters(parameters)


def _designation_parts(designation: Designation) -> Iterator[Json]:
    yield from _stated(
        [
            ("language", "code", designation.language),
            ("use", "Coding", designation.use),
            ("value", "string", designation.value),
        ]
    )


def _property_parts(described: LookupProperty) -> Iterator[Json]:
    yield _value("code", "code", described.property.code)
    yield _value("value", described.property.type, described.property.value)
    if described.description:
        yield _value("description", "string", described.description)


def write_subsumption(outcome: str) -> Json:
    """Return the Parameters of `$subsumes`."""
    return _parameters([_value("outcome", "code", outcome)])


def write_code_matches(matches: Iterable[CodeMatch]) -> Json:
    """Return the Parameters of `$find-matches`."""
    return _parameters({"name": "match", "part": list(_code_match_parts(each))} for each in matches)


def _code_match_parts(match: CodeMatch) -> Iterator[Json]:
    yield _value("code", "Coding", write_coding(_coding_of(match)))
    for each in match.unmatched:
        yield {"name": "unmatched", "part": [_value("code", "code", each.code), _value("value", each.type, each.value)]}


def _coding_of(match: CodeMatch) -> Coding:
    return Coding(match.info.url, match.info.version, match.concept.code, match.concept.display)


def write_coding(coding: Coding) -> Json:
    """Return a coding as an element."""
    stated = {
        "system": coding.system,
        "version": coding.version,
        "code": coding.code,
        "display": coding.display,
    }
    return {name: value for name, value in stated.items() if value is not None}


# --- Translation, closure ----------------------------------------------------------------------------------------


def write_translation(translation: Translation) -> Json:
    """Return the Parameters of `$translate`."""
    parameters = _stated([("result", "boolean", translation.result), ("message", "string", translation.message)])
    parameters += [{"name": "match", "part": list(_match_parts(each))} for each in translation.matches]
    return _parameters(parameters)


def _match_parts(match: Match) -> Iterator[Json]:
    yield _value("equivalence", "code", match.equivalence)
    if match.concept is not None:
        yield _value("concept", "Coding", write_coding(match.concept))
    if match.source is not None:
        yield _value("source", "Coding", write_coding(match.source))
    if match.origin_map:
        yield _value("originMap", "canonical", match.origin_map)
    if match.comment:
        yield _value("comment", "string", match.comment)
    for each in match.products:
        yield {"name": "product", "part": list(_product_parts(each))}


def _product_parts(product: Dependency) -> Iterator[Json]:
    yield _value("element", "uri", product.name)
    yield _value("concept", "Coding", write_coding(Coding(product.system, None, product.value)))


def write_closure(name: str, version: str, entries: Iterable[ClosureEntry]) -> Json:
    """Return the ConceptMap of `$closure`: each concept with those above it."""
    groups: dict[tuple[str, str | None], dict[str, list[Json]]] = {}
    for each in entries:
        group = groups.setdefault((each.concept.system or "", each.concept.version), {})
        target = {"code": each.ancestor.code, "equivalence": "subsumes"}
        group.setdefault(each.concept.code or "", []).append(target)
    return {
        "resourceType": "ConceptMap",
        "version": version,
        "name": name,
        "status": "active",
        "experimental": True,
        "date": _now(),
        **({"group": [_closure_group(*each) for each in groups.items()]} if groups else {}),
    }


def _closure_group(key: tuple[str, str | None], elements: dict[str, list[Json]]) -> Json:
    system, version = key
    versions = {"sourceVersion": version, "targetVersion": version} if version else {}
    listed = [{"code": code, "target": targets} for code, targets in elements.items()]
    return {"source": system, "target": system, **versions, "element": listed}
