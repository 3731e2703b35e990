"""Counting a range of one parameter on keys alone: a document costs an index key, where fetching it costs twenty.

The database counts what has a key with one of some prefixes without looking at documents, but not what has a key
between two bounds. So a range of keys is cut into prefixes. What is near its ends, and what is wide or has several
values, is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fhir_server.search.params.date_bounds import BEGINNING, below, inverted, slack, wide_spans
from fhir_server.search.params.dates import merged
from fhir_server.search.planner.joins import Filter
from fhir_server.search.planner.scans import KeyRange, flat
from fhir_server.search.query.conditions import AnyOf, Begins, Condition, KeySpan, Narrowed, Window

_DIGITS = "0123456789~"
"""What may stand, in rising order, where texts of numbers and times differ in a digit."""
_SIGNS = ".0123456789T~"
"""What may stand where one of two such texts goes on and the other, in falling order, ends with the last of these."""


@dataclass(frozen=True, slots=True)
class RangeCount:
    """Documents with a key in `span` are matches but for some of those in `doubtful`; some in `others` are, too.

    None of the ranges has to be apart from others.
    """

    span: KeyRange
    others: tuple[KeyRange, ...] = ()
    doubtful: tuple[KeyRange, ...] = ()


def range_count(condition: Condition) -> RangeCount | None:
    """Return how to count what meets a condition; None where it is no range of one parameter."""
    conditions = list(flat((condition,)))
    windows = [each.window for each in conditions if isinstance(each, Narrowed) and each.window is not None]
    if windows and len(windows) == len(conditions) and len({window.name for window in windows}) == 1:
        window = merged(windows)
        return None if window is None or window.surely is None else _dates(window, window.surely)
    if len(conditions) != 1:
        return None
    match conditions[0]:
        case KeySpan() as span:
            return _values(span)
        case AnyOf((KeySpan() as span, Narrowed(_, KeySpan() as ranges))):
            values = _values(span)
            return values and RangeCount(values.span, (KeyRange(ranges.low, ranges.high),))
    return None


def _values(span: KeySpan) -> RangeCount | None:
    plain = span.low < span.high and not (span.containing or span.but)
    return RangeCount(KeyRange(span.low, span.high)) if plain else None


def _dates(window: Window, surely: Begins) -> RangeCount | None:
    name, first, until = window.name, surely.first, surely.until
    if window.before is None and window.ends is not None:
        return _ending(window, window.ends)
    last = f"{name}=" if until is None else below(name, until)
    end = "" if window.before is None else window.before
    if f"{name}<{first}" >= last:
        return None
    # What is within a day begins at most a day before the bound that it ends after.
    after = BEGINNING if window.after is None else window.after
    others = [KeyRange(f"{name}<{slack(after)}", f"{name}<{first}")]
    if until is not None and end:
        others.append(KeyRange(last, below(name, end)))
    if surely.wide:
        others += _wide(name, after, first)
        return RangeCount(KeyRange(f"{name}<{first}", last), tuple(filter(_is_any, others)))
    others += _wide(name, after, end or None)
    doubtful = tuple(_wide(name, first, end or None))
    return RangeCount(KeyRange(f"{name}<{first}", last), tuple(filter(_is_any, others)), doubtful)


def _ending(window: Window, ends: str) -> RangeCount | None:
    """Return how to count what ends after a bound, or lies within the time until there: each resource has one key that
    says when its last value ends.
    """
    name = window.name
    span = KeyRange(f"{name}>", f"{name}>{inverted(ends)}")
    inside = KeyRange(f"{name}<{window.after}", f"{name}<{ends}")
    return RangeCount(span, tuple(filter(_is_any, [inside]))) if _is_any(span) else None


def _wide(name: str, after: str, before: str | None) -> list[KeyRange]:
    return [KeyRange(*span) for span in wide_spans(name, after, before)]


def _is_any(span: KeyRange) -> bool:
    return span.low < span.high


# --- Prefixes ----------------------------------------------------------------------------------------------------


def covered(span: KeyRange) -> Filter:
    """Return a filter of the documents with a key in the range that the index alone decides."""
    prefixes = [{"keys": {"$regex": f"^{re.escape(each)}"}} for each in _prefixes(span.low, span.high)]
    return {"$or": [*prefixes, *({"keys": each} for each in _shorter(span.low, span.high))]}


def _prefixes(low: str, high: str) -> Iterator[str]:
    """Yield the prefixes of the keys from `low` until before `high`, but for those that `high` begins with."""
    same = _in_common(low, high)
    if same < len(low):
        yield low
        for place in range(same + 1, len(low)):
            yield from (low[:place] + each for each in _others(low[place]) if each > low[place])
        yield from (low[:same] + each for each in _SIGNS if low[same] < each < high[same])
    for place in range(same + (same < len(low)), len(high)):
        yield from (high[:place] + each for each in _others(high[place]) if each < high[place])


def _shorter(low: str, high: str) -> Iterator[str]:
    """Yield the keys in the range that `high` begins with."""
    return (high[:place] for place in range(len(high)) if low <= high[:place])


def _in_common(low: str, high: str) -> int:
    return next((place for place in range(min(len(low), len(high))) if low[place] != high[place]), len(low))


def _others(character: str) -> str:
    """Return what may stand in other texts at the place of a character."""
    if character in ".T~":
        return _SIGNS
    # Signs between digits stand at the same places in all texts.
    return _DIGITS if character.isdigit() or character < " " else ""
