"""Doctors at their clinics, and when they can be booked there: roles, schedules and slots, brought together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.engine.context import instant, now
from fhir_server.hospital.api.server import FacadeServer
from mappings.booking import booking
from mappings.catalogue import availability, doctors
from mappings.catalogue.availability import Opening
from mappings.catalogue.doctors import Doctor
from mappings.shared import clinic_clock, reading
from mappings.shared.elements import Resource

_DAY = timedelta(days=1)


@dataclass(slots=True)
class Practice:
    """A doctor's role at one clinic."""

    role: Resource
    practitioner: Resource
    location: Resource
    clock: ZoneInfo
    schedules: list[Resource] = field(default_factory=list)

    @property
    def doctor_id(self) -> str:
        """The id of the Practitioner."""
        return str(self.practitioner["id"])

    @property
    def clinic_id(self) -> str:
        """The id of the Location."""
        return str(self.location["id"])

    @property
    def specialty_ids(self) -> list[str]:
        """The ids of the HealthcareServices that the doctor provides there."""
        ids = (reading.reference_id(item, "HealthcareService") for item in self.role.get("healthcareService", ()))
        return [service_id for service_id in ids if service_id]

    @property
    def slot_minutes(self) -> int:
        """How long a visit is given where no written slot says so."""
        stated = map(availability.said_minutes, (self.role, *self.schedules))
        return next(filter(None, stated), availability.SLOT_MINUTES)

    @property
    def schedule(self) -> dict[str, Any]:
        """The Schedule that computed slots belong to: one that is stored, else one to be."""
        return dict(self.schedules[0]) if self.schedules else booking.schedule_of(self.role, self.clock)

    def row(self, specialty_id: str | None = None, created: datetime | None = None) -> Doctor:
        """Return the row of the doctor at this clinic."""
        return doctors.from_fhir(
            self.practitioner, self.role, clinic_id=self.clinic_id, specialty_id=specialty_id, created=created
        )


async def practices(
    server: FacadeServer,
    *,
    doctor_id: str | None = None,
    clinic_id: str | None = None,
    specialty_id: str | None = None,
) -> list[Practice]:
    """Return the practices of a doctor, at a clinic, in a specialty; of those that are active."""
    criteria = [("_include", "PractitionerRole:practitioner"), ("_include", "PractitionerRole:location")]
    for name, kind, value in (
        ("practitioner", "Practitioner", doctor_id),
        ("location", "Location", clinic_id),
        ("service", "HealthcareService", specialty_id),
    ):
        if value is not None:
            criteria.append((name, f"{kind}/{value}"))
    roles = await server.fhir().all("PractitionerRole", criteria)
    active = [
        practice
        for role in roles.matches
        if role.get("active") is not False
        for practice in _of_role(server, role, roles.included)
        if clinic_id in (None, practice.clinic_id)
    ]
    return sorted(active, key=lambda practice: (practice.doctor_id, practice.clinic_id))


def _of_role(server: FacadeServer, role: Resource, included: dict[str, dict[str, Any]]) -> Iterable[Practice]:
    doctor_id = reading.reference_id(role.get("practitioner"), "Practitioner")
    practitioner = included.get(f"Practitioner/{doctor_id}")
    if practitioner is None or practitioner.get("active") is False:
        return
    for reference in role.get("location", ()):
        location = included.get(f"Location/{reading.reference_id(reference, 'Location')}")
        if location is not None and location.get("status") != "inactive":
            yield Practice(role, practitioner, location, server.clock_of(location))


def is_too_far_ahead(server: FacadeServer, practice: Practice, day: date) -> bool:
    """Return whether a day on the clinic's calendar cannot be booked yet."""
    return (day - clinic_clock.wall_date(now(), practice.clock)).days > server.settings.booking_days_ahead


@dataclass(slots=True)
class Agenda:
    """The openings of practices over some days."""

    server: FacadeServer
    slots: dict[str, list[dict[str, Any]]]
    """Slots by the id of their Schedule."""

    @classmethod
    async def of(cls, server: FacadeServer, listed: Sequence[Practice], first: date, last: date) -> Agenda:
        """Return the agenda of the practices from the first to the last day, both included."""
        await _add_schedules(server, listed)
        ids = sorted({schedule["id"] for practice in listed for schedule in practice.schedules})
        if not ids:
            return cls(server, {})
        # A day in some zone begins up to a day before or after it does in UTC.
        begin, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, last))
        criteria = [
            ("schedule", ",".join(f"Schedule/{schedule_id}" for schedule_id in ids)),
            ("start", f"ge{instant(begin - 2 * _DAY)}"),
            ("start", f"lt{instant(end + 3 * _DAY)}"),
        ]
        slots: dict[str, list[dict[str, Any]]] = {}
        for slot in (await server.fhir().all("Slot", criteria)).matches:
            schedule_id = reading.reference_id(slot.get("schedule"), "Schedule")
            slots.setdefault(schedule_id or "", []).append(slot)
        return cls(server, slots)

    def openings(self, practice: Practice, day: date) -> list[Opening]:
        """Return the openings of a day on the clinic's calendar; none where it is too far ahead to be booked."""
        if is_too_far_ahead(self.server, practice, day):
            return []
        written = [slot for schedule in practice.schedules for slot in self.slots.get(schedule["id"], ())]
        return availability.openings(
            practice.role, practice.location, written, day=day, clock=practice.clock, minutes=practice.slot_minutes
        )

    def next_free(self, practice: Practice, first: date, last: date, now: datetime) -> datetime | None:
        """Return the start of the first opening after now that is free, on the clinic's clock."""
        day = max(first, clinic_clock.wall_date(now, practice.clock))
        while day <= last:
            for opening in self.openings(practice, day):
                if opening.status == "free" and opening.start > now:
                    return opening.start.astimezone(practice.clock)
            day += _DAY
        return None


async def _add_schedules(server: FacadeServer, listed: Sequence[Practice]) -> None:
    actors = sorted(
        {f"PractitionerRole/{item.role['id']}" for item in listed}
        | {f"Practitioner/{item.doctor_id}" for item in listed}
    )
    if not actors:
        return
    schedules = (await server.fhir().all("Schedule", [("actor", ",".join(actors))])).matches
    usable = [schedule for schedule in schedules if schedule.get("active") is not False]
    for practice in listed:
        practice.schedules = [schedule for schedule in usable if _is_of(schedule, practice)]


def _is_of(schedule: Resource, practice: Practice) -> bool:
    actors = schedule.get("actor", ())
    if reading.referenced(actors, "PractitionerRole") == practice.role["id"]:
        return reading.referenced(actors, "Location") in (None, practice.clinic_id)
    if reading.referenced(actors, "PractitionerRole") is not None:
        return False
    where = reading.referenced(actors, "Location")
    return reading.referenced(actors, "Practitioner") == practice.doctor_id and where in (None, practice.clinic_id)
