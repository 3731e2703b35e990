"""An appointment as a calendar file. https://www.rfc-editor.org/rfc/rfc5545"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from icalendar import Alarm, Calendar, Event, Timezone, vGeo

from mappings.catalogue.clinics import Clinic
from mappings.shared import clinic_clock

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
        file.add_component(_zone(clock.key, entry.start.year))
    file.add_component(_event(entry, clinic, clock, host))
    return bytes(file.to_ical())


@lru_cache(maxsize=200)
def _zone(name: str, year: int) -> Timezone:
    """Return what the file says of its time zone around a year; to find the changes of a clock takes milliseconds."""
    first, last = date(max(year - 1, MINYEAR), 1, 1), date(min(year + 2, MAXYEAR), 1, 1)
    return Timezone.from_tzid(name, first_date=first, last_date=last)


def _event(entry: CalendarEntry, clinic: Clinic, clock: ZoneInfo, host: str) -> Event:
    event = Event()
    event.add("uid", f"{entry.appointment_id}@{host}")
    event.add("sequence", entry.sequence)
    event.add("dtstamp", entry.stamp.astimezone(UTC))
    event.add("dtstart", _local(entry.start, clock))
    event.add("dtend", _local(entry.end, clock))
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


def _local(moment: datetime, clock: ZoneInfo) -> datetime:
    return moment.astimezone(UTC) if clock.key == "UTC" else clinic_clock.shown(moment, clock)


def _alarm(summary: str) -> Alarm:
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("description", summary)
    alarm.add("trigger", -_REMINDER)
    return alarm
