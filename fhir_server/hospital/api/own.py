"""Whose a resource is, and whether it is the caller's: one rule for every endpoint.

The token's access decides first what is there at all; a token may show more than one patient's data, and staff's do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.api.problem import Problem, invalid
from mappings.shared import reading
from mappings.shared.elements import Resource

_OWNERS: Mapping[str, tuple[str, ...]] = {
    "Appointment": ("participant.actor",),
    "Communication": ("recipient", "subject"),
    "Coverage": ("beneficiary",),
    "DiagnosticReport": ("subject",),
    "DocumentReference": ("subject",),
    "Encounter": ("subject",),
    "MedicationRequest": ("subject",),
    "RelatedPerson": ("patient",),
    "ServiceRequest": ("subject",),
}
"""The elements that name whose a resource is, the first that names a patient counts."""


def owner_of(resource: Resource) -> str | None:
    """Return the id of the patient whose a resource is."""
    for path in _OWNERS[resource["resourceType"]]:
        owner = reading.referenced(_values(resource, path.split(".")), "Patient")
        if owner is not None:
            return owner
    return None


def _values(node: Any, path: list[str]) -> Iterable[Resource]:
    for item in node if isinstance(node, list) else [node]:
        if not path:
            yield item
        elif isinstance(item, Mapping) and path[0] in item:
            yield from _values(item[path[0]], path[1:])


def is_own(caller: Caller, resource: Resource | None) -> bool:
    """Return whether there is a resource, and it is the caller's."""
    return resource is not None and owner_of(resource) == caller.patient_id


async def own(caller: Caller, resource_type: str, resource_id: str) -> dict[str, Any] | None:
    """Return a resource of the caller, or None for any other."""
    resource = await caller.fhir.read(resource_type, resource_id)
    return resource if is_own(caller, resource) else None


async def require_own(caller: Caller, resource_type: str, resource_id: str) -> dict[str, Any]:
    """Return a resource of the caller that the path or query names; raises Problem (404) for any other."""
    resource = await own(caller, resource_type, resource_id)
    if resource is None:
        raise Problem("not_found")
    return resource


async def own_named(caller: Caller, resource_type: str, field: str, resource_id: str) -> dict[str, Any]:
    """Return a resource of the caller that a field of the body names; raises Problem (422) for any other."""
    resource = await own(caller, resource_type, resource_id)
    if resource is None:
        raise invalid(field, "unknown_id")
    return resource
