"""Bounds of dates as texts that sort as times, and what they say of how far values reach.

A bound is UTC text, cut to the date at midnight; an open end is "" or "~", and so are the ends of time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

BEGINNING, END = "", "~"
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
DAY = timedelta(days=1)
_CLASSES = (("A", timedelta(days=8)), ("B", timedelta(days=64)), ("C", timedelta(days=512)))
"""The classes of wide values by their greatest width, the narrowest first. No low bound begins with a letter."""
_INVERTED = str.maketrans("0123456789", "9876543210")


def later(time: datetime, by: timedelta) -> datetime:
    """Return a time so much later, the end of time at most."""
    return datetime.max.replace(tzinfo=time.tzinfo) if datetime.max - time.replace(tzinfo=None) < by else time + by


def sortable(time: datetime) -> str:
    """Return an instant as text that sorts as time: ISO 8601 in UTC, without what is zero at its end."""
    if time <= EARLIEST:
        return BEGINNING
    if time >= LATEST:
        return END
    text = time.replace(tzinfo=None).isoformat()
    if text.endswith("T00:00:00"):
        return text[:-9]
    return text.rstrip("0") if time.microsecond else text


def inverted(bound: str) -> str:
    """Return a sortable bound such that a later time sorts first."""
    return "" if bound == END else f"{bound.translate(_INVERTED)}~"


def slack(bound: str, width: timedelta = DAY) -> str:
    """Return the lowest low bound of a value no wider than that, by default a day, that ends after the bound."""
    if bound in (BEGINNING, END):
        return bound
    try:
        return sortable(datetime.fromisoformat(bound).replace(tzinfo=UTC) - width)
    except OverflowError:
        return BEGINNING


def day_after(bound: str) -> str:
    """Return the latest high bound of a value no wider than a day that begins before the bound."""
    if bound in (BEGINNING, END):
        return bound
    return sortable(later(datetime.fromisoformat(bound).replace(tzinfo=UTC), DAY))


def below(name: str, high: str) -> str:
    """Return the end of the keys of low bounds before `high`."""
    return f"{name}=" if high == END else f"{name}<{high}"


# --- Wide values --------------------------------------------------------------------------------------------------


def width_class(low: str, high: str) -> str | None:
    """Return the letter of the class of a width, empty beyond the widest; None within a day."""
    if low == BEGINNING or high == END:
        return ""
    if slack(high) <= low:
        return None
    return next((letter for letter, width in _CLASSES if slack(high, width) <= low), "")


def wide_spans(name: str, after: str, before: str | None, since: str = BEGINNING) -> list[tuple[str, str]]:
    """Return spans with a key of every resource whose values are wider together than a day, end after a bound, and
    begin before another, but not before `since`.

    What an earlier release indexed has keys of the widest class, one for each value.
    """
    last = before if before != END else None
    spans = [(f"{name}~{since}", f"{name}~{_CLASSES[0][0] if last is None else last}")]
    for letter, width in _CLASSES:
        high = f"{name}~{letter}{'~' if last is None else last}"
        spans.append((f"{name}~{letter}{max(slack(after, width), since)}", high))
    return [span for span in spans if span[0] < span[1]]


def reaches(after: str) -> list[str]:
    """Return from when on the wide values of each class may reach beyond a bound, in rising order."""
    return [slack(after, width) for _, width in reversed(_CLASSES)]
