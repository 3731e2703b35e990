"""Endpoints 18 to 21: booking, moving and cancelling appointments, and taking them into a calendar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from fhir_server.engine.context import now
from fhir_server.hospital.api.caller import Called, Caller
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fields import Plain, Reason, ResourceId
from fhir_server.hospital.api.idempotency import IdempotencyKey, once
from fhir_server.hospital.api.own import is_own, require_own
from fhir_server.hospital.api.problem import Problem
from fhir_server.hospital.billing import refunds
from fhir_server.hospital.billing.appointments_due import dues_of
from fhir_server.hospital.booking.appointment_answers import AppointmentAnswer, appointment_answer
from fhir_server.hospital.booking.book import book_row, stored
from fhir_server.hospital.booking.people import People, require_own_people
from fhir_server.hospital.booking.scheduling import When, carry_out, practice_at, requested_opening
from fhir_server.hospital.catalogue.clinic_clocks import clock_of
from fhir_server.hospital.catalogue.practices import Practice
from fhir_server.http.content.disposition import content_disposition
from fhir_server.r4.human_names import person_name
from mappings.booking import appointments, booking
from mappings.booking.appointments import Appointment
from mappings.catalogue import clinics
from mappings.notifications import messages
from mappings.shared import reading
from mappings.shared.elements import Resource

router = APIRouter(prefix="/booking/appointments", tags=["booking"])

_BOOKING_ERRORS = errors(
    "invalid_token",
    "slot_taken",
    "outside_hours",
    "in_the_past",
    "too_far_ahead",
    "validation_failed",
    "idempotency_key_reused",
)


class Booking(People):
    """What is to be booked."""

    doctor_id: ResourceId
    clinic_id: ResourceId
    specialty_id: ResourceId
    reason: Reason | None = None


@router.post("", status_code=201, response_model=AppointmentAnswer, responses=_BOOKING_ERRORS)
async def book(body: Booking, caller: Called, idempotency_key: IdempotencyKey = None) -> Response:
    """Book an appointment; of several who ask for one slot, one gets it."""

    async def run(new_id: str) -> AppointmentAnswer:
        await require_own_people(caller, body)
        row = Appointment(
            id=new_id,
            user_id=caller.patient_id,
            **body.model_dump(include={"doctor_id", "clinic_id", "specialty_id", "family_member_id", "reason"}),
            insurance_coverage_id=body.insurance_coverage_id,
        )
        return await book_row(caller, row, body)

    return await once(caller, "booking/appointments", idempotency_key, body, run)


async def _slots(caller: Caller, appointment: Resource) -> Sequence[dict[str, Any]]:
    """Return the slots that are free when the appointment gives them up.

    Those are the ones that whoever booked it had the right to take, and that no other appointment holds by now.
    """
    slots: list[dict[str, Any]] = []
    for item in appointment.get("slot", ()):
        slot_id = reading.reference_id(item, "Slot")
        if slot_id is None or not await caller.may_follow(appointment, f"Slot/{slot_id}"):
            continue
        slot = await caller.acting.read("Slot", slot_id)
        if (
            slot is not None
            and slot.get("status", "").startswith("busy")
            and not await _is_held(caller, slot_id, appointment)
        ):
            slots.append(slot)
    return slots


async def _is_held(caller: Caller, slot_id: str, appointment: Resource) -> bool:
    """Return whether an appointment that still stands, other than this one, has the slot."""
    criteria = [("slot", f"Slot/{slot_id}"), ("status", ",".join(sorted(appointments.HOLDING)))]
    holders = (await caller.server.fhir().all("Appointment", criteria)).matches
    others = [holder for holder in holders if holder["id"] != appointment["id"]]
    return any([await caller.may_follow(holder, f"Slot/{slot_id}") for holder in others])


# --- Moving ------------------------------------------------------------------------------------------------------


@router.put(
    "/{appointment_id}",
    responses=errors(
        "invalid_token", "not_found", "slot_taken", "not_reschedulable", "outside_hours", "in_the_past", "too_far_ahead"
    ),
)
async def reschedule(appointment_id: str, body: When, caller: Called) -> AppointmentAnswer:
    """Move an appointment; its old slot is free again in the same moment."""
    await require_own(caller, "Appointment", appointment_id)

    async def attempt() -> dict[str, Any]:
        appointment = await require_own(caller, "Appointment", appointment_id)
        _require_open(appointment)
        practice = await _practice_of(caller, appointment)
        place = await requested_opening(caller.server, practice, body)
        bundle = booking.reschedule(
            appointment,
            await _slots(caller, appointment),
            place.opening,
            practice.clock,
            schedule=practice.schedule,
        )
        await caller.acting.transact(bundle)
        return await stored(caller, appointment_id)

    return await appointment_answer(caller, await carry_out(attempt))


def _require_open(appointment: Resource) -> None:
    start = reading.moment(appointment.get("start"))
    if appointment.get("status") not in appointments.OPEN or (start is not None and start <= now()):
        raise Problem("not_reschedulable")


async def _practice_of(caller: Caller, appointment: Resource) -> Practice:
    doctor_id, clinic_id = (appointments.actor_id(appointment, kind) for kind in ("Practitioner", "Location"))
    if doctor_id is None or clinic_id is None:
        raise Problem("not_reschedulable")
    return await practice_at(caller.server, doctor_id, clinic_id)


# --- Cancelling --------------------------------------------------------------------------------------------------


@router.delete("/{appointment_id}", responses=errors("invalid_token", "not_found", "not_reschedulable"))
async def cancel(
    appointment_id: str, caller: Called, reason: Annotated[Plain | None, Query(max_length=2000)] = None
) -> AppointmentAnswer:
    """Cancel an appointment; its slot is free again, and what was paid for it is given back."""
    await require_own(caller, "Appointment", appointment_id)

    async def attempt() -> dict[str, Any]:
        appointment = await require_own(caller, "Appointment", appointment_id)
        if appointment.get("status") == "cancelled":
            return appointment
        _require_open(appointment)
        invoice = (await dues_of(caller, [appointment]))[appointment_id].invoice
        open_invoice = invoice if invoice and invoice.get("status") in ("issued", "draft", "balanced") else None
        why = (reason or "").strip() or None
        slots = await _slots(caller, appointment)
        await caller.acting.transact(booking.cancel(appointment, slots, reason=why, invoice=open_invoice))
        return await stored(caller, appointment_id)

    canceled = await carry_out(attempt)
    await refunds.refund_for(caller, f"Appointment/{appointment_id}")
    return await appointment_answer(caller, canceled)


# --- Calendar ----------------------------------------------------------------------------------------------------


@router.get(
    "/{appointment_id}/calendar",
    response_class=Response,
    responses={**errors("invalid_token", "not_found"), 200: {"content": {"text/calendar": {}}}},
)
async def calendar_file(appointment_id: str, caller: Called) -> Response:
    """Return the appointment as a calendar file."""
    from mappings.booking import calendar  # its library is large, and a server should answer soon after its start

    appointment = await require_own(caller, "Appointment", appointment_id)
    start, end = (reading.moment(appointment.get(side)) for side in ("start", "end"))
    if start is None or end is None:
        raise Problem("not_found")
    public, clock = caller.server.fhir(), await clock_of(caller, appointment)
    clinic_id, doctor_id = (appointments.actor_id(appointment, kind) for kind in ("Location", "Practitioner"))
    location = await public.read("Location", clinic_id) if clinic_id else None
    doctor = await public.read("Practitioner", doctor_id) if doctor_id else None
    clinic = clinics.from_fhir(location or {"id": clinic_id or "unknown"})
    entry = calendar.CalendarEntry(
        appointment_id,
        int(appointment["meta"]["versionId"]) - 1,
        start,
        end,
        reading.dated(appointment),
        await _summary(caller, appointment, doctor, clinic.name),
        appointments.from_fhir(appointment, clock).reason,
        canceled=appointment.get("status") in appointments.CANCELED,
    )
    content = calendar.calendar(entry, clinic, clock, caller.server.host)
    disposition = content_disposition(f"appointment-{appointment_id}.ics")
    return Response(content, media_type="text/calendar", headers={"Content-Disposition": disposition})


async def _summary(caller: Caller, appointment: Resource, doctor: Resource | None, clinic: str | None) -> str:
    member = person_name(await _member(caller, appointment))
    name = person_name(doctor)
    return messages.visit_title(await caller.language(), doctor=name, clinic=clinic, member=member)


async def _member(caller: Caller, appointment: Resource) -> Resource | None:
    """Return the caller's family member whom the visit is for; nobody else's name is told."""
    member_id = appointments.actor_id(appointment, "RelatedPerson")
    member = await caller.acting.read("RelatedPerson", member_id) if member_id else None
    return member if is_own(caller, member) else None
