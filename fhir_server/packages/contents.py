"""What of a package is installed: its definitions, as far as they are valid R4, with ids that nothing else here has."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.packages.archive import Package
from fhir_server.packages.faults import PackageError
from fhir_server.r4 import official, values
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
_PUBLISHER_OF_R4 = "hl7."
"""What the names of HL7's own packages begin with; the registry gives them to nobody else."""
_MARKS = (b",", b"[", b"{")
_MOST_VALUES = 20_000_000
"""Values of all files together, counted by the marks between them: a few bytes each as text, a hundred as objects."""
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


def read_contents(package: Package, own_bases: Sequence[str] = (), most_values: int = _MOST_VALUES) -> Contents:
    """Return what a package has to install, and nothing under `own_bases`, which is the site's to define.

    Raises PackageError where that is more than the memory should hold.
    """
    contents, ids = Contents([], []), set[tuple[str, str]]()
    for name, data in package.resources():
        most_values -= sum(data.count(mark) for mark in _MARKS)
        if most_values < 0:
            raise PackageError(f"{package.manifest.id} has more values in it than any package needs, at {name[:80]!r}.")
        resource = _decoded(data)
        if resource is None:
            contents.left_out.append(f"{name}: it is no JSON object")
            continue
        if resource.get("resourceType") not in DEFINITION_TYPES:
            continue
        reason = _fault(resource) or _claim_fault(resource, package.manifest.name, own_bases)
        if reason is None and (resource["resourceType"], resource["id"]) in ids:
            reason = "another file has its id"
        if reason is None:
            ids.add((resource["resourceType"], resource["id"]))
            contents.resources.append(resource)
        else:
            contents.left_out.append(f"{name}: {reason}")
    return contents


def _claim_fault(resource: Json, package: str, own_bases: Sequence[str]) -> str | None:
    """Return why a package may not define what a URL means: it is this site's, or R4's and the package is not HL7's.

    Whatever a package has under a URL hides R4's own, so that a stranger's would change what R4's codes mean.
    """
    kind, url = resource["resourceType"], str(resource.get("url", "")).partition("|")[0]
    if any(url == base or url.startswith(f"{base}/") for base in own_bases):
        return "its URL is this site's own"
    is_r4 = kind in official.TYPES and official.official_size(kind, url) > 0
    if is_r4 and not package.startswith(_PUBLISHER_OF_R4):
        return f"R4 defines its URL, and only packages of HL7's ({_PUBLISHER_OF_R4}*) may define it anew"
    return None


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
