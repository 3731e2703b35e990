"""Which appointment a document belongs to, where only the visit or the order that it is about says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fhir_server.errors import Forbidden
from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.api.coverage import is_covered
from mappings.records import medical_documents, treatment_plans
from mappings.shared import reading
from mappings.shared.elements import Resource


async def appointment_ids(caller: Caller, documents: Sequence[Resource]) -> list[str | None]:
    """Return the ids of the appointments that documents belong to, in their order.

    A document names its appointment itself, or its Encounter, or the order that it answers; an order belongs to its
    Encounter or to its CarePlan. What the caller's token does not cover is not followed.
    """
    named = [medical_documents.from_fhir(item).appointment_id for item in documents]
    open_ends = [item for item, appointment_id in zip(documents, named, strict=True) if appointment_id is None]
    orders = await _many(caller, "ServiceRequest", _related(open_ends, "ServiceRequest"))
    plans = await _many(caller, "CarePlan", (_plan_id(order) for order in orders.values()))
    visited = [*open_ends, *orders.values(), *plans.values()]
    encounters = await _many(caller, "Encounter", (_encounter_id(item) for item in visited))

    def of_visit(resource: Resource) -> str | None:
        return reading.referenced(encounters.get(_encounter_id(resource) or "", {}).get("appointment"), "Appointment")

    def of_order(order: Resource) -> str | None:
        plan = plans.get(_plan_id(order) or "")
        return of_visit(order) or (plan and (treatment_plans.from_fhir(plan).appointment_id or of_visit(plan))) or None

    def of_document(document: Resource) -> str | None:
        answered = (orders.get(order_id or "") for order_id in _related([document], "ServiceRequest"))
        return of_visit(document) or next(filter(None, map(of_order, filter(None, answered))), None)

    return [own or of_document(item) for item, own in zip(documents, named, strict=True)]


async def _many(caller: Caller, resource_type: str, ids: Iterable[str | None]) -> dict[str, dict[str, Any]]:
    if caller.server.remote is None and not is_covered(caller.token.scopes, f"{resource_type}.rs"):
        return {}
    try:
        return await caller.fhir.many(resource_type, ids)
    except Forbidden:  # another server, which alone knows what the token covers
        return {}


def _related(documents: Iterable[Resource], resource_type: str) -> list[str | None]:
    return [
        reading.reference_id(reference, resource_type)
        for document in documents
        for reference in (document.get("context") or {}).get("related") or ()
    ]


def _plan_id(order: Resource) -> str | None:
    return reading.referenced(order.get("basedOn"), "CarePlan")


def _encounter_id(resource: Resource) -> str | None:
    """Return the Encounter that a document, an order or a plan names."""
    if resource["resourceType"] != "DocumentReference":
        return reading.reference_id(resource.get("encounter"), "Encounter")
    context = resource.get("context") or {}
    references = (*(context.get("encounter") or ()), *(context.get("related") or ()))
    return reading.referenced(references, "Encounter")
