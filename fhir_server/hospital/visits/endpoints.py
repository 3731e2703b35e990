"""Endpoints 22 to 24: arriving at the clinic, waiting there, and the end of the visit."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator

from fhir_server.engine.context import now
from fhir_server.hospital.api.answers import Answer
from fhir_server.hospital.api.caller import Called, Caller
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fields import Body, ResourceId
from fhir_server.hospital.api.problem import Problem, invalid, refused
from fhir_server.hospital.booking.scheduling import carry_out
from fhir_server.hospital.visits.handled_appointments import handled_appointment
from fhir_server.hospital.visits.queues import queue_of, queues, slot_minutes, visits_today
from fhir_server.search.params.positions import kilometres
from mappings.booking import appointments, booking
from mappings.catalogue import clinics
from mappings.shared import reading
from mappings.shared.elements import Resource
from mappings.visits import visit_tracking
from mappings.visits.visit_tracking import Status, Visit

router = APIRouter(prefix="/clinic", tags=["clinic"])


class Arrival(Body):
    """Who arrives, and where they are."""

    appointment_id: ResourceId
    latitude: Annotated[float, Field(strict=True, ge=-90, le=90, allow_inf_nan=False)] | None = None
    longitude: Annotated[float, Field(strict=True, ge=-180, le=180, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("both_coordinates")
        return self


class Completion(Body):
    """Which visit is over."""

    appointment_id: ResourceId


class VisitAnswer(Answer):
    """A visit; position and wait are those of this moment, the wait in minutes."""

    appointment_id: str | None
    check_in_time: datetime | None
    check_out_time: datetime | None
    current_wait_time: int | None
    status: Status
    queue_position: int | None


class WaitAnswer(BaseModel):
    """How long one waits; the position is that of the appointment that was asked for."""

    clinic_id: str
    doctor_id: str | None
    queue_length: int
    queue_position: int | None
    current_wait_time: int
    estimated_start: datetime | None


# --- Arriving ----------------------------------------------------------------------------------------------------


@router.post(
    "/arrival",
    responses=errors(
        "invalid_token",
        "already_arrived",
        "appointment_canceled",
        "validation_failed",
        "too_early",
        "too_late",
        "too_far",
    ),
)
async def arrive(body: Arrival, caller: Called) -> VisitAnswer:
    """Register the arrival for an appointment; the visit joins the doctor's queue."""

    async def attempt() -> dict[str, Any]:
        appointment = await _appointment(caller, body.appointment_id)
        await _require_arrivable(caller, appointment, body)
        await _check_in(caller, appointment)
        return await _visit(caller, appointment) or {}

    return await _answer(caller, await carry_out(attempt))


async def _appointment(caller: Caller, appointment_id: str) -> dict[str, Any]:
    appointment = await handled_appointment(caller, appointment_id)
    if appointment is None:
        raise invalid("appointment_id", "unknown_id")
    return appointment


async def _require_arrivable(caller: Caller, appointment: Resource, body: Arrival) -> None:
    if appointment.get("status") in appointments.CANCELED:
        raise Problem("appointment_canceled")
    if appointment.get("status") in ("arrived", "checked-in", "fulfilled") or await _visit(caller, appointment):
        raise Problem("already_arrived")
    settings = caller.server.settings
    start = reading.utc(appointment.get("start")) or now()
    if now() < start - timedelta(hours=settings.arrival_hours_before):
        raise refused("appointment_id", "too_early")
    # A visit of another day would join today's queue.
    end = max(start, reading.utc(appointment.get("end")) or start)
    if now() > end + timedelta(hours=settings.arrival_hours_after):
        raise refused("appointment_id", "too_late")
    clinic = await _clinic(caller, appointment)
    if body.latitude is None or body.longitude is None or clinic is None:
        return
    row = clinics.from_fhir(clinic)
    if row.latitude is not None and row.longitude is not None:
        here, there = (body.latitude, body.longitude), (float(row.latitude), float(row.longitude))
        if kilometres(here, there) > settings.arrival_distance_km:
            raise refused("latitude", "too_far")


async def _clinic(caller: Caller, appointment: Resource) -> dict[str, Any] | None:
    clinic_id = appointments.actor_id(appointment, "Location")
    return await caller.server.fhir().read("Location", clinic_id) if clinic_id else None


async def _visit(caller: Caller, appointment: Resource) -> dict[str, Any] | None:
    """Return the Encounter of an appointment, of whoever wrote it; one that is about another patient is none of it."""
    patient = appointments.actor_id(appointment, "Patient")
    own = await caller.acting.read("Encounter", appointment["id"])
    if own is None:
        named = [("appointment", f"Appointment/{appointment['id']}"), ("status:not", "cancelled")]
        own = await caller.acting.first("Encounter", [*named, ("subject", f"Patient/{patient}")])
    return own if own is not None and reading.reference_id(own.get("subject"), "Patient") == patient else None


