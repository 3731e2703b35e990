"""Endpoint 25: an appointment that follows on a completed one."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from fhir_server.hospital.api.caller import Called, Caller
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fields import Reason, ResourceId
from fhir_server.hospital.api.idempotency import IdempotencyKey, once
from fhir_server.hospital.api.own import is_own, own_named
from fhir_server.hospital.api.problem import Problem
from fhir_server.hospital.booking.appointment_answers import AppointmentAnswer
from fhir_server.hospital.booking.book import book_row
from fhir_server.hospital.booking.people import People, require_own_people
from fhir_server.hospital.catalogue.clinic_clocks import clock_of
from mappings.booking import appointments
from mappings.booking.appointments import Appointment

router = APIRouter(prefix="/follow-up", tags=["follow-up"])


class FollowUp(People):
    """The completed appointment, and when the next one is; with the same doctor and clinic unless others are given."""

    appointment_id: ResourceId
    doctor_id: ResourceId | None = None
    clinic_id: ResourceId | None = None
    specialty_id: ResourceId | None = None
    reason: Reason | None = None


@router.post(
    "/appointment",
    status_code=201,
    response_model=AppointmentAnswer,
    responses=errors(
        "invalid_token",
        "not_completed",
        "slot_taken",
        "outside_hours",
        "in_the_past",
        "too_far_ahead",
        "validation_failed",
    ),
)
async def follow_up(body: FollowUp, caller: Called, idempotency_key: IdempotencyKey = None) -> Response:
    """Book an appointment that follows on a completed one."""

    async def run(new_id: str) -> AppointmentAnswer:
        first = await _completed(caller, body.appointment_id)
        await require_own_people(caller, body)
        return await book_row(caller, await _row(caller, first, body, new_id), body)

    return await once(caller, "follow-up/appointment", idempotency_key, body, run)


async def _completed(caller: Caller, appointment_id: str) -> Appointment:
    visit = await own_named(caller, "Appointment", "appointment_id", appointment_id)
    if visit.get("status") != "fulfilled":
        raise Problem("not_completed")
    return appointments.from_fhir(visit, await clock_of(caller, visit))


async def _row(caller: Caller, first: Appointment, body: FollowUp, new_id: str) -> Appointment:
    moved = body.clinic_id not in (None, first.clinic_id) or body.doctor_id not in (None, first.doctor_id)
    return Appointment(
        id=new_id,
        user_id=first.user_id,
        doctor_id=body.doctor_id or first.doctor_id,
        clinic_id=body.clinic_id or first.clinic_id,
        # Elsewhere the same specialty has another id.
        specialty_id=body.specialty_id or (None if moved else first.specialty_id),
        family_member_id=body.family_member_id or await _left(caller, "RelatedPerson", first.family_member_id),
        insurance_coverage_id=body.insurance_coverage_id
        or await _left(caller, "Coverage", first.insurance_coverage_id),
        reason=body.reason,
        follows=first.id,
    )


async def _left(caller: Caller, resource_type: str, resource_id: str | None) -> str | None:
    """Return the id of what the first appointment had, where that is there and the caller's still."""
    if resource_id is None:
        return None
    return resource_id if is_own(caller, await caller.acting.read(resource_type, resource_id)) else None
