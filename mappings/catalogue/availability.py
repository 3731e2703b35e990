"""When a doctor can be booked at a clinic, from availability, opening hours and slots, on the clinic's wall clock.

Slots that somebody wrote for a day are that day's slots. On a day without any they follow from
PractitionerRole.availableTime within Location.hoursOfOperation; such a slot gets a resource when it is booked, under an
id that its start decides.
https://hl7.org/fhir/R4/slot.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from mappings.shared import reading
from mappings.shared.clinic_clock import day_bounds, not_before, occurrences, wall_date
from mappings.shared.elements import Resource

Span = tuple[datetime, datetime]

SLOT_MINUTES = 30
_LONGEST_MINUTES = 24 * 60
COMPUTED = "computed-slot"
"""The system of the identifier that a slot has which follows from the times of availability."""

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_COMPUTED_ID = re.compile(r"at-(\d{8}T\d{6})Z-[0-9a-f]{16}\Z")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Opening:
    """A time at which a doctor can, or could, be booked, in UTC; `slot` is the resource where there is one already."""

    id: str
    start: datetime
    end: datetime
    status: Literal["free", "busy"]
    slot: Resource | None = None


def openings(
    role: Resource,
    location: Resource,
    slots: Iterable[Resource],
    *,
    day: date,
    clock: ZoneInfo,
    minutes: int = SLOT_MINUTES,
) -> list[Opening]:
    """Return the openings of a day of the clinic's calendar, by start; `slots` are those known to overlap the day."""
    overlapping = list(filter(None, map(_written, slots)))
    written = [item for item in overlapping if not _is_computed(item) and wall_date(item.start, clock) == day]
    booked = {item.id: item for item in overlapping if _is_computed(item)}
    offered = written or [booked.get(item.id, item) for item in computed(role, location, day, clock, minutes)]
    busy = [item for item in overlapping if item.status == "busy"]
    return sorted((_with_status(item, busy) for item in offered), key=lambda item: item.start)


def _written(slot: Resource) -> Opening | None:
    start, end = (reading.utc(slot.get(side)) for side in ("start", "end"))
    if start is None or end is None or end <= start or slot.get("status") == "entered-in-error":
        return None
    return Opening(slot["id"], start, end, "free" if slot.get("status") == "free" else "busy", slot)


def _is_computed(opening: Opening) -> bool:
    return bool(reading.identifiers(opening.slot or {}, COMPUTED))


def _with_status(opening: Opening, busy: Sequence[Opening]) -> Opening:
    taken = any(other.start < opening.end and opening.start < other.end for other in busy)
    return replace(opening, status="busy" if taken else "free")


def computed(
    role: Resource, location: Resource, day: date, clock: ZoneInfo, minutes: int = SLOT_MINUTES
) -> list[Opening]:
    """Return the openings that a role's times of availability make on a day, within the clinic's opening hours.

    Starts keep to the wall clock: when it is changed, a skipped time is left out and a repeated one is offered twice.
    """
    if role.get("active") is False or location.get("status") in ("suspended", "inactive"):
        return []
    length = timedelta(minutes=said_minutes(role) or minutes)
    hours, away = _hours(location, day, clock), _away(role, clock)
    free_times: list[Opening] = []
    for start in _starts(role, day, clock, length):
        end = start + length
        inside = hours is None or any(opens <= start and end <= closes for opens, closes in hours)
        free = not any(start < back and gone < end for gone, back in away)
        if inside and free and not (free_times and start < free_times[-1].end):
            free_times.append(Opening(computed_id(role["id"], start), start, end, "free"))
    return free_times


def said_minutes(role_or_schedule: Resource) -> int | None:
    """Return how long a visit is given, where a PractitionerRole or Schedule says it; nobody's takes over a day."""
    minutes: int | None = reading.extension(role_or_schedule, "slot-minutes")
    return minutes if minutes is not None and minutes <= _LONGEST_MINUTES else None


def _starts(role: Resource, day: date, clock: ZoneInfo, length: timedelta) -> list[datetime]:
    starts: set[datetime] = set()
    for first, last in _available(role.get("availableTime", ()), day):
        closes = not_before(last.date(), last.time(), clock)
        wall = first
        while wall < last:
            moments = occurrences(wall.date(), wall.time(), clock) if wall.date() == day else []
            starts.update(moment.astimezone(UTC) for moment in moments if moment.astimezone(UTC) + length <= closes)
            wall += length
    return sorted(starts)


def _available(times: Iterable[Resource], day: date) -> Iterator[Span]:
    """Yield the wall-clock spans that reach into the day; one that ends before it starts goes on after midnight."""
    for item in times:
        for opening_day in (day - _DAY, day):
            if _WEEKDAYS[opening_day.weekday()] in item.get("daysOfWeek", _WEEKDAYS):
                span = _wall_span(item, opening_day)
                if span[1].date() >= day:
                    yield span


def _wall_span(item: Resource, day: date) -> Span:
    opens, closes = (_time(item.get(name) or item.get(other)) for name, other in _ENDS)
    if item.get("allDay") or (opens is None and closes is None):
        opens = closes = time.min
    first, last = datetime.combine(day, opens or time.min), datetime.combine(day, closes or time.min)
    return (first, last) if last > first else (first, last + _DAY)


_ENDS = (("availableStartTime", "openingTime"), ("availableEndTime", "closingTime"))


def _time(text: str | None) -> time | None:
    return reading.time_of_day(text)


def _hours(location: Resource, day: date, clock: ZoneInfo) -> list[Span] | None:
    """Return when the clinic is open around the day, spans that touch joined; None when it does not say."""
    if not location.get("hoursOfOperation"):
        return None
    days = (day - _DAY, day, day + _DAY)
    walls = sorted({span for each in days for span in _available(location["hoursOfOperation"], each)})
    joined: list[Span] = []
    for first, last in walls:
        span = (not_before(first.date(), first.time(), clock), not_before(last.date(), last.time(), clock))
        if joined and span[0] <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], span[1]))
        else:
            joined.append(span)
    return joined


def _away(role: Resource, clock: ZoneInfo) -> list[Span]:
    periods = [item.get("during", {}) for item in role.get("notAvailable", ())]
    return [
        (
            _moment(period.get("start"), clock) or datetime.min.replace(tzinfo=UTC),
            _moment(period.get("end"), clock, last=True) or datetime.max.replace(tzinfo=UTC),
        )
        for period in periods
    ]


def _moment(text: str | None, clock: ZoneInfo, *, last: bool = False) -> datetime | None:
    # A day is one of the clinic's calendar, and a period that ends on it lasts until it is over.
    day = reading.whole_date(text)
    if day is None or "T" in (text or ""):
        return reading.moment(text)
    return day_bounds(day, clock)[1 if last else 0]


def computed_id(role_id: str, start: datetime) -> str:
    """Return the id of the Slot that a role's opening at that moment has, or will have once it is booked."""
    digest = hashlib.sha256(role_id.encode()).hexdigest()[:16]
    at = start.astimezone(UTC)
    return f"at-{at.year:04d}{at:%m%dT%H%M%S}Z-{digest}"


def computed_start(slot_id: str) -> datetime | None:
    """Return the start that the id of a computed opening stands for, or None for any other id."""
    match = _COMPUTED_ID.match(slot_id)
    try:
        start = match and datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    # At the calendar's edge not every zone has a day for it, so nobody has such an opening.
    return start if start and 1 < start.year < 9999 else None
