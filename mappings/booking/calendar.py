"""An appointment as a calendar file. https://www.rfc-editor.org/rfc/rfc5545"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from icalendar import Alarm, Calendar, Event, vCalAddress, vGeo, vText

from mappings.booking import time_zones
from mappings.catalogue.clinics import Clinic
from mappings.shared import clinic_clock

_ADDRESS = re.compile(r"[^\s@:;,\"<>\x00-\x1f]+@[^\s@:;,\"<>\x00-\x1f]+")
_REMINDER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class CalendarEntry:
    """What the calendar shows of an appointment.

    `sequence` grows with each version of the appointment, so that calendars replace the older entry.
    """

    appointment_id: str
    sequence: int
    start: datetime
    end: datetime
    stamp: datetime
    """When the appointment was last changed."""
    summary: str
    description: str | None = None
    canceled: bool = False


def calendar(entry: CalendarEntry, clinic: Clinic, clock: ZoneInfo, host: str) -> bytes:
    """Return the text/calendar file: METHOD CANCEL for a cancelled appointment, its times in the clinic's zone."""
    file = Calendar()
    file.add("prodid", f"-//{host}//Appointments//EN")
    file.add("version", "2.0")
    file.add("method", "CANCEL" if entry.canceled else "PUBLISH")
    if clock.key != "UTC":
        file.add_component(time_zones.definition(clock.key))
    file.add_component(_event(entry, clinic, clock, host))
    return bytes(file.to_ical())


def _event(entry: CalendarEntry, clinic: Clinic, clock: ZoneInfo, host: str) -> Event:
    event = Event()
    event.add("uid", f"{entry.appointment_id}@{host}")
    event.add("sequence", entry.sequence)
    event.add("dtstamp", entry.stamp.astimezone(UTC))
    event.add("dtstart", _local(entry.start, clock))
    event.add("dtend", _local(entry.end, clock))
    event.add("organizer", _organizer(clinic, host))
    event.add("summary", entry.summary)
    if entry.description:
        event.add("description", entry.description)
    place = [clinic.name, clinic.address, clinic.city, clinic.postal_code, clinic.country]
    if any(place):
        event.add("location", ", ".join(part for part in place if part))
    if clinic.latitude is not None and clinic.longitude is not None:
        event.add("geo", vGeo((float(clinic.latitude), float(clinic.longitude))))
    event.add("status", "CANCELLED" if entry.canceled else "CONFIRMED")
    if not entry.canceled:
        event.add_component(_alarm(entry.summary))
    return event


def _organizer(clinic: Clinic, host: str) -> vCalAddress:
    """Return the clinic as the organizer, whom published and cancelled events must have; RFC 5546, 3.2.1 and 3.2.5."""
    is_address = clinic.email is not None and _ADDRESS.fullmatch(clinic.email)
    organizer = vCalAddress(f"mailto:{clinic.email if is_address else f'noreply@{host}'}")
    if clinic.name:
        organizer.params["cn"] = vText(clinic.name)
    return organizer


def _local(moment: datetime, clock: ZoneInfo) -> datetime:
    return moment.astimezone(UTC) if clock.key == "UTC" else clinic_clock.shown(moment, clock)


def _alarm(summary: str) -> Alarm:
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("description", summary)
    alarm.add("trigger", -_REMINDER)
    return alarm
