"""Endpoints 33 and 34: prescriptions, and whether insurance covers them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query

from fhir_server.engine.context import now
from fhir_server.hospital.api.answers import Answer
from fhir_server.hospital.api.caller import Called, Caller
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fields import ResourceId
from fhir_server.hospital.api.own import own_named, require_own
from fhir_server.hospital.api.paging import Cursor, Limit, Page, page_of, searched
from fhir_server.hospital.insurance.verification import PolicyQuery, Service, VerificationAnswer, verify
from fhir_server.hospital.records.records import Record
from mappings.records import prescriptions
from mappings.shared import clinic_clock, reading
from mappings.shared.elements import Resource

router = APIRouter(prefix="/medicine", tags=["medicine"])

_SHOWN = "active,on-hold,cancelled,completed,stopped,unknown"
"""Statuses of a MedicationRequest other than a draft or a mistake."""


class PrescriptionAnswer(Answer):
    """A prescription; `status` is the code of MedicationRequest.status."""

    treatment_plan_id: str | None
    medicine_name: str | None
    dosage: str | None
    frequency: str | None
    duration: str | None
    start_date: date | None
    end_date: date | None
    status: str


class MedicineAsked(PolicyQuery):
    """A prescription, and the policy that shall pay for it; without one that on file."""

    prescription_id: ResourceId


async def prescription_answers(
    caller: Caller, record: Record, requests: Sequence[dict[str, Any]]
) -> list[PrescriptionAnswer]:
    """Return the answers for MedicationRequests."""
    created = await caller.fhir.created(requests)
    answers = []
    for item in requests:
        start, end = prescriptions.taken_between(item)
        plan_id = record.plan_id_of(item)
        row = prescriptions.from_fhir(item, treatment_plan_id=plan_id, created=created.get(item["id"]))
        answers.append(PrescriptionAnswer.of(row, start_date=start, end_date=end))
    return answers


async def requests_of(caller: Caller, statuses: str = _SHOWN) -> list[dict[str, Any]]:
    """Return the user's MedicationRequests that are orders, or those of some statuses, the newest first."""
    return newest_first((await caller.fhir.all("MedicationRequest", _orders(caller, statuses))).matches)


def _orders(caller: Caller, statuses: str = _SHOWN) -> list[tuple[str, str]]:
    """Return the search for the user's prescriptions that are orders, the newest first."""
    return [("subject", f"Patient/{caller.patient_id}"), ("status", statuses), ("_sort", "-authoredon")]


def newest_first(resources: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return orders by when they were written."""

    def written(resource: Resource) -> Any:
        return reading.dated(resource, "authoredOn"), resource["id"]

    return sorted(resources, key=written, reverse=True)


@router.get("/prescription", responses=errors("not_found"))
async def list_prescriptions(
    caller: Called,
    appointment_id: Annotated[str | None, Query(max_length=64)] = None,
    active_only: Annotated[bool, Query()] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[PrescriptionAnswer]:
    """Return the user's prescriptions, the newest first; active are those that are still to be taken."""
    if appointment_id is None and not active_only:
        page = await searched(caller, "MedicationRequest", _orders(caller), limit, cursor)
    else:
        requests = await _some_requests(caller, appointment_id, active_only=active_only)
        page = page_of(caller.server, "prescriptions", requests, limit, cursor)
    record = await Record.around(caller, page.items)
    return Page(items=await prescription_answers(caller, record, page.items), total=page.total, next=page.next)


async def _some_requests(caller: Caller, appointment_id: str | None, *, active_only: bool) -> list[dict[str, Any]]:
    """Return the prescriptions of an appointment, those still to be taken, or both; raises Problem (404).

    Neither can be asked of the engine, which narrows by the status alone: which visit a prescription belongs to is told
    by way of its plan (see Record), and when it ends by its dosage or dispensing, for which R4 has no parameters.
    """
    if appointment_id is not None:
        await require_own(caller, "Appointment", appointment_id)
    requests = await requests_of(caller, "active" if active_only else _SHOWN)
    if appointment_id is not None:
        record = await Record.of(caller)
        requests = [item for item in requests if record.appointment_of(item) == appointment_id]
    if active_only:
        today = clinic_clock.wall_date(now(), await caller.clock())
        requests = [item for item in requests if not _is_over(item, today)]
    return requests


def _is_over(request: Resource, today: date) -> bool:
    _, end = prescriptions.taken_between(request)
    return end is not None and end < today


@router.post("/insurance/verify", responses=errors("invalid_token", "validation_failed", "payer_unavailable"))
async def verify_insurance(body: MedicineAsked, caller: Called) -> VerificationAnswer:
    """Find out whether the user's policy covers a prescription."""
    request = await own_named(caller, "MedicationRequest", "prescription_id", body.prescription_id)
    today = clinic_clock.wall_date(now(), await caller.clock())
    return await verify(caller, body, Service(None, today, request))
