"""Date parameters: a value is the span of time that its precision leaves open. https://hl7.org/fhir/R4/search.html#date

Bounds are kept as UTC text, cut to the date at midnight, so that texts sort as times: the low bound is within the
span, the high one is the first instant after it. An open end is "" or "~", and so is the end of the year 9999, which
many systems write for "for ever". A leap second is the last moment of its minute, so that it is on its own day.

Keys: `date<LOW` for each value, `date>` with the inverted greatest high bound, and, where from the lowest bound to the
highest it is more than a day, `date~` with the class of that width and the lowest bound: `date~A2016-03-01` up to eight
days, `B` up to 64, `C` up to 512, no letter beyond. So a search between two times tells the usual short values by their
low bound alone, and looks for others no further back than they may reach.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import timezone as fixed_zone
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.r4.fhirpath import Item
from fhir_server.search.index.entry import Entry
from fhir_server.search.params.date_bounds import (
    BEGINNING,
    DAY,
    EARLIEST,
    END,
    LATEST,
    below,
    inverted,
    later,
    slack,
    sortable,
    wide_spans,
    width_class,
)
from fhir_server.search.params.prefixes import split_prefix
from fhir_server.search.query.conditions import AnyOf, Begins, Condition, InRange, KeySpan, Narrowed, Window, either

_TEXT = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)
_MOMENT = timedelta(microseconds=1)

Span = tuple[str, str]


# --- Text to time ------------------------------------------------------------------------------------------------


def date_range(text: str, timezone: str) -> tuple[datetime, datetime]:
    """Return the first instant of a FHIR date or time and the first after it, which is always later.

    A value without an offset is in `timezone`, an IANA name. Raises ValueError for what is no date.
    """
    low, high = _bounds_of(text, timezone)
    if low < high:
        return low, high
    # A day that the zone left out when it changed sides of the date line, or what lies beyond the end of time.
    return (low, low + _MOMENT) if low < LATEST else (LATEST - _MOMENT, LATEST)


def _bounds_of(text: str, timezone: str) -> tuple[datetime, datetime]:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"not a date or time: {text[:60]}")
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    zone = _zone(offset, timezone)
    if month is None:
        start = datetime(int(year), 1, 1)
        return _in_zone(start, zone), _in_zone(_year_after(start), zone)
    start = datetime(int(year), int(month), int(day or 1))
    if day is None:
        return _in_zone(start, zone), _in_zone(_month_after(start), zone)
    if hour is None:
        return _in_zone(start, zone), _in_zone(later(start, DAY), zone)
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
        raise ValueError(f"not a time of day: {text[:60]}")
    low = _in_zone(start, zone, timedelta(hours=int(hour), minutes=int(minute)))
    if second == "60":
        after = later(low, timedelta(minutes=1))
        return after - _MOMENT, after
    low = later(low, timedelta(seconds=int(second or 0), microseconds=int((fraction or "0")[:6].ljust(6, "0"))))
    return low, later(low, _width(second, fraction))


def _width(second: str | None, fraction: str | None) -> timedelta:
    if second is None:
        return timedelta(minutes=1)
    if fraction is None:
        return timedelta(seconds=1)
    return timedelta(microseconds=10 ** max(6 - len(fraction), 0))


@lru_cache(maxsize=512)
def _zone(offset: str | None, timezone: str) -> tzinfo:
    if offset is None:
        return UTC if timezone == "UTC" else ZoneInfo(timezone)
    if offset == "Z":
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    if hours > 14 or minutes > 59:
        raise ValueError(f"not an offset: {offset}")
    shift = timedelta(hours=hours, minutes=minutes)
    return fixed_zone(-shift if offset[0] == "-" else shift)


def _in_zone(day: datetime, zone: tzinfo, time: timedelta = timedelta(0)) -> datetime:
    if day == datetime.max:
        return LATEST
    try:
        return (day + time).replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return EARLIEST if day.year < 5000 else LATEST


def _year_after(start: datetime) -> datetime:
    return datetime.max if start.year == 9999 else start.replace(year=start.year + 1)


def _month_after(start: datetime) -> datetime:
    if start.month < 12:
        return start.replace(month=start.month + 1)
    return _year_after(start.replace(month=1))


@lru_cache(maxsize=32768)
def span(text: str, timezone: str) -> tuple[str, str, bool]:
    """Return the bounds of a date or time as sortable texts, and whether it is wider than a day; raises ValueError."""
    low, high = date_range(text, timezone)
    return sortable(low), sortable(high), high - low > DAY


def beginning_key(name: str, moment: datetime) -> str:
    """Return the key of what begins at that very moment, by the parameter of that name."""
    return f"{name}<{sortable(moment.astimezone(UTC))}"


# --- Index -------------------------------------------------------------------------------------------------------


def index(name: str, items: list[Item], entry: Entry) -> None:
    """Write the ranges and keys of a date parameter."""
    bounds: list[tuple[str, str, bool]] = []
    for item in items:
        value = item.value
        if isinstance(value, str):
            _add(bounds, _bounds(value, entry.timezone))
        elif isinstance(value, dict):
            _add(bounds, _timing(value, entry.timezone) if item.type == "Timing" else _period(value, entry.timezone))
    if bounds:
        _write(name, bounds, entry)


def index_instant(name: str, milliseconds: int, entry: Entry) -> None:
    """Write what `index` writes of an instant in UTC with milliseconds, given as those since 1970; at a fifth of the
    cost, for what is indexed with every request.
    """
    low, high = _sortable_milliseconds(milliseconds), _sortable_milliseconds(milliseconds + 1)
    entry.keys += (f"{name}<{low}", f"{name}>{inverted(high)}")
    entry.ranges[name] = [{"l": low, "h": high}]


def _sortable_milliseconds(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    at_second, whole = _sortable_second(seconds)
    return f"{at_second}.{rest:03d}".rstrip("0") if rest else whole


@lru_cache(maxsize=64)
def _sortable_second(seconds: int) -> tuple[str, str]:
    time = datetime.fromtimestamp(seconds, UTC)
    return time.replace(tzinfo=None).isoformat(), sortable(time)


def _write(name: str, bounds: list[tuple[str, str, bool]], entry: Entry) -> None:
    ranges: list[dict[str, Any]] = []
    keys = entry.keys
    for low, high, _ in bounds:
        ranges.append({"l": low, "h": high})
        keys.append(f"{name}<{low}")
    latest = max(high for _, high, _ in bounds)
    keys.append(f"{name}>{inverted(latest)}")
    if len(bounds) > 1 or bounds[0][2]:
        earliest = min(low for low, _, _ in bounds)
        if (letter := width_class(earliest, latest)) is not None:
            keys.append(f"{name}~{letter}{earliest}")
    entry.ranges[name] = ranges


def _add(several: list[tuple[str, str, bool]], bounds: tuple[str, str, bool] | None) -> None:
    if bounds is not None and bounds not in several:
        several.append(bounds)


def _bounds(text: str, timezone: str) -> tuple[str, str, bool] | None:
    try:
        return span(text, timezone)
    except ValueError:
        return None


def _period(value: dict[str, Any], timezone: str) -> tuple[str, str, bool] | None:
    start, end = _part(value, "start", timezone), _part(value, "end", timezone)
    if start is None and end is None:
        return None
    low = start[0] if start else BEGINNING
    high = end[1] if end else END
    return low, high, low == BEGINNING or high == END or slack(high) > low


def _part(value: dict[str, Any], name: str, timezone: str) -> tuple[str, str, bool] | None:
    text = value.get(name)
    return _bounds(text, timezone) if isinstance(text, str) else None


def _timing(value: dict[str, Any], timezone: str) -> tuple[str, str, bool] | None:
    # Only the outer limits of a schedule count, not its details.
    limits = [_bounds(text, timezone) for text in value.get("event") or () if isinstance(text, str)]
    limits.append(_period((value.get("repeat") or {}).get("boundsPeriod") or {}, timezone))
    stated = [limit for limit in limits if limit is not None]
    if not stated:
        return None
    low, high = min(limit[0] for limit in stated), max(limit[1] for limit in stated)
    return low, high, low == BEGINNING or high == END or slack(high) > low


# --- Search ------------------------------------------------------------------------------------------------------


def condition(name: str, text: str, timezone: str, now: datetime) -> Condition:
    """Return what a date value with its prefix asks; raises ValueError where it cannot be read.

    `ap` allows a tenth of the time between `now` and the value.
    """
    prefix, value = split_prefix(text)
    # In a URL a plus sign that was not escaped arrives as a space.
    first, after = date_range(value.replace(" ", "+"), timezone)
    if prefix == "ap":
        first, after = approximately(first, after, now)
    low, high = sortable(first), sortable(after)
    return CONDITIONS[prefix](name, low, high)


def approximately(low: datetime, high: datetime, now: datetime) -> tuple[datetime, datetime]:
    """Return the span of time widened by a tenth of its distance from now."""
    distance = max(low - now, now - high, timedelta(0)) / 10
    return (low - distance if low - EARLIEST > distance else EARLIEST), later(high, distance)


def overlapping(name: str, text: str, timezone: str) -> Condition:
    """Return the condition that a value has a moment in common with a date or time; raises ValueError."""
    low, high = date_range(text.replace(" ", "+"), timezone)
    return _overlaps(name, sortable(low), sortable(high))


def _equal(name: str, low: str, high: str) -> Condition:
    test = InRange(name, (("l", ">=", low), ("h", "<=", high)))
    window = Window(name, low, high, Begins(low, slack(high), wide=False))
    return Narrowed(test, KeySpan(f"{name}<{low}", below(name, high)), window)


def _not_equal(name: str, low: str, high: str) -> Condition:
    return _any(name, [InRange(name, (("l", "<", low),)), InRange(name, (("h", ">", high),))], None, None)


def _greater(name: str, low: str, high: str) -> Condition:
    return _any(name, [InRange(name, (("h", ">", high),))], high, None, Begins(high, None), ends=high)


def _less(name: str, low: str, high: str) -> Condition:
    return _any(name, [InRange(name, (("l", "<", low),))], None, low, Begins(BEGINNING, low))


def _greater_or_equal(name: str, low: str, high: str) -> Condition:
    inside = InRange(name, (("l", ">=", low), ("h", "<=", high)))
    return _any(name, [InRange(name, (("h", ">", high),)), inside], low, None, Begins(low, None), ends=high)


def _less_or_equal(name: str, low: str, high: str) -> Condition:
    inside = InRange(name, (("l", ">=", low), ("h", "<=", high)))
    surely = Begins(BEGINNING, max(low, slack(high)), wide=False)
    return _any(name, [InRange(name, (("l", "<", low),)), inside], None, high, surely)


def _starts_after(name: str, low: str, high: str) -> Condition:
    test = InRange(name, (("l", ">=", high),))
    return Narrowed(test, KeySpan(f"{name}<{high}", f"{name}="), Window(name, high, None, Begins(high, None)))


def _ends_before(name: str, low: str, high: str) -> Condition:
    return _any(name, [InRange(name, (("h", "<=", low),))], None, low, Begins(BEGINNING, slack(low), wide=False))


def _overlaps(name: str, low: str, high: str) -> Condition:
    return _any(name, [InRange(name, (("l", "<", high), ("h", ">", low)))], low, high, Begins(low, high))


def _any(
    name: str,
    tests: list[InRange],
    after: str | None,
    before: str | None,
    surely: Begins | None = None,
    *,
    ends: str | None = None,
) -> Condition:
    window = Window(name, after, before, surely, ends)
    return Narrowed(either(list(tests)), window_spans(window), window)


CONDITIONS = {
    "eq": _equal,
    "ne": _not_equal,
    "gt": _greater,
    "lt": _less,
    "ge": _greater_or_equal,
    "le": _less_or_equal,
    "sa": _starts_after,
    "eb": _ends_before,
    "ap": _overlaps,
}


def window_spans(window: Window) -> Condition:
    """Return key spans in which every resource has a key that has values on both sides that the window asks for."""
    name, after, before = window.name, window.after, window.before
    if after is None:
        return KeySpan(f"{name}<", f"{name}=" if before is None else below(name, before))
    if before is None:
        return KeySpan(f"{name}>", f"{name}>{inverted(after)}")
    low = slack(after)
    wide = [KeySpan(*span) for span in wide_spans(name, after, min(low, before))]
    return AnyOf((KeySpan(f"{name}<{low}", below(name, before)), *wide))


def merged(windows: Iterable[Window]) -> Window | None:
    """Return the window that several conditions on one parameter imply together."""
    all_windows = list(windows)
    if not all_windows:
        return None
    after = [window.after for window in all_windows if window.after is not None]
    before = [window.before for window in all_windows if window.before is not None]
    surely = _all([window.surely for window in all_windows])
    ends = all_windows[0].ends if len(all_windows) == 1 else None
    return Window(all_windows[0].name, max(after) if after else None, min(before) if before else None, surely, ends)


def _all(several: list[Begins | None]) -> Begins | None:
    sure = [each for each in several if each is not None]
    until = [each.until for each in sure if each.until is not None]
    if not sure or len(sure) < len(several):
        return None
    return Begins(max(each.first for each in sure), min(until) if until else None, all(each.wide for each in sure))
