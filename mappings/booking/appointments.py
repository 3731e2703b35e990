"""Table `appointments`: an Appointment, on the wall clock of its clinic. https://hl7.org/fhir/R4/appointment.html"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from mappings.shared import clinic_clock, elements, reading
from mappings.shared.elements import Resource
from mappings.shared.rows import Id, Row, Text

Status = Literal["scheduled", "rescheduled", "canceled", "completed"]

_TO_FHIR: dict[Status, str] = {
    "scheduled": "booked",
    "rescheduled": "booked",
    "canceled": "cancelled",
    "completed": "fulfilled",
}
CANCELED = frozenset({"cancelled", "noshow", "entered-in-error"})
"""Statuses of an Appointment that does not take place."""
OPEN = frozenset({"booked", "pending", "proposed"})
"""Statuses of one that can still be moved and cancelled."""
HOLDING = OPEN | {"arrived", "checked-in", "waitlist"}
"""Statuses of one that takes its slots from others."""


class Appointment(Row):
    """A row of `appointments`, with what booking links to it.

    `appointment_date` and `appointment_time` are what the clinic's clock shows.
    """

    user_id: Id | None = None
    doctor_id: Id | None = None
    clinic_id: Id | None = None
    specialty_id: Id | None = None
    appointment_date: date | None = None
    appointment_time: time | None = None
    status: Status = "scheduled"
    minutes: Annotated[int, Field(gt=0, le=24 * 60)] = 30
    slot_ids: tuple[Id, ...] = ()
    family_member_id: Id | None = None
    insurance_coverage_id: Id | None = None
    reason: Text | None = None
    follows: Id | None = None
    """The appointment that this one is a follow-up to."""


def start(row: Appointment, clock: ZoneInfo) -> datetime | None:
    """Return when the appointment starts; raises ValueError if the clinic's clock skips that time."""
    if row.appointment_date is None or row.appointment_time is None:
        return None
    return clinic_clock.at(row.appointment_date, row.appointment_time, clock)


def to_fhir(row: Appointment, clock: ZoneInfo) -> dict[str, Any]:
    """Return the Appointment; raises ValueError if the clinic's clock skips the time."""
    begins = start(row, clock)
    ends = begins and (begins.astimezone(UTC) + timedelta(minutes=row.minutes)).astimezone(clock)
    rescheduled = "rescheduled" if row.status == "rescheduled" else None
    return elements.build(
        "Appointment",
        {
            "id": row.id,
            "meta": elements.meta("hms-appointment"),
            "extension": [
                elements.extension("appointment-status", "Code", rescheduled),
                *elements.row_extensions(row),
            ],
            "status": _TO_FHIR[row.status],
            "appointmentType": _follow_up() if row.follows else None,
            "reasonCode": [elements.text_concept(row.reason)],
            "supportingInformation": [
                elements.reference("Appointment", row.follows),
                elements.reference("Coverage", row.insurance_coverage_id),
            ],
            "start": elements.optional_instant(begins),
            "end": elements.optional_instant(ends),
            "minutesDuration": row.minutes if begins else None,
            "slot": elements.references("Slot", row.slot_ids),
            "created": elements.optional_instant(row.created_at),
            "participant": _participants(row),
        },
    )


def _follow_up() -> elements.Element:
    return elements.concept(elements.APPOINTMENT_REASON, "FOLLOWUP", "A follow up visit from a previous appointment")


def _participants(row: Appointment) -> list[elements.Element]:
    actors = (
        ("Patient", row.user_id, "required"),
        ("RelatedPerson", row.family_member_id, "required"),
        ("Practitioner", row.doctor_id, "required"),
        ("Location", row.clinic_id, "required"),
        ("HealthcareService", row.specialty_id, "information-only"),
    )
    participants = [
        {"actor": elements.reference(resource_type, logical_id), "required": required, "status": "accepted"}
        for resource_type, logical_id, required in actors
        if logical_id
    ]
    return participants or [{"actor": elements.ABSENT, "status": "accepted"}]


def from_fhir(
    appointment: Resource, clock: ZoneInfo, *, created: datetime | None = None, deleted: datetime | None = None
) -> Appointment:
    """Return the row that an Appointment is, on the clinic's clock."""
    begins, ends = reading.moment(appointment.get("start")), reading.moment(appointment.get("end"))
    supporting = appointment.get("supportingInformation")
    return Appointment.read(
        appointment,
        user_id=actor_id(appointment, "Patient"),
        doctor_id=actor_id(appointment, "Practitioner"),
        clinic_id=actor_id(appointment, "Location"),
        specialty_id=actor_id(appointment, "HealthcareService"),
        appointment_date=clinic_clock.wall_date(begins, clock) if begins else None,
        appointment_time=clinic_clock.wall_time(begins, clock) if begins else None,
        status=_status(appointment),
        minutes=_minutes(appointment, begins, ends),
        slot_ids=tuple(filter(None, (reading.reference_id(slot, "Slot") for slot in appointment.get("slot", ())))),
        family_member_id=actor_id(appointment, "RelatedPerson"),
        insurance_coverage_id=reading.referenced(supporting, "Coverage"),
        reason=reading.concept_text(reading.first(appointment.get("reasonCode"))) or appointment.get("description"),
        follows=reading.referenced(supporting, "Appointment"),
        **reading.row_times(appointment, created, deleted),
    )


def actor_id(appointment: Resource, resource_type: str) -> str | None:
    """Return the id of the appointment's first participant of a type ("Patient", "Location")."""
    return reading.referenced((item.get("actor", {}) for item in appointment.get("participant") or ()), resource_type)


def fhir_statuses(status: Status) -> frozenset[str]:
    """Return the statuses that Appointments of a row's status may have."""
    if status == "canceled":
        return CANCELED
    return frozenset({"fulfilled"}) if status == "completed" else HOLDING


def _status(appointment: Resource) -> Status:
    status = appointment.get("status")
    if status in CANCELED:
        return "canceled"
    if status == "fulfilled":
        return "completed"
    return "rescheduled" if reading.extension(appointment, "appointment-status") == "rescheduled" else "scheduled"


def _minutes(appointment: Resource, begins: datetime | None, ends: datetime | None) -> int:
    if begins and ends and ends > begins:
        return min(max(1, (ends - begins) // timedelta(minutes=1)), 24 * 60)
    return slot_minutes(appointment)


def slot_minutes(appointment: Resource) -> int:
    """Return how long the visit is meant to take, at most a day; half an hour where the Appointment does not say."""
    minutes = appointment.get("minutesDuration")
    return min(minutes, 24 * 60) if isinstance(minutes, int) and minutes > 0 else 30
