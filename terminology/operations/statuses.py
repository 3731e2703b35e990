"""Warnings about content that is deprecated, withdrawn, retired, experimental or a draft.

A resource that is itself a draft, or experimental, may refer to others that are.
https://hl7.org/fhir/extensions/StructureDefinition-structuredefinition-standards-status.html
"""

from __future__ import annotations

from dataclasses import dataclass

from terminology.model.concepts import CodeSystemInfo
from terminology.model.issues import Issue, issue
from terminology.model.value_sets import ValueSet


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far a resource can be relied on; `type` is the resource's."""

    type: str
    canonical: str
    status: str | None
    standards_status: str | None
    experimental: bool

    @property
    def draft(self) -> bool:
        """Whether it is a draft."""
        return "draft" in (self.status, self.standards_status)


def reliability_of(resource: ValueSet | CodeSystemInfo) -> Reliability:
    """Return the standing of a value set or a code system."""
    name = "ValueSet" if isinstance(resource, ValueSet) else "CodeSystem"
    return Reliability(name, resource.canonical, resource.status, resource.standards_status, resource.experimental)


def _own(reliability: Reliability) -> str | None:
    """Return what is to be said of a resource, whoever refers to it."""
    if reliability.standards_status in ("deprecated", "withdrawn"):
        return reliability.standards_status
    return "retired" if reliability.status == "retired" else None


def _beside(reliability: Reliability, source: Reliability) -> str | None:
    """Return what is to be said of a resource, unless the one that refers to it is the same."""
    if reliability.experimental:
        return None if source.experimental else "experimental"
    return "draft" if reliability.draft and not source.draft else None


def warning(reliability: Reliability, source: Reliability) -> str | None:
    """Return what an expansion tells of a resource that it used for the value set `source`."""
    own = _own(reliability)
    if own is None:
        return _beside(reliability, source)
    return None if own in (source.standards_status, source.status) else own


def warning_issue(reliability: Reliability, source: Reliability) -> Issue | None:
    """Return the issue that validation tells of a resource that it used for the value set `source`."""
    kind = _own(reliability) or _beside(reliability, source)
    if kind is None:
        return None
    name = f"MSG_{kind.upper()}"
    return issue("information", "business-rule", "status-check", name, reliability.canonical, reliability.type)
