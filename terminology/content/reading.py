"""Reading CodeSystem resources: what one says of itself, and its concepts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from terminology.model.concepts import (
    CONCEPT_PROPERTIES,
    INACTIVE_STATUSES,
    PREFERRED_FOR_LANGUAGE,
    CodeSystemInfo,
    Concept,
    Designation,
    Json,
    Property,
    PropertyDefinition,
)

STANDARDS_STATUS = "http://hl7.org/fhir/StructureDefinition/structuredefinition-standards-status"
SUPPLEMENT_TYPE = "http://hl7.org/fhir/StructureDefinition/codesystem-supplement-type"
_VERSION_ALGORITHM = "http://hl7.org/fhir/5.0/StructureDefinition/extension-CodeSystem.versionAlgorithm"
_ALGORITHM_ELEMENTS = ("versionAlgorithmString", "versionAlgorithmCoding")


def extension_value(element: Json, *urls: str) -> Any:
    """Return the value of the first extension with one of the urls, None where there is none."""
    for extension in element.get("extension", ()):
        if extension.get("url") in urls:
            return element_value(extension)
    return None


def element_value(element: Json) -> Any:
    """Return the `value[x]` of an element, None where there is none."""
    return next((value for name, value in element.items() if name.startswith("value")), None)


def read_info(resource: Json) -> CodeSystemInfo:
    """Return what a CodeSystem resource says of itself."""
    return CodeSystemInfo(
        url=resource.get("url", ""),
        version=resource.get("version"),
        name=resource.get("name"),
        title=resource.get("title"),
        status=resource.get("status"),
        standards_status=extension_value(resource, STANDARDS_STATUS),
        experimental=bool(resource.get("experimental")),
        language=resource.get("language"),
        content=resource.get("content", "complete"),
        case_sensitive=bool(resource.get("caseSensitive")),
        hierarchy_meaning=resource.get("hierarchyMeaning"),
        compositional=bool(resource.get("compositional")),
        version_needed=bool(resource.get("versionNeeded")),
        value_set=resource.get("valueSet"),
        version_algorithm=_version_algorithm(resource),
        properties=read_property_definitions(resource),
    )


def _version_algorithm(resource: Json) -> str | None:
    value = next((resource[name] for name in _ALGORITHM_ELEMENTS if name in resource), None)
    value = value or extension_value(resource, _VERSION_ALGORITHM)
    code = value.get("code") if isinstance(value, dict) else value
    return str(code) if code else None


def read_property_definitions(resource: Json) -> tuple[PropertyDefinition, ...]:
    """Return the properties that a CodeSystem resource declares."""
    return tuple(
        PropertyDefinition(each["code"], each.get("uri"), each.get("type", "string"))
        for each in resource.get("property", ())
        if each.get("code")
    )


def read_properties(concept: Json, definitions: Iterable[PropertyDefinition]) -> Iterator[Property]:
    """Return the properties of a concept in a CodeSystem resource."""
    uris = {each.code: each.uri for each in definitions}
    for each in concept.get("property", ()):
        name = next((name for name in each if name.startswith("value")), None)
        if name is not None and each.get("code"):
            kind = name[5].lower() + name[6:]
            yield Property(each["code"], kind, each[name], uris.get(each["code"]))


def read_designations(concept: Json, source: str | None = None) -> Iterator[Designation]:
    """Return the designations of a concept in a CodeSystem resource, or of one in a value set."""
    for each in concept.get("designation", ()):
        if each.get("value"):
            yield Designation(
                each["value"].strip(),
                each.get("language"),
                each.get("use"),
                status=extension_value(each, STANDARDS_STATUS) or "active",
                extensions=tuple(each.get("extension", ())),
                source=source,
            )


def read_display(display: str, language: str | None) -> Designation:
    """Return a display as a designation."""
    return Designation(display, language, PREFERRED_FOR_LANGUAGE, preferred=True)


def _is(each: Property, name: str) -> bool:
    return each.code == name or each.uri == f"{CONCEPT_PROPERTIES}#{name}"


def property_named(properties: Iterable[Property], *names: str) -> Property | None:
    """Return the first property that is one of FHIR's concept properties, whatever the code system calls it."""
    return next((each for each in properties if any(_is(each, name) for name in names)), None)


def read_concept(concept: Json, info: CodeSystemInfo) -> Concept:
    """Return a concept of a CodeSystem resource."""
    properties = tuple(read_properties(concept, info.properties))
    display = concept.get("display")
    named = (read_display(display, info.language),) if display else ()
    abstract = property_named(properties, "notSelectable", "abstract")
    status = _status(concept, properties)
    stated = property_named(properties, "inactive")
    inactive = (stated is not None and stated.text == "true") or status in INACTIVE_STATUSES
    return Concept(
        code=concept["code"],
        display=display,
        definition=concept.get("definition"),
        designations=(*named, *read_designations(concept)),
        properties=properties,
        extensions=tuple(concept.get("extension", ())),
        abstract=abstract is not None and abstract.text == "true",
        inactive=inactive,
        status=status or ("inactive" if inactive else None),
    )


def _status(concept: Json, properties: tuple[Property, ...]) -> str | None:
    stated = property_named(properties, "status")
    if stated is not None:
        return stated.text
    standards = extension_value(concept, STANDARDS_STATUS)
    if standards:
        return str(standards)
    deprecated = property_named(properties, "deprecated")
    return "deprecated" if deprecated is not None and deprecated.text == "true" else None
