"""Booking as transaction bundles: each one changes an appointment and the slots it holds, or nothing.

Whoever comes second finds another version of the Slot, or the Slot already there, and the server answers 412: two never
win, and nothing but FHIR's own conditions is needed for it. https://hl7.org/fhir/R4/http.html#concurrency
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mappings.billing import payments
from mappings.booking import appointments
from mappings.booking.appointments import Appointment
from mappings.catalogue.availability import COMPUTED, Opening
from mappings.shared import clinic_clock, elements, reading
from mappings.shared.changes import changed
from mappings.shared.elements import Resource
from mappings.visits import visit_tracking
from mappings.visits.visit_tracking import Visit

Bundle = dict[str, Any]
Entry = dict[str, Any]


def book(
    row: Appointment,
    opening: Opening,
    clock: ZoneInfo,
    *,
    schedule: Resource,
    invoice: Resource | None = None,
) -> Bundle:
    """Return the transaction that books the opening for a new appointment, with the Invoice over its fee.

    The appointment takes its date, time, length and slot from the opening. A follow-up is booked the same way.
    `schedule` is the Schedule that the slot belongs to, stored or, without a meta.versionId, to be.
    """
    appointment = _at(appointments.to_fhir(_moved(row, opening, clock), clock), opening, clock)
    entries = [_new(appointment), *_taken(opening, schedule)]
    return _transaction(entries + ([_new(invoice)] if invoice else []))


def reschedule(
    appointment: Resource, slots: Iterable[Resource], opening: Opening, clock: ZoneInfo, *, schedule: Resource
) -> Bundle:
    """Return the transaction that moves the appointment to the opening and frees the slots it held."""
    row = appointments.from_fhir(appointment, clock)
    moved = _moved(row, opening, clock).model_copy(update={"status": "rescheduled"})
    result = changed(appointment, appointments.to_fhir(row, clock), appointments.to_fhir(moved, clock))
    freed = [_changed(slot, status="free") for slot in slots if slot["id"] != opening.id]
    return _transaction([_update(_at(result, opening, clock)), *freed, *_taken(opening, schedule)])


def cancel(
    appointment: Resource, slots: Iterable[Resource], *, reason: str | None = None, invoice: Resource | None = None
) -> Bundle:
    """Return the transaction that cancels the appointment, frees its slots and cancels its Invoice.

    What was paid is marked to be refunded.
    """
    why = elements.text_concept(reason)
    result = _changed(appointment, status="cancelled", cancelationReason=why)
    freed = [_changed(slot, status="free") for slot in slots]
    return _transaction([result, *freed, *([_canceled(invoice, reason)] if invoice else [])])


def arrive(appointment: Resource, visit: Visit) -> Bundle:
    """Return the transaction that checks the patient in; the Encounter has the appointment's id, so there is one."""
    encounter = visit_tracking.to_fhir(
        visit,
        user_id=appointments.actor_id(appointment, "Patient") or "",
        doctor_id=appointments.actor_id(appointment, "Practitioner"),
        clinic_id=appointments.actor_id(appointment, "Location"),
    )
    return _transaction([_new(encounter), _changed(appointment, status="arrived")])


def complete(appointment: Resource, encounter: Resource, at: datetime) -> Bundle:
    """Return the transaction that ends the visit and makes the appointment completed."""
    period = encounter.get("period", {})
    past = {"status": encounter.get("status", "unknown"), "period": {**period, "end": elements.instant(at)}}
    finished = _changed(
        encounter,
        status="finished",
        statusHistory=[*encounter.get("statusHistory", ()), past],
        period={**period, "end": elements.instant(at)},
    )
    return _transaction([finished, _changed(appointment, status="fulfilled")])


def schedule_of(role: Resource, clock: ZoneInfo) -> dict[str, Any]:
    """Return the Schedule for the slots of a doctor's role at a clinic, for a role that has none yet."""
    actors = [
        elements.reference("PractitionerRole", role["id"]),
        role.get("practitioner"),
        *role.get("location", ())[:1],
        *role.get("healthcareService", ())[:1],
    ]
    return elements.build(
        "Schedule",
        {
            "extension": [elements.time_zone(clock.key)],
            "identifier": [elements.identifier("schedule", role["id"])],
            "active": True,
            "actor": actors,
        },
    )


def _moved(row: Appointment, opening: Opening, clock: ZoneInfo) -> Appointment:
    return row.model_copy(
        update={
            "appointment_date": clinic_clock.wall_date(opening.start, clock),
            "appointment_time": clinic_clock.wall_time(opening.start, clock),
            "minutes": (opening.end - opening.start) // timedelta(minutes=1),
            "slot_ids": (opening.id,),
        }
    )


def _at(appointment: Mapping[str, Any], opening: Opening, clock: ZoneInfo) -> dict[str, Any]:
    # A wall-clock time that comes twice on a day does not tell which one is meant; the opening does.
    start, end = (elements.instant(moment.astimezone(clock)) for moment in (opening.start, opening.end))
    return {**appointment, "start": start, "end": end}


def _taken(opening: Opening, schedule: Resource) -> list[Entry]:
    if opening.slot is not None:
        return [_changed(opening.slot, status="busy")]
    stored = "versionId" in schedule.get("meta", {})
    place = f"Schedule/{schedule['id']}" if stored else _SCHEDULE
    slot = elements.build(
        "Slot",
        {
            "id": opening.id,
            "identifier": [elements.identifier(COMPUTED, opening.id)],
            "schedule": {"reference": place},
            "status": "busy",
            "start": elements.instant(opening.start),
            "end": elements.instant(opening.end),
        },
    )
    return [_new(slot)] if stored else [_new_schedule(schedule), _new(slot)]


_SCHEDULE = "urn:uuid:7d5c0f6e-6c39-4d0e-9f0c-8d5f6a3b1c52"


def _new_schedule(schedule: Resource) -> Entry:
    # Two first bookings of a doctor at once find or make the same Schedule.
    mark = schedule["identifier"][0]
    once = f"identifier={mark['system']}|{mark['value']}"
    request = {"method": "POST", "url": "Schedule", "ifNoneExist": once}
    return {"fullUrl": _SCHEDULE, "resource": dict(schedule), "request": request}


def _canceled(invoice: Resource, reason: str | None) -> Entry:
    paid = invoice.get("status") == "balanced"
    result = {**invoice, "status": "cancelled", "cancelledReason": reason or "The appointment was canceled."}
    if paid and reading.extension(invoice, "refund-status") is None:
        result = payments.with_refund_status(result, "pending")
    return _update(result)


def _changed(resource: Resource, **values: Any) -> Entry:
    present = {name: value for name, value in values.items() if value is not None}
    return _update({**resource, **present})


def _update(resource: Mapping[str, Any]) -> Entry:
    version = resource["meta"]["versionId"]
    return _put(resource, {"ifMatch": f'W/"{version}"'})


def _new(resource: Mapping[str, Any]) -> Entry:
    return _put(resource, {"ifNoneMatch": "*"})


def _put(resource: Mapping[str, Any], condition: dict[str, str]) -> Entry:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": dict(resource), "request": {"method": "PUT", "url": url, **condition}}


def _transaction(entries: list[Entry]) -> Bundle:
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}
