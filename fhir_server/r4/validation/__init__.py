"""Validation of resources against the base specification: structure, values, bindings, references and invariants.

`plans` arranges the tables of `definitions` into checks; `primitives`, `narrative`, `references`, `bindings`,
`containment` and `invariants` each own one kind of rule.
"""

from __future__ import annotations

from fhir_server.errors import Issue
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.validation.faults import Fault
from fhir_server.r4.validation.invariants import UNDECIDED
from fhir_server.r4.validation.plans import resource_check

MOST_ISSUES = 1000
"""How many faults one answer names; there may be as many as the body has bytes."""


def validate(resource: object, *, max_depth: int, warnings: bool = False) -> list[Issue]:
    """Return every fault of a resource, each with its FHIRPath; none if it is valid FHIR R4.

    With `warnings` also what is doubtful but may be stored.

    The resource is decoded JSON in which decimals are `decimal.Decimal` or int. Objects and arrays nested more than
    `max_depth` deep are a fault. https://hl7.org/fhir/R4/validation.html
    """
    try:
        faults = resource_check(resource, max_depth) or []
    except RecursionError:
        faults = [Fault("", "too-costly", "The resource is nested too deeply.")]
    if not warnings:
        faults = [fault for fault in faults if fault.severity == "error"]
    # An invariant often cannot be evaluated because of another fault; that one tells the caller more.
    decided = [fault for fault in faults if fault.code != UNDECIDED] or faults
    root = _root(resource) if decided else ""
    issues = [Issue(fault.code, fault.text, (root + fault.path,), fault.severity) for fault in decided[:MOST_ISSUES]]
    if len(decided) > MOST_ISSUES:
        issues.append(Issue("too-costly", f"{len(decided) - MOST_ISSUES} more faults are not listed."))
    return issues


def _root(resource: object) -> str:
    """Return how the FHIRPath of a fault starts."""
    name = resource.get("resourceType") if isinstance(resource, dict) else None
    return name if isinstance(name, str) and name in RESOURCE_TYPES else "Resource"