async def _check_in(caller: Caller, appointment: Resource) -> None:
    row = Visit(id=appointment["id"], appointment_id=appointment["id"], check_in_time=now())
    ahead = await _people_waiting(caller, appointment)
    if ahead:
        row = row.model_copy(update={"status": "in_queue"})
    await caller.acting.transact(booking.arrive(appointment, row))


async def _people_waiting(caller: Caller, appointment: Resource) -> int:
    clinic = await _clinic(caller, appointment)
    if clinic is None:
        return 0
    doctor_id = appointments.actor_id(appointment, "Practitioner")
    visits = await visits_today(caller.server, clinic["id"], caller.server.clock_of(clinic), doctor_id)
    return sum(len(queue.waiting) for queue in (await queues(caller.server, visits)).values())


async def _answer(caller: Caller, encounter: Resource) -> VisitAnswer:
    row = visit_tracking.from_fhir(encounter, created=await caller.acting.created_at(encounter))
    position, wait = await _place(caller, encounter)
    return VisitAnswer.of(row, queue_position=position, current_wait_time=wait)


async def _place(caller: Caller, encounter: Resource) -> tuple[int | None, int]:
    """Return the position in the queue and the minutes to wait; none and nothing for who does not wait."""
    appointment_id = visit_tracking.from_fhir(encounter).appointment_id
    appointment = await caller.acting.read("Appointment", appointment_id) if appointment_id else None
    clinic_id = appointments.actor_id(appointment, "Location") if appointment else None
    if appointment is None or clinic_id is None:
        return None, 0
    queue = await queue_of(caller.server, encounter, clinic_id, slot_minutes(appointment))
    position = queue.position(encounter["id"])
    return position, queue.wait_minutes(position) if position else 0


# --- Waiting -----------------------------------------------------------------------------------------------------


@router.get("/wait-time", responses=errors("invalid_token", "not_found", "not_arrived", "validation_failed"))
async def wait_time(
    caller: Called,
    appointment_id: Annotated[str | None, Query(max_length=64)] = None,
    clinic_id: Annotated[str | None, Query(max_length=64)] = None,
    doctor_id: Annotated[str | None, Query(max_length=64)] = None,
) -> WaitAnswer:
    """Tell how long one waits: for an appointment, or at a clinic."""
    if (appointment_id is None) == (clinic_id is None):
        raise invalid("appointment_id", "one_of_both")
    if appointment_id is not None:
        return await _wait_of(caller, appointment_id)
    return await _wait_at(caller, clinic_id or "", doctor_id)


async def _wait_of(caller: Caller, appointment_id: str) -> WaitAnswer:
    appointment = await handled_appointment(caller, appointment_id)
    if appointment is None:
        raise Problem("not_found")
    encounter = await _visit(caller, appointment)
    clinic = await _clinic(caller, appointment)
    if encounter is None or clinic is None:
        raise Problem("not_arrived")
    queue = await queue_of(caller.server, encounter, clinic["id"], slot_minutes(appointment))
    position = queue.position(encounter["id"])
    wait = queue.wait_minutes(position) if position else 0
    start = now().astimezone(caller.server.clock_of(clinic)) + timedelta(minutes=wait)
    return WaitAnswer(
        clinic_id=clinic["id"],
        doctor_id=appointments.actor_id(appointment, "Practitioner"),
        queue_length=len(queue.waiting),
        queue_position=position,
        current_wait_time=wait,
        estimated_start=start if position else None,
    )


async def _wait_at(caller: Caller, clinic_id: str, doctor_id: str | None) -> WaitAnswer:
    """Return the wait of who would come now: for a doctor, else for the one with the longest queue."""
    location = await caller.server.fhir().read("Location", clinic_id)
    if location is None or (doctor_id and await caller.server.fhir().read("Practitioner", doctor_id) is None):
        raise Problem("not_found")
    clock = caller.server.clock_of(location)
    waiting_queues = (
        await queues(caller.server, await visits_today(caller.server, clinic_id, clock, doctor_id))
    ).values()
    wait = max((queue.wait_minutes() for queue in waiting_queues), default=0)
    return WaitAnswer(
        clinic_id=clinic_id,
        doctor_id=doctor_id,
        queue_length=sum(len(queue.waiting) for queue in waiting_queues),
        queue_position=None,
        current_wait_time=wait,
        estimated_start=now().astimezone(clock) + timedelta(minutes=wait),
    )


# --- The end of the visit ----------------------------------------------------------------------------------------


@router.post("/visit/complete", responses=errors("invalid_token", "not_arrived", "validation_failed"))
async def complete(body: Completion, caller: Called) -> VisitAnswer:
    """End a visit; the appointment is completed."""

    async def attempt() -> dict[str, Any]:
        appointment = await _appointment(caller, body.appointment_id)
        encounter = await _visit(caller, appointment)
        if encounter is None:
            raise Problem("not_arrived")
        if encounter.get("status") != "finished":
            await caller.acting.transact(booking.complete(appointment, encounter, now()))
        return await _visit(caller, appointment) or encounter

    return await _answer(caller, await carry_out(attempt))
