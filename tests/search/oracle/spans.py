"""Dates and numbers as the spans of values that their precision leaves open, and the prefixes that compare them.

https://hl7.org/fhir/R4/search.html#prefix, https://hl7.org/fhir/R4/search.html#date,
https://hl7.org/fhir/R4/search.html#number
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
BEGINNING = datetime.min.replace(tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)


def prefixed(text: str) -> tuple[str, str]:
    """Return the prefix of a search value, eq by default, and the rest."""
    return (text[:2], text[2:]) if text[:2] in PREFIXES else ("eq", text)


@dataclass(frozen=True)
class Span:
    """The times from `low` until before `high`."""

    low: datetime
    high: datetime

    def within(self, other: Span) -> bool:
        """Return whether the other span contains this one."""
        return other.low <= self.low and self.high <= other.high


def date_span(text: str, timezone: str) -> Span:
    """Return the span of a date or time; `timezone` is that of a text without an offset. Raises ValueError."""
    day, _, time = text.partition("T")
    parts = day.split("-")
    if [len(part) for part in parts] not in ([4], [4, 2], [4, 2, 2]) or (time and len(parts) < 3):
        raise ValueError(text)
    if time:
        return _time_span(day, time, timezone)
    year, month, date = (*map(int, parts), *(None, None))[:3]
    first = datetime(year or 1, month or 1, date or 1)
    last = datetime(year or 1, month or 12, date or calendar.monthrange(year or 1, month or 12)[1])
    return Span(_utc(first, timezone), _utc(last + timedelta(days=1), timezone))


def _time_span(day: str, time: str, timezone: str) -> Span:
    clock = time.rstrip("Z").split("+")[0].split("-")[0]
    start = datetime.fromisoformat(f"{day}T{time}".replace("Z", "+00:00"))
    low = start.astimezone(UTC) if start.tzinfo else _utc(start, timezone)
    seconds, dot, fraction = clock[6:].partition(".")
    if not seconds:
        return Span(low, low + timedelta(minutes=1))
    return Span(low, low + timedelta(seconds=1) / 10 ** (len(fraction) if dot else 0))


def _utc(wall: datetime, timezone: str) -> datetime:
    return wall.replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC)


def element_span(datatype: str, value: Any, timezone: str) -> Span | None:
    """Return the span of a date, a Period (open where an end is missing) or a Timing (its outer limits)."""
    if isinstance(value, str):
        return date_span(value, timezone)
    if datatype == "Period":
        start, end = value.get("start"), value.get("end")
        low = date_span(start, timezone).low if start else BEGINNING
        high = date_span(end, timezone).high if end else END
        return Span(low, high) if start or end else None
    events = [date_span(event, timezone) for event in value.get("event", ())]
    bounds = element_span("Period", value.get("repeat", {}).get("boundsPeriod", {}), timezone)
    limits = [*events, *([bounds] if bounds else [])]
    return Span(min(each.low for each in limits), max(each.high for each in limits)) if limits else None


def date_holds(prefix: str, expected: Span, result: Span, now: datetime) -> bool:
    """Return whether a resource's date compares so with a search value."""
    above, below = result.high > expected.high, result.low < expected.low
    match prefix:
        case "eq":
            return result.within(expected)
        case "ne":
            return not result.within(expected)
        case "gt":
            return above
        case "lt":
            return below
        case "ge":
            return above or result.within(expected)
        case "le":
            return below or result.within(expected)
        case "sa":
            return result.low >= expected.high
        case "eb":
            return result.high <= expected.low
    tenth = abs(now - expected.low) / 10
    return result.low < expected.high + tenth and expected.low - tenth < result.high


# --- Numbers -----------------------------------------------------------------------------------------------------


def number_span(prefix: str, text: str) -> tuple[Fraction, Fraction]:
    """Return what a number stands for: a half of its last digit to both sides where equality is asked for, a tenth of
    it for `ap`, the number alone otherwise.
    """
    value = Fraction(Decimal(text))
    half = Fraction(1, 2 * 10 ** len(text.partition(".")[2]))
    if prefix in ("eq", "ne"):
        return value - half, value + half
    if prefix == "ap":
        margin = max(abs(value) / 10, half)
        return value - margin, value + margin
    return value, value


def number_holds(prefix: str, expected: tuple[Fraction, Fraction], result: Fraction) -> bool:
    """Return whether a resource's number, which is exact, compares so with what a search value stands for."""
    low, high = expected
    match prefix:
        case "eq":
            return low <= result < high
        case "ne":
            return not low <= result < high
        case "gt" | "sa":
            return result > high
        case "lt" | "eb":
            return result < low
        case "ge":
            return result >= low
        case "le":
            return result <= high
    return low <= result <= high
