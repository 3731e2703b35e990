"""Slots and appointments of the days after today, made only where they are not there yet.

What a day holds depends on its date alone, so days that two loads share are the same in both, and what visitors booked
stays booked.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.hospital.demo.clinic import resources
from fhir_server.own_urls import identifier_key, path_of
from mappings.shared import elements

DAYS_AHEAD = 14
VISIT = timedelta(minutes=30)

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIMEZONE = "http://hl7.org/fhir/StructureDefinition/timezone"
# Each patient comes once in two weeks: schedule, day of the fortnight (1 is its first Monday), visit of the day,
# patient, reason.
_VISITS = (
    ("samuel-okpara-harbour", 3, 2, "mara-lindqvist", "Control of blood pressure"),
    ("ingrid-vasari-harbour", 9, 1, "tomas-aldabe", "Control of blood sugar"),
    ("hana-petrossian-hillside", 4, 0, "noor-haddane", "Vaccination"),
    ("lucia-ferrand-hillside", 11, 3, "elias-okonjo", "Control of the skin"),
)


@dataclass(frozen=True)
class Rota:
    """When a doctor sees patients at a clinic: a Schedule with the availability of its PractitionerRole."""

    schedule: dict[str, Any]
    available: dict[str, Any]

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the clinic's clock."""
        return ZoneInfo(next(item["valueCode"] for item in self.schedule["extension"] if item["url"] == _TIMEZONE))

    def starts(self, day: date) -> list[datetime]:
        """Return the starts of the visits of a day, on the clinic's clock."""
        if _WEEKDAYS[day.weekday()] not in self.available["daysOfWeek"]:
            return []
        opening, closing = (time.fromisoformat(self.available[f"available{end}Time"]) for end in ("Start", "End"))
        first = datetime.combine(day, opening)
        count = (datetime.combine(day, closing) - first) // VISIT
        return [(first + index * VISIT).replace(tzinfo=self.zone) for index in range(count)]


def slot_entries(today: date) -> list[dict[str, Any]]:
    """Return conditional creates of the slots, and of the appointments that fill some, of the days after `today`."""
    days = [today + timedelta(days=ahead) for ahead in range(1, DAYS_AHEAD + 1)]
    return [entry for rota in rotas() for day in days for entry in _day_entries(rota, day)]


def rotas() -> Iterator[Rota]:
    """Yield when the doctors of the demo see patients."""
    roles = {item["id"]: item for item in resources() if item["resourceType"] == "PractitionerRole"}
    for item in resources():
        if item["resourceType"] == "Schedule":
            for available in roles[item["id"]]["availableTime"]:
                yield Rota(item, available)


def _day_entries(rota: Rota, day: date) -> Iterator[dict[str, Any]]:
    visits = {index: (patient, reason) for name, fortnight_day, index, patient, reason in _VISITS
              if name == rota.schedule["id"] and day.toordinal() % 14 == fortnight_day}  # fmt: skip
    for index, start in enumerate(rota.starts(day)):
        slot = slot_at(rota.schedule, start)
        if index in visits:
            slot["status"] = "busy"
            yield conditional_create(slot)
            yield conditional_create(appointment_in(rota.schedule, slot, *visits[index]))
            continue
        if index == 0 and day.weekday() == 0:
            slot |= {"status": "busy-unavailable", "comment": "Meeting of the team"}
        yield conditional_create(slot)


def slot_at(schedule: dict[str, Any], start: datetime) -> dict[str, Any]:
    """Return a free slot of the schedule."""
    return {
        "resourceType": "Slot",
        "identifier": [elements.identifier("slot", f"{schedule['id']}-{start:%Y%m%d-%H%M}")],
        "specialty": schedule["specialty"],
        "schedule": {"reference": f"Schedule/{schedule['id']}"},
        "status": "free",
        "start": start.isoformat(),
        "end": (start + VISIT).isoformat(),
    }


def appointment_in(schedule: dict[str, Any], slot: dict[str, Any], patient: str, reason: str) -> dict[str, Any]:
    """Return the appointment of a patient that fills the slot."""
    actors = [{"reference": f"Patient/{patient}"}, *schedule["actor"]]
    return {
        "resourceType": "Appointment",
        "identifier": [elements.identifier("appointment", slot["identifier"][0]["value"])],
        "status": "booked",
        "specialty": schedule["specialty"],
        "reasonCode": [{"text": reason}],
        "start": slot["start"],
        "end": slot["end"],
        "minutesDuration": VISIT // timedelta(minutes=1),
        "slot": [{"reference": _full_url(slot)}],
        "participant": [{"actor": actor, "status": "accepted"} for actor in actors],
    }


def conditional_create(resource: dict[str, Any]) -> dict[str, Any]:
    """Return the entry that makes the resource unless there is one with its identifier."""
    identifier = resource["identifier"][0]
    name = str(path_of(identifier["system"])).removeprefix("identifier/")
    return {
        "fullUrl": _full_url(resource),
        "resource": resource,
        "request": {
            "method": "POST",
            "url": resource["resourceType"],
            "ifNoneExist": f"identifier={identifier_key(name, identifier['value'])}",
        },
    }


def _full_url(resource: dict[str, Any]) -> str:
    identifier = resource["identifier"][0]
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{identifier['system']}|{identifier['value']}").urn
