"""Spans of time as `from` and `to` say them: dates on somebody's calendar, or moments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import PlainValidator, WithJsonSchema

from fhir_server.hospital.api.fields import iso_date
from fhir_server.hospital.api.problem import invalid
from mappings.shared import clinic_clock, reading

_LONGEST_DAYS = 31
_DAY = timedelta(days=1)
_FIRST, _LAST = date(2, 1, 1), date(9998, 12, 31)
"""The days that a clock of any zone can show; a span that begins or ends beyond them leaves nothing more out."""


def _day_or_moment(text: Any) -> date | datetime:
    if "T" not in str(text):
        return min(max(iso_date(text), _FIRST), _LAST)
    # A plus sign that was not encoded arrives as a blank.
    moment = datetime.fromisoformat(str(text).replace(" ", "+"))
    if moment.tzinfo is None:
        raise ValueError("offset")
    return moment if _FIRST <= moment.date() <= _LAST else min(max(moment.date(), _FIRST), _LAST)


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
    """Return where a span begins whose `from` this is."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return clinic_clock.not_before(value, time.min, clock)


def end_of(value: date | datetime, clock: ZoneInfo) -> datetime:
    """Return where a span ends whose `to` this is: after a day, before a moment."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return clinic_clock.not_before(value + _DAY, time.min, clock)


def moment_of(text: str, clock: ZoneInfo) -> datetime | None:
    """Return the moment that a FHIR date or time says; a day without a time begins as the clock's calendar says."""
    day = reading.whole_date(text) if "T" not in text else None
    day = day and min(max(day, _FIRST), _LAST)
    return clinic_clock.not_before(day, time.min, clock) if day else reading.moment(text)


def days_between(start: date | datetime, end: date | datetime, clock: ZoneInfo) -> Span:
    """Return the span, on a clock's calendar; raises Problem where it has no length or is longer than 31 days."""
    begins, ends = start_of(start, clock), end_of(end, clock)
    if ends <= begins:
        raise invalid("to", "order")
    if ends - begins > (_LONGEST_DAYS * _DAY + timedelta(hours=1)):
        raise invalid("to", "too_wide")
    last = clinic_clock.wall_date(ends - timedelta(microseconds=1), clock)
    return Span(begins, ends, clinic_clock.wall_date(begins, clock), last)
