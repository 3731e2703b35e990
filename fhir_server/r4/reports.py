"""The mark of what a patient, or somebody for a patient, reported: set by the server, never by a client.

Two parts of `meta` make it. A security label of HL7's own says that the content is not the hospital's (PATRPT: patient
reported), so that every system can see and search it (`_security=PATRPT`); whoever takes the content over may remove
the label. The extension says who wrote this very version; the server removes it from what anybody else writes, so
that it never stands on words of the hospital. https://hl7.org/fhir/R4/v3/ObservationValue/cs.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.own_urls import is_own_url, own_url

_EXTENSION = "reported-by"
LABEL_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
_LABELS = {
    "Patient": ("PATRPT", "patient reported"),
    "RelatedPerson": ("PACQRPT", "patient acquaintance reported"),
    "Person": ("PACQRPT", "patient acquaintance reported"),
    "Practitioner": ("CLINRPT", "clinician reported"),
    "PractitionerRole": ("CLINRPT", "clinician reported"),
}
_CODES = frozenset(code for code, _ in _LABELS.values())


def marked(resource: Mapping[str, Any], reporter: str) -> dict[str, Any]:
    """Return the resource as reported by `reporter` ("Patient/1"), whatever mark it has carried before."""
    code, display = _LABELS.get(reporter.partition("/")[0], _LABELS["Patient"])
    meta = dict(unmarked(resource).get("meta") or {})
    meta["extension"] = [
        *meta.get("extension", ()),
        {"url": own_url("StructureDefinition", _EXTENSION), "valueReference": {"reference": reporter}},
    ]
    meta["security"] = [*other_labels(meta), {"system": LABEL_SYSTEM, "code": code, "display": display}]
    return {**resource, "meta": meta}


def unmarked(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resource without the extension that says who reported it; its labels stay."""
    meta = resource.get("meta")
    extensions = meta.get("extension") if isinstance(meta, Mapping) else None
    if not isinstance(meta, Mapping) or not isinstance(extensions, list):
        return resource if isinstance(resource, dict) else dict(resource)
    kept = [each for each in extensions if not is_mark(each)]
    if len(kept) == len(extensions):
        return resource if isinstance(resource, dict) else dict(resource)
    others = {name: value for name, value in meta.items() if name != "extension"}
    return {**resource, "meta": others | ({"extension": kept} if kept else {})}


def reporter_of(resource: Mapping[str, Any]) -> str | None:
    """Return who reported this version ("Patient/1"), or None where it is not a report."""
    meta = resource.get("meta")
    extensions = meta.get("extension") if isinstance(meta, Mapping) else None
    for each in extensions if isinstance(extensions, list) else ():
        if is_mark(each):
            reference = each.get("valueReference")
            text = reference.get("reference") if isinstance(reference, Mapping) else None
            return text if isinstance(text, str) else None
    return None


def other_labels(meta: Mapping[str, Any]) -> list[Any]:
    """Return the security labels that are not a mark."""
    return [each for each in meta.get("security", ()) if not _is_label(each)]


def is_mark(extension: object) -> bool:
    """Return whether an extension is the one that says who reported a version."""
    return isinstance(extension, Mapping) and is_own_url(extension.get("url"), "StructureDefinition", _EXTENSION)


def _is_label(label: object) -> bool:
    return isinstance(label, Mapping) and label.get("system") == LABEL_SYSTEM and label.get("code") in _CODES
