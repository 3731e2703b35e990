"""Spans of time as `from` and `to` say them: dates on somebody's calendar, or moments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import PlainValidator, WithJsonSchema

from fhir_server.hospital.api.fields import iso_date
from fhir_server.hospital.api.problem import invalid
from mappings.shared import clinic_clock, reading
from mappings.shared.clinic_clock import BEGINNING, END

_LONGEST_DAYS = 31
_DAY = timedelta(days=1)
_FIRST, _LAST = date(2, 1, 1), date(9998, 12, 31)
"""The days that a clock of any zone can show, and of which there are slots."""


def _day_or_moment(text: Any) -> date | datetime:
    if "T" not in str(text):
        return iso_date(text)
    # A plus sign that was not encoded arrives as a blank.
    moment = datetime.fromisoformat(str(text).replace(" ", "+"))
    if moment.tzinfo is None:
        raise ValueError("offset")
    return moment


Day = Annotated[
    date | datetime,
    PlainValidator(_day_or_moment),
    WithJsonSchema({"type": "string", "examples": ["2026-03-09", "2026-03-09T14:30:00Z"]}),
]
"""A date such as 2026-03-09, or a moment with its offset such as 2026-03-09T14:30:00Z."""


@dataclass(frozen=True, slots=True)
class Span:
    """From one moment to before another, and the days of a calendar that it touches."""

    start: datetime
    end: datetime
    first: date
    last: date

    @property
    def days(self) -> list[date]:
        """The days that the span touches."""
        return [self.first + number * _DAY for number in range((self.last - self.first).days + 1)]


def start_of(value: date | datetime, clock: ZoneInfo) -> datetime:
    """Return where a span begins whose `from` this is, in UTC."""
    return _utc(value) if isinstance(value, datetime) else clinic_clock.start_of_day(value, clock)


def end_of(value: date | datetime, clock: ZoneInfo) -> datetime:
    """Return where a span ends whose `to` this is, in UTC: after a day, before a moment; END after the last day."""
    return _utc(value) if isinstance(value, datetime) else clinic_clock.day_bounds(value, clock)[1]


def lies_between(moment: datetime, start: date | datetime | None, end: date | datetime | None, clock: ZoneInfo) -> bool:
    """Return whether the moment is in the span that `from` and `to` say, each of which may be missing."""
    if start is not None and (begins := start_of(start, clock)) != BEGINNING and moment < begins:
        return False
    return end is None or (ends := end_of(end, clock)) == END or moment < ends


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return clinic_clock.edge(moment)


def moment_of(text: str, clock: ZoneInfo) -> datetime | None:
    """Return the moment that a FHIR date or time says; a day without a time begins as the clock's calendar says."""
    day = reading.whole_date(text) if "T" not in text else None
    return clinic_clock.start_of_day(day, clock) if day else reading.moment(text)


def days_between(start: date | datetime, end: date | datetime, clock: ZoneInfo) -> Span:
    """Return the span, on a clock's calendar; raises Problem where it has no length or is longer than 31 days."""
    begins, ends = start_of(_bookable(start), clock), end_of(_bookable(end), clock)
    if ends <= begins:
        raise invalid("to", "order")
    if ends - begins > (_LONGEST_DAYS * _DAY + timedelta(hours=1)):
        raise invalid("to", "too_wide")
    last = clinic_clock.wall_date(ends - timedelta(microseconds=1), clock)
    return Span(begins, ends, clinic_clock.wall_date(begins, clock), last)


def _bookable(value: date | datetime) -> date | datetime:
    day = value.date() if isinstance(value, datetime) else value
    return value if _FIRST <= day <= _LAST else min(max(day, _FIRST), _LAST)
