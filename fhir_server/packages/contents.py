"""What of a package is installed: its definitions, as far as they are valid R4, with ids that nothing else here has."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.packages.archive import Package
from fhir_server.r4 import values
from fhir_server.r4.validation import validate

Json = dict[str, Any]

DEFINITION_TYPES = frozenset({
    "ActivityDefinition", "CapabilityStatement", "CodeSystem", "CompartmentDefinition", "ConceptMap",
    "EventDefinition", "GraphDefinition", "ImplementationGuide", "Library", "Measure", "MessageDefinition",
    "NamingSystem", "OperationDefinition", "PlanDefinition", "Questionnaire", "SearchParameter",
    "StructureDefinition", "StructureMap", "TerminologyCapabilities", "ValueSet",
})  # fmt: skip
"""Types whose resources define something; they say nothing of any person. Others in a package are examples."""

_COMPUTED_WITH = frozenset({"CodeSystem", "ConceptMap", "SearchParameter", "StructureDefinition", "ValueSet"})
_TOLERATED = frozenset({"invariant", "exception", "code-invalid", "too-costly"})
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_MAX_DEPTH = 100
TAG_SYSTEM = "urn:fhir:package"
"""The system of the tag by which a definition says which package it is from."""


@dataclass(slots=True)
class Contents:
    """The definitions of a package, and which files are left out, with the reason."""

    resources: list[Json]
    left_out: list[str]

    def bases(self) -> dict[str, str]:
        """Return the canonicals that the structures here are made on top of, each with one of those structures."""
        structures = [each for each in self.resources if each["resourceType"] == "StructureDefinition"]
        return {each["baseDefinition"]: each["url"] for each in structures if "baseDefinition" in each}


def read_contents(package: Package) -> Contents:
    """Return what a package has to install."""
    contents = Contents([], [])
    for name, data in package.resources():
        resource = _decoded(data)
        if resource is None:
            contents.left_out.append(f"{name}: it is no JSON object")
            continue
        if resource.get("resourceType") not in DEFINITION_TYPES:
            continue
        reason = _fault(resource)
        if reason is None:
            contents.resources.append(resource)
        else:
            contents.left_out.append(f"{name}: {reason}")
    return contents


def _decoded(data: bytes) -> Json | None:
    try:
        resource = values.decode(data)
    except (FhirError, ValueError, RecursionError):
        return None
    return resource if isinstance(resource, dict) else None


def _fault(resource: Json) -> str | None:
    """Return why a resource cannot be used; a narrative that is not valid is taken out of it."""
    kind = resource["resourceType"]
    if not isinstance(resource.get("id"), str) or not _ID.fullmatch(resource["id"]):
        return "it has no id"
    if kind != "NamingSystem" and not isinstance(resource.get("url"), str):
        return "it has no url"
    faults = list(_grave(resource))
    if any(place.startswith(f"{kind}.text") for _, place in faults):
        resource.pop("text", None)
        faults = [each for each in faults if not each[1].startswith(f"{kind}.text")]
    return f"{faults[0][1]}: {faults[0][0]}"[:300] if faults else None


def _grave(resource: Json) -> Iterator[tuple[str, str]]:
    """Yield text and place of each fault for which a resource cannot be used.

    Published packages break many an invariant, or a code's list; what matters here is that elements are what they are.
    """
    tolerated = _TOLERATED if resource["resourceType"] in _COMPUTED_WITH else _TOLERATED | {"required"}
    for fault in validate(resource, max_depth=_MAX_DEPTH):
        if fault.severity in ("error", "fatal") and fault.code not in tolerated:
            yield fault.diagnostics, fault.expression[0] if fault.expression else resource["resourceType"]


def stamped(resource: Mapping[str, Any], resource_id: str, version: int, updated: str, package: str) -> Json:
    """Return a resource as it is read here: with an id, version and time of this server, and its package as a tag."""
    meta = resource.get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    tags = [each for each in meta.get("tag", ()) if each.get("system") != TAG_SYSTEM]
    own = {"versionId": str(version), "lastUpdated": updated}
    rest = {name: value for name, value in meta.items() if name.lstrip("_") not in ("versionId", "lastUpdated", "tag")}
    return {
        "resourceType": resource["resourceType"],
        "id": resource_id,
        "meta": {**own, **rest, "tag": [*tags, {"system": TAG_SYSTEM, "code": package}]},
        **{name: value for name, value in resource.items() if name not in ("resourceType", "id", "meta")},
    }


def other_id(resource_id: str, package: str) -> str:
    """Return the id of a definition where another one has its id already: with a digest of the package's version."""
    digest = hashlib.sha256(f"{package}/{resource_id}".encode()).hexdigest()[:8]
    return f"{resource_id[:55]}-{digest}"
