"""Taking slots: finding the opening that was asked for, and carrying out booking transactions against others.

A transaction that loses a race is refused by the version of a Slot; then the openings are looked at again, and who
asked is told that the slot is taken only when it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from pydantic import model_validator

from fhir_server.engine.context import now
from fhir_server.errors import Conflict, PreconditionFailed
from fhir_server.hospital.api.fields import Body, ClockTime, ResourceId, VisitDate
from fhir_server.hospital.api.problem import Problem, invalid, refused
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.hospital.catalogue.practices import Agenda, Practice, practices
from mappings.catalogue import availability
from mappings.catalogue.availability import Opening
from mappings.shared import clinic_clock, reading

_ATTEMPTS = 6


class When(Body):
    """When: a slot, or a date and a time on the clinic's clock."""

    slot_id: ResourceId | None = None
    appointment_date: VisitDate | None = None
    appointment_time: ClockTime | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.slot_id is None) == (self.appointment_date is None or self.appointment_time is None):
            raise ValueError("slot_or_time")
        return self


@dataclass(frozen=True, slots=True)
class Wanted:
    """The opening that was asked for, and the practice that offers it."""

    practice: Practice
    opening: Opening


async def practice_at(
    server: FacadeServer, doctor_id: str, clinic_id: str, specialty_id: str | None = None
) -> Practice:
    """Return the doctor's practice at the clinic; raises Problem naming the field that is wrong."""
    for field, kind, value in (
        ("doctor_id", "Practitioner", doctor_id),
        ("clinic_id", "Location", clinic_id),
        ("specialty_id", "HealthcareService", specialty_id),
    ):
        if value is not None and await server.fhir().read(kind, value) is None:
            raise invalid(field, "unknown_id")
    known = await practices(server, doctor_id=doctor_id, clinic_id=clinic_id)
    if not known:
        raise invalid("clinic_id", "not_here")
    fitting = [item for item in known if specialty_id is None or specialty_id in item.specialty_ids]
    if not fitting:
        raise invalid("specialty_id", "not_offered")
    return fitting[0]


async def wanted(server: FacadeServer, practice: Practice, when: When) -> Wanted:
    """Return the opening that was asked for; raises Problem where there is none, or not any more."""
    field = "appointment_time" if when.slot_id is None else "slot_id"
    day, matches = await _asked(server, practice, when)
    if (day - clinic_clock.wall_date(now(), practice.clock)).days > server.settings.booking_days_ahead:
        raise refused(field, "too_far_ahead")
    agenda = await Agenda.of(server, [practice], day, day)
    if when.slot_id is not None and availability.computed_start(when.slot_id) is None:
        await _require_own(server, practice, when.slot_id)
    fitting = [item for item in agenda.openings(practice, day) if matches(item)]
    if not fitting:
        raise refused(field, "outside_hours")
    # When the clock is set back a time comes twice, and either will do.
    opening = next((item for item in fitting if item.status == "free" and item.start > now()), fitting[0])
    if opening.start <= now():
        raise refused(field, "in_the_past")
    if opening.status != "free":
        raise Problem("slot_taken")
    return Wanted(practice, opening)


async def _asked(server: FacadeServer, practice: Practice, when: When) -> tuple[date, Callable[[Opening], bool]]:
    """Return the day, and what tells the opening from others of that day."""
    if when.slot_id is not None:
        start = availability.computed_start(when.slot_id)
        if start is None:
            slot = await server.fhir().read("Slot", when.slot_id)
            if slot is None:
                raise invalid("slot_id", "unknown_id")
            start = reading.utc(slot.get("start"))
        if start is None:
            raise invalid("slot_id", "unknown_id")
        return clinic_clock.wall_date(start, practice.clock), lambda item: item.id == when.slot_id
    assert when.appointment_date is not None, "one of both is there"
    assert when.appointment_time is not None, "with the other"
    starts = clinic_clock.occurrences(when.appointment_date, when.appointment_time, practice.clock)
    if not starts:
        raise invalid("appointment_time", "skipped_time")
    return when.appointment_date, lambda item: item.start in [start.astimezone(item.start.tzinfo) for start in starts]


async def _require_own(server: FacadeServer, practice: Practice, slot_id: str) -> None:
    slot = await server.fhir().read("Slot", slot_id)
    schedule_id = reading.reference_id((slot or {}).get("schedule"), "Schedule")
    if schedule_id not in {schedule["id"] for schedule in practice.schedules}:
        raise invalid("slot_id", "unknown_id")


async def carry_out(attempt: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Return what the attempt returns; after a lost race it is made again, and looks at everything anew."""
    for _ in range(_ATTEMPTS):
        try:
            return await attempt()
        except (PreconditionFailed, Conflict) as error:
            if isinstance(error, Problem):
                raise
    raise Problem("conflict")
