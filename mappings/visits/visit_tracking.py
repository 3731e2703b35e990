"""Table `visit_tracking`: an Encounter. https://hl7.org/fhir/R4/encounter.html"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from mappings.shared import elements, reading
from mappings.shared.elements import Element, Resource
from mappings.shared.rows import Id, Moment, Row

Status = Literal["arrived", "in_queue", "visited"]

_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"


class Visit(Row):
    """A row of `visit_tracking`; `current_wait_time` is in minutes."""

    appointment_id: Id | None = None
    check_in_time: Moment | None = None
    check_out_time: Moment | None = None
    current_wait_time: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    status: Status = "arrived"


def to_fhir(row: Visit, *, user_id: str, doctor_id: str | None = None, clinic_id: str | None = None) -> dict[str, Any]:
    """Return the Encounter of the user with the doctor at the clinic."""
    wait = elements.minutes(row.current_wait_time)
    queued = "in_queue" if row.status == "in_queue" else None
    return elements.build(
        "Encounter",
        {
            "id": row.id,
            "meta": elements.meta("hms-visit"),
            "extension": [
                elements.extension("visit-status", "Code", queued),
                elements.extension("wait-time", "Duration", wait),
                *elements.row_extensions(row),
            ],
            "status": "finished" if row.status == "visited" else "arrived",
            "class": {"system": elements.ACT_CODE, "code": "AMB", "display": "ambulatory"},
            "subject": elements.reference("Patient", user_id),
            "participant": [_doctor(doctor_id)],
            "appointment": elements.references("Appointment", [row.appointment_id]),
            "period": {
                "start": elements.optional_instant(row.check_in_time),
                "end": elements.optional_instant(row.check_out_time),
            },
            "location": [{"location": elements.reference("Location", clinic_id)}],
        },
    )


def _doctor(doctor_id: str | None) -> Element | None:
    if doctor_id is None:
        return None
    role = elements.concept(_PARTICIPATION, "PPRF", "primary performer")
    return {"type": [role], "individual": elements.reference("Practitioner", doctor_id)}


def from_fhir(encounter: Resource, *, created: datetime | None = None, deleted: datetime | None = None) -> Visit:
    """Return the row that an Encounter is."""
    period = encounter.get("period", {})
    wait = (reading.extension(encounter, "wait-time") or {}).get("value")
    return Visit.read(
        encounter,
        appointment_id=reading.referenced(encounter.get("appointment"), "Appointment"),
        check_in_time=reading.moment(period.get("start")),
        check_out_time=reading.moment(period.get("end")),
        current_wait_time=_minutes(wait),
        status=_status(encounter),
        **reading.row_times(encounter, created, deleted),
    )


def _minutes(value: Any) -> int | None:
    # Whoever was said to wait less than no time does not wait.
    return max(0, int(value)) if isinstance(value, int | Decimal) else None


def _status(encounter: Resource) -> Status:
    status = encounter.get("status")
    if status == "finished":
        return "visited"
    if status in ("triaged", "in-progress", "onleave") or reading.extension(encounter, "visit-status") == "in_queue":
        return "in_queue"
    return "arrived"


def doctor_id(encounter: Resource) -> str | None:
    """Return the id of the doctor whom the visit is with."""
    people = (item.get("individual", {}) for item in encounter.get("participant", ()))
    return reading.referenced(people, "Practitioner")
