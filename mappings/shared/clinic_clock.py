"""The clock on a clinic's wall: local dates and times in an IANA zone, right on the days when the clock is changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mappings.shared import reading
from mappings.shared.zones import is_zone, zone

__all__ = [
    "BEGINNING",
    "END",
    "at",
    "clock_of",
    "day_bounds",
    "edge",
    "named",
    "not_before",
    "occurrences",
    "shown",
    "start_of_day",
    "wall_date",
    "wall_time",
    "zone",
]

BEGINNING, END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
"""Where time begins and ends: what lasts from the one or to the other leaves nothing out there."""


def named(*names: str | None) -> ZoneInfo:
    """Return the clock of the first name that is an IANA time zone's, else that of UTC."""
    return zone(next(filter(is_zone, names), None) or "UTC")


def clock_of(clinic: Mapping[str, Any] | None, default: str) -> ZoneInfo:
    """Return the clock on the wall of a clinic, a Location: that of its own zone, else the default."""
    return named(reading.time_zone(clinic) if clinic else None, default)


def occurrences(day: date, at: time, clock: ZoneInfo) -> list[datetime]:
    """Return when the clock shows that time on that day: once; never, or twice, on a day when it is changed."""
    naive = datetime.combine(day, at.replace(tzinfo=None, fold=0))
    readings = [naive.replace(tzinfo=clock, fold=fold) for fold in (0, 1)]
    first, second = (reading for reading in readings)
    if not _shown(first):
        return []
    return [first] if first.utcoffset() == second.utcoffset() else [first, second]


def _shown(reading: datetime) -> bool:
    # A wall-clock time that was skipped does not come back from UTC as itself.
    return reading.astimezone(UTC).astimezone(reading.tzinfo).replace(tzinfo=None) == reading.replace(tzinfo=None)


def at(day: date, when: time, clock: ZoneInfo) -> datetime:
    """Return the first moment when the clock shows that time on that day; raises ValueError where it never does."""
    moments = occurrences(day, when, clock)
    if not moments:
        raise ValueError(f"the clock in {clock.key} skips {when:%H:%M} on {day.isoformat()}")
    return moments[0]


def not_before(day: date, when: time, clock: ZoneInfo) -> datetime:
    """Return the first moment at which the clock shows that time or has skipped it, in UTC."""
    return datetime.combine(day, when.replace(tzinfo=None, fold=0), clock).astimezone(UTC)


def shown(moment: datetime, clock: ZoneInfo) -> datetime:
    """Return the moment as the clock shows it; as it is said, at the calendar's edge where not every clock has it."""
    try:
        return moment.astimezone(clock)
    except OverflowError:
        return moment


def wall_date(moment: datetime, clock: ZoneInfo) -> date:
    """Return the day that the clock's calendar shows at the moment."""
    return shown(moment, clock).date()


def wall_time(moment: datetime, clock: ZoneInfo) -> time:
    """Return the time that the clock shows at the moment."""
    return shown(moment, clock).time().replace(fold=0)


def day_bounds(day: date, clock: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the start of the day and the start of the next one, in UTC; 23 to 25 hours apart.

    At the calendar's edge BEGINNING or END, where UTC has no such time.
    """
    return start_of_day(day, clock), END if day == date.max else start_of_day(day + timedelta(days=1), clock)


def start_of_day(day: date, clock: ZoneInfo) -> datetime:
    """Return the first moment of the day, in UTC; BEGINNING or END where UTC has no such time."""
    try:
        return not_before(day, time.min, clock)
    except OverflowError:
        return edge(day)


def edge(value: date) -> datetime:
    """Return the end of time that a day or moment near the calendar's edge is beyond."""
    return BEGINNING if value.year == 1 else END
