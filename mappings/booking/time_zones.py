"""What a calendar file says of a time zone: all its changes of the clock, by rules as far as there are any.

A program that reads several files keeps the first definition of a zone, so there is one for all years.
https://www.rfc-editor.org/rfc/rfc5545#section-3.6.5
"""

from __future__ import annotations

import calendar
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from icalendar import Timezone, TimezoneDaylight, TimezoneStandard

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""Clocks follow no plan that is known beyond; what is by a rule then goes on by it."""
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_FEWEST_BY_RULE = 10


class Reading(NamedTuple):
    """How a clock is set: its offset, whether that is daylight saving time, and what it is called."""

    offset: timedelta
    is_daylight: bool
    name: str


class Kind(NamedTuple):
    """A change of the clock: the offset before it, and how the clock is set after it."""

    before: timedelta
    after: Reading


@dataclass(frozen=True, slots=True)
class Change:
    """When a clock is changed; `onset` is what it shows at that moment, not changed yet."""

    onset: datetime
    kind: Kind


@lru_cache(maxsize=700)
def definition(name: str) -> Timezone:
    """Return the VTIMEZONE of an IANA zone; the same object each time, which nobody may change."""
    clock = ZoneInfo(name)
    zone = Timezone()
    zone.add("tzid", name)
    first = _reading(_FIRST, clock)
    zone.add_component(_observance([_FIRST.replace(tzinfo=None) + first.offset], Kind(first.offset, first)))
    by_kind: dict[Kind, list[datetime]] = defaultdict(list)
    for change in _changes(clock):
        by_kind[change.kind].append(change.onset)
    for kind, onsets in by_kind.items():
        begin, rule = _rule(onsets)
        if onsets[:begin]:
            zone.add_component(_observance(onsets[:begin], kind))
        if rule:
            zone.add_component(_observance(onsets[begin : begin + 1], kind, rule))
    return zone


def _observance(onsets: Sequence[datetime], kind: Kind, rule: dict[str, Any] | None = None) -> Any:
    component = TimezoneDaylight() if kind.after.is_daylight else TimezoneStandard()
    component.add("dtstart", onsets[0])
    if rule:
        component.add("rrule", rule)
    if onsets[1:]:
        component.add("rdate", list(onsets[1:]))
    component.add("tzoffsetfrom", kind.before)
    component.add("tzoffsetto", kind.after.offset)
    component.add("tzname", kind.after.name)
    return component


def _reading(moment: datetime, clock: ZoneInfo) -> Reading:
    local = moment.astimezone(clock)
    # Offsets are written in minutes or seconds alike, but none has had seconds since 1972.
    return Reading(local.utcoffset() or timedelta(), bool(local.dst()), local.tzname() or "")


def _changes(clock: ZoneInfo) -> Iterator[Change]:
    moment, before = _FIRST, _reading(_FIRST, clock)
    while moment < _LAST:
        following = moment + _DAY
        if _reading(following, clock) != before:
            at = _first_after(moment, following, before, clock)
            after = _reading(at, clock)
            yield Change(at.replace(tzinfo=None) + before.offset, Kind(before.offset, after))
            following, before = at, after
        moment = following


def _first_after(low: datetime, high: datetime, before: Reading, clock: ZoneInfo) -> datetime:
    """Return the first moment, to the second, at which the clock is set in another way than before."""
    while high - low > _SECOND:
        middle = low + (high - low) // 2 // _SECOND * _SECOND
        if _reading(middle, clock) == before:
            low = middle
        else:
            high = middle
    return high


def _rule(onsets: Sequence[datetime]) -> tuple[int, dict[str, Any] | None]:
    """Return from which of the onsets on there is one each year by a rule that goes on, and that rule."""
    begin = len(onsets)
    while begin and _recurrence(onsets[begin - 1 :]) and onsets[-1].year >= _LAST.year - 1:
        begin -= 1
    return (begin, _recurrence(onsets[begin:])) if len(onsets) - begin >= _FEWEST_BY_RULE else (len(onsets), None)


def _recurrence(onsets: Sequence[datetime]) -> dict[str, Any] | None:
    """Return the RRULE that all of them follow, year by year: on a weekday within some seven days of a month."""
    one = onsets[0]
    alike = all(
        (item.month, item.weekday(), item.time()) == (one.month, one.weekday(), one.time())
        and item.year == one.year + number
        for number, item in enumerate(onsets)
    )
    if not alike:
        return None
    rule: dict[str, Any] = {"freq": "yearly", "bymonth": one.month}
    weekday, days = _WEEKDAYS[one.weekday()], {item.day for item in onsets}
    nth = {(item.day - 1) // 7 + 1 for item in onsets}
    if all(item.day > calendar.monthrange(item.year, item.month)[1] - 7 for item in onsets):
        return rule | {"byday": f"-1{weekday}"}
    if len(nth) == 1:
        return rule | {"byday": f"{nth.pop()}{weekday}"}
    if max(days) - min(days) <= 6:
        return rule | {"byday": weekday, "bymonthday": _seven_days(days)}
    return None


def _seven_days(days: set[int]) -> list[int]:
    return list(range(min(days), min(days) + 7)) if max(days) - min(days) == 6 else sorted(days)
