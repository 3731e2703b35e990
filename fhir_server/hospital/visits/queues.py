"""The queues of today: who waits for a doctor at a clinic, from the Encounters of the day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.engine.context import instant, now
from fhir_server.hospital.api.server import FacadeServer
from mappings.booking import appointments
from mappings.catalogue import availability
from mappings.shared import clinic_clock, reading
from mappings.shared.elements import Resource
from mappings.visits import visit_tracking, waiting
from mappings.visits.waiting import Queue


async def visits_today(
    server: FacadeServer, clinic_id: str, clock: ZoneInfo, doctor_id: str | None = None
) -> list[dict[str, Any]]:
    """Return the Encounters that began at the clinic on this day of its calendar, of one doctor or of all."""
    begin, end = clinic_clock.day_bounds(clinic_clock.wall_date(now(), clock), clock)
    criteria = [("location", f"Location/{clinic_id}"), ("date", f"ge{instant(begin)}"), ("date", f"lt{instant(end)}")]
    if doctor_id is not None:
        criteria.append(("participant", f"Practitioner/{doctor_id}"))
    encounters = (await server.fhir().all("Encounter", criteria)).matches
    return [item for item in encounters if _began(item, begin, end)]


def _began(encounter: Resource, begin: Any, end: Any) -> bool:
    # A visit of another day that was never ended has no end, and so would count for ever.
    start = reading.moment(encounter.get("period", {}).get("start"))
    return start is not None and begin <= start < end


async def queue_of(server: FacadeServer, encounter: Resource, clinic_id: str, slot_minutes: int) -> Queue:
    """Return the queue that the visit stands in: that of its doctor at its clinic."""
    location = await server.fhir().read("Location", clinic_id)
    visits = await visits_today(server, clinic_id, server.clock_of(location), visit_tracking.doctor_id(encounter))
    return waiting.queue(visits, slot_minutes)


async def queues(server: FacadeServer, visits: Sequence[dict[str, Any]]) -> dict[str | None, Queue]:
    """Return the queues of a clinic by doctor; a slot's length is that of the first one's appointment."""
    by_doctor: dict[str | None, list[dict[str, Any]]] = {}
    for visit in visits:
        by_doctor.setdefault(visit_tracking.doctor_id(visit), []).append(visit)
    by_doctor_id = {
        doctor_id: waiting.queue(items, availability.SLOT_MINUTES) for doctor_id, items in by_doctor.items()
    }
    booked = {item["id"]: reading.referenced(item.get("appointment"), "Appointment") for item in visits}
    first = {doctor_id: booked[queue.waiting[0]] for doctor_id, queue in by_doctor_id.items() if queue.waiting}
    booked_by_id = await server.fhir().many("Appointment", first.values())
    for doctor_id, appointment_id in first.items():
        appointment = booked_by_id.get(appointment_id or "")
        patients = {reading.reference_id(item.get("subject"), "Patient") for item in by_doctor[doctor_id]}
        # An Encounter that names the appointment of somebody else does not tell how long its own takes.
        if appointment and appointments.actor_id(appointment, "Patient") in patients:
            by_doctor_id[doctor_id] = waiting.queue(by_doctor[doctor_id], slot_minutes(appointment))
    return by_doctor_id


def slot_minutes(appointment: Resource) -> int:
    """Return how long the appointment's slot is."""
    return appointments.slot_minutes(appointment)
