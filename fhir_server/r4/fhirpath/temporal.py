"""Dates, dateTimes and times of any precision: reading, comparing and adding. https://hl7.org/fhirpath/N1/#datetime"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from fhir_server.r4.fhirpath.items import FhirPathError

_CLOCK = r"(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?"
_DATE = re.compile(rf"(\d{{4}})(?:-(\d\d)(?:-(\d\d)(?:T{_CLOCK})?)?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_TIME = re.compile(_CLOCK, re.ASCII)
_HIGHEST = (9999, 12, 31, 23, 59, 60)
UNITS = ("year", "month", "day", "hour", "minute", "second")
# How many of a unit make one of the next coarser one, where a partial value takes a finer amount.
_IN_NEXT = {"second": 60, "minute": 60, "hour": 24, "day": 30, "month": 12}


class Temporal(NamedTuple):
    """A moment as far as it is known: `parts` run from the year (or hour) on, `offset` is minutes east of UTC."""

    clock: bool
    parts: tuple[int | Decimal, ...]
    offset: int | None

    @staticmethod
    @lru_cache(maxsize=4096)
    def parse(type_name: str, text: str) -> Temporal | None:
        """Return the moment written as `text`, None where it is not one of the type (a date has no time)."""
        clock = type_name in ("time", "System.Time")
        match = (_TIME if clock else _DATE).fullmatch(text)
        if match is None:
            return None
        groups = match.groups()
        numbers = groups if clock else groups[:6]
        parts = tuple(Decimal(part) if "." in part else int(part) for part in numbers if part is not None)
        if not _exists(clock, parts) or (type_name in ("date", "System.Date") and len(parts) > 3):
            return None
        return Temporal(clock, parts, None if clock or groups[6] is None else _offset(groups[6]))

    @property
    def timed(self) -> bool:
        """Whether a time of day is known."""
        return self.clock or len(self.parts) > 3

    def comparable(self) -> tuple[int | Decimal, ...]:
        """Return the parts in UTC where the offset is known, else as they are."""
        if not self.offset or not self.timed:
            return self.parts
        year, month, day, hour, *rest = self.parts
        try:
            moment = datetime(int(year), int(month), int(day), int(hour), int(rest[0]) if rest else 0)
            moment -= timedelta(minutes=self.offset)
        except OverflowError:
            return self.parts
        return (moment.year, moment.month, moment.day, moment.hour, moment.minute, *rest[1:])[: len(self.parts)]

    def text(self) -> str:
        """Return the moment as FHIR writes it."""
        written = [f"{part:04d}" if not self.clock and at == 0 else _two(part) for at, part in enumerate(self.parts)]
        if self.clock:
            return ":".join(written)
        time = ":".join(written[3:])
        zone = "" if self.offset is None else _zone(self.offset)
        return "-".join(written[:3]) + (f"T{time}" if time else "") + zone


def compare(left: Temporal, right: Temporal) -> int | None:
    """Return -1, 0 or 1; None where the precision, or a missing offset, leaves the order open."""
    if left.timed and right.timed and (left.offset is None) != (right.offset is None):
        return None
    if left.timed != right.timed:
        ours, theirs = left.parts, right.parts
    else:
        ours, theirs = left.comparable(), right.comparable()
    for our, their in zip(ours, theirs, strict=False):
        if our != their:
            return -1 if our < their else 1
    return 0 if len(ours) == len(theirs) else None


def add(moment: Temporal, amount: Decimal, unit: str) -> Temporal:
    """Return the moment moved by an amount of a calendar unit (year, month, week, day ... millisecond).

    A unit finer than the moment's precision is first converted to that precision, dropping the rest.
    Raises FhirPathError beyond the years 1 to 9999.
    """
    if amount.adjusted() > 15:
        raise FhirPathError("The date is out of range.")
    amount, unit = _plain(amount, unit)
    finest = (UNITS[3:] if moment.clock else UNITS)[len(moment.parts) - 1]
    while UNITS.index(unit) > UNITS.index(finest):
        amount, unit = (amount / _IN_NEXT[unit]).to_integral_value("ROUND_DOWN"), UNITS[UNITS.index(unit) - 1]
    try:
        if moment.clock:
            return _add_to_clock(moment, amount, unit)
        if unit in ("year", "month"):
            return _add_months(moment, int(amount) * (12 if unit == "year" else 1))
        return _add_exactly(moment, amount, unit)
    except (OverflowError, ValueError) as error:
        raise FhirPathError("The date is out of range.") from error


def _plain(amount: Decimal, unit: str) -> tuple[Decimal, str]:
    if unit == "week":
        return Decimal(int(amount) * 7), "day"
    if unit == "millisecond":
        return amount / 1000, "second"
    return (amount if unit == "second" else Decimal(int(amount))), unit


def _add_months(moment: Temporal, months: int) -> Temporal:
    year, *rest = moment.parts
    total = int(year) * 12 + (int(rest[0]) - 1 if rest else 0) + months
    year, month = divmod(total, 12)
    if not 1 <= year <= 9999:
        raise OverflowError
    changed: list[int | Decimal] = [year, month + 1]
    if len(rest) > 1:
        changed.append(min(int(rest[1]), monthrange(year, month + 1)[1]))
    return moment._replace(parts=(*changed, *rest[2:])[: len(moment.parts)])


def _add_exactly(moment: Temporal, amount: Decimal, unit: str) -> Temporal:
    year, month, day, *clock = moment.parts
    seconds = _seconds(clock) + amount * {"day": 86400, "hour": 3600, "minute": 60, "second": 1}[unit]
    days, seconds = divmod(seconds, 86400)
    if seconds < 0:
        days, seconds = days - 1, seconds + 86400
    moved = date(int(year), int(month), int(day)) + timedelta(days=int(days))
    return moment._replace(parts=(moved.year, moved.month, moved.day, *_clock(seconds)[: len(clock)]))


def _add_to_clock(moment: Temporal, amount: Decimal, unit: str) -> Temporal:
    seconds = _seconds(list(moment.parts)) + amount * {"hour": 3600, "minute": 60, "second": 1}[unit]
    return moment._replace(parts=_clock(seconds - (seconds // 86400) * 86400 + 86400)[: len(moment.parts)])


def _seconds(clock: list[int | Decimal]) -> Decimal:
    return sum((Decimal(part) * factor for part, factor in zip(clock, (3600, 60, 1), strict=False)), Decimal(0))


def _clock(seconds: Decimal) -> tuple[int | Decimal, ...]:
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(int(minutes), 60)
    return (hour % 24, minute, second)


def _exists(clock: bool, parts: tuple[int | Decimal, ...]) -> bool:
    highest = _HIGHEST[3:] if clock else _HIGHEST
    if any(int(part) > limit for part, limit in zip(parts, highest, strict=False)):
        return False
    if clock:
        return True
    year, month, day = (*map(int, parts[:3]), 1, 1)[:3]
    return year > 0 and month > 0 and 0 < day <= monthrange(year, month)[1]


def _offset(text: str) -> int:
    if text == "Z":
        return 0
    minutes = int(text[1:3]) * 60 + int(text[4:6])
    return -minutes if text[0] == "-" else minutes


def _zone(offset: int) -> str:
    if offset == 0:
        return "Z"
    hours, minutes = divmod(abs(offset), 60)
    return f"{'-' if offset < 0 else '+'}{hours:02d}:{minutes:02d}"


def _two(part: int | Decimal) -> str:
    whole, point, fraction = f"{part:f}".partition(".") if isinstance(part, Decimal) else (str(part), "", "")
    return whole.zfill(2) + point + fraction
