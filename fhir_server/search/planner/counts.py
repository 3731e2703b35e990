"""Counting a range of one parameter on keys alone: a document costs an index key, where fetching it costs twenty.

The database counts what has a key with one of some prefixes without looking at documents, but not what has a key
between two bounds. So a range of keys is cut into prefixes. What is near its ends, and what is wide or has several
values, is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fhir_server.search.params.dates import BEGINNING, below, merged, slack
from fhir_server.search.planner.joins import Filter
from fhir_server.search.planner.scans import KeyRange, flat
from fhir_server.search.query.conditions import AnyOf, Begins, Condition, KeySpan, Narrowed, Window

_RANKED = "0123456789~"
"""What may stand, in rising order, where texts of numbers and times differ."""


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
    asked = list(flat((condition,)))
    windows = [each.window for each in asked if isinstance(each, Narrowed) and each.window is not None]
    if windows and len(windows) == len(asked) and len({window.name for window in windows}) == 1:
        window = merged(windows)
        return None if window is None or window.surely is None else _dates(window, window.surely)
    if len(asked) != 1:
        return None
    match asked[0]:
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
    last = f"{name}=" if until is None else below(name, until)
    end = "" if window.before is None else window.before
    if f"{name}<{first}" >= last:
        return None
    # What is within a day begins at most a day before the bound that it ends after.
    others = [KeyRange(f"{name}<{BEGINNING if window.after is None else slack(window.after)}", f"{name}<{first}")]
    if until is not None and end:
        others.append(KeyRange(last, below(name, end)))
    loose = KeyRange(f"{name}~", f"{name}~{end}" if end else f"{name}\x7f")
    if surely.wide:
        others.append(KeyRange(f"{name}~", f"{name}~{first}"))
        return RangeCount(KeyRange(f"{name}<{first}", last), tuple(filter(_is_any, others)))
    doubtful = (KeyRange(f"{name}~{first}", loose.high),)
    return RangeCount(KeyRange(f"{name}<{first}", last), tuple(filter(_is_any, [*others, loose])), doubtful)


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
            yield from (low[:place] + each for each in _RANKED if _comparable(low[place]) and each > low[place])
        yield from (low[:same] + each for each in _RANKED if low[same] < each < high[same])
    for place in range(same + (same < len(low)), len(high)):
        yield from (high[:place] + each for each in _RANKED if _comparable(high[place]) and each < high[place])


def _shorter(low: str, high: str) -> Iterator[str]:
    """Yield the keys in the range that `high` begins with."""
    return (high[:place] for place in range(len(high)) if low <= high[:place])


def _in_common(low: str, high: str) -> int:
    return next((place for place in range(min(len(low), len(high))) if low[place] != high[place]), len(low))


def _comparable(character: str) -> bool:
    # Signs between digits stand at the same places in all texts.
    return character in _RANKED or character < " "
