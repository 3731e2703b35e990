"""Taking slots: finding the opening that was asked for, and carrying out booking transactions against others.

A transaction that loses a race is refused by the version of a Slot; then the openings are looked at again, and who
asked is told that the slot is taken only when it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from pydantic import model_validator

from fhir_server.engine.context import now
from fhir_server.errors import Conflict, PreconditionFailed
from fhir_server.hospital.api.fields import Body, ClockTime, ResourceId, VisitDate
from fhir_server.hospital.api.problem import Problem, invalid, refused
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.hospital.catalogue.practices import Agenda, Practice, is_too_far_ahead, practices
from mappings.catalogue import availability
from mappings.catalogue.availability import Opening
from mappings.shared import clinic_clock, reading

_ATTEMPTS = 6
_FIELDS = {"Practitioner": "doctor_id", "Location": "clinic_id", "HealthcareService": "specialty_id"}


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
class BookedOpening:
    """The opening that was asked for, and the practice that offers it."""

    practice: Practice
    opening: Opening


async def practice_at(
    server: FacadeServer, doctor_id: str, clinic_id: str, specialty_id: str | None = None
) -> Practice:
    """Return the doctor's practice at the clinic; raises Problem naming the field that is wrong."""
    here = await practices(server, doctor_id=doctor_id, clinic_id=clinic_id)
    fitting = [item for item in here if specialty_id is None or specialty_id in item.specialty_ids]
    if fitting:
        return fitting[0]
    await _require_known(server, {"Practitioner": doctor_id, "Location": clinic_id, "HealthcareService": specialty_id})
    raise invalid("specialty_id", "not_offered") if here else invalid("clinic_id", "not_here")


async def _require_known(server: FacadeServer, ids: Mapping[str, str | None]) -> None:
    """Raise Problem naming the field whose id nothing has."""
    for resource_type, resource_id in ids.items():
        if resource_id is not None and await server.fhir().read(resource_type, resource_id) is None:
            raise invalid(_FIELDS[resource_type], "unknown_id")


async def requested_opening(server: FacadeServer, practice: Practice, when: When) -> BookedOpening:
    """Return the opening that was asked for; raises Problem where there is none, or not any more."""
    field = "appointment_time" if when.slot_id is None else "slot_id"
    slot = await _slot(server, when)
    day, matches = _day_and_test(practice, when, slot)
    if is_too_far_ahead(server, practice, day):
        raise refused(field, "too_far_ahead")
    agenda = await Agenda.of(server, [practice], day, day)
    if slot is not None:
        _require_of_practice(practice, slot)
    fitting = [item for item in agenda.openings(practice, day) if matches(item)]
    if not fitting:
        raise refused(field, "outside_hours")
    # When the clock is set back a time comes twice, and either will do.
    opening = next((item for item in fitting if item.status == "free" and item.start > now()), fitting[0])
    if opening.start <= now():
        raise refused(field, "in_the_past")
    if opening.status != "free":
        raise Problem("slot_taken")
    return BookedOpening(practice, opening)


async def _slot(server: FacadeServer, when: When) -> dict[str, Any] | None:
    """Return the written Slot that was asked for; None for a time, and for a slot that follows from office hours."""
    if when.slot_id is None or availability.computed_start(when.slot_id) is not None:
        return None
    slot = await server.fhir().read("Slot", when.slot_id)
    if slot is None:
        raise invalid("slot_id", "unknown_id")
    return slot


def _day_and_test(
    practice: Practice, when: When, slot: Mapping[str, Any] | None
) -> tuple[date, Callable[[Opening], bool]]:
    """Return the day, and what tells the opening from others of that day."""
    if when.slot_id is not None:
        start = reading.utc(slot.get("start")) if slot else availability.computed_start(when.slot_id)
        if start is None:
            raise invalid("slot_id", "unknown_id")
        return clinic_clock.wall_date(start, practice.clock), lambda item: item.id == when.slot_id
    assert when.appointment_date is not None, "one of both is there"
    assert when.appointment_time is not None, "with the other"
    starts = clinic_clock.occurrences(when.appointment_date, when.appointment_time, practice.clock)
    if not starts:
        raise invalid("appointment_time", "skipped_time")
    return when.appointment_date, lambda item: item.start in [start.astimezone(item.start.tzinfo) for start in starts]


def _require_of_practice(practice: Practice, slot: Mapping[str, Any]) -> None:
    schedule_id = reading.reference_id(slot.get("schedule"), "Schedule")
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
