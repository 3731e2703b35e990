"""Where the order of a sort begins and ends: what conditions on the sorted parameter say of the places of matches.

A resource stands at its lowest value in a rising order and at its highest in a falling one. So what all matches are
below ends a rising walk, and what they are above ends a falling one. The other bound begins the walk only for what has
one value: a long period, or one value of several, may match and stand before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import TypeAlias

from fhir_server.search.index.element_paths import is_one_element
from fhir_server.search.index.keys import SEPARATOR, SORTED_BY, after_prefix
from fhir_server.search.params.date_bounds import (
    BEGINNING,
    END,
    below,
    day_after,
    inverted,
    reaches,
    slack,
    wide_spans,
)
from fhir_server.search.params.dates import merged
from fhir_server.search.params.strings import inverted as inverted_text
from fhir_server.search.planner.scans import Collected, Falling, KeyRange, Scan, UpdatedWalk, flat
from fhir_server.search.query.conditions import (
    AnyOf,
    Condition,
    HasKey,
    KeySpan,
    Narrowed,
    Updated,
    Window,
)
from fhir_server.search.registry import parameters

Span: TypeAlias = tuple[str, str]
_ORDERED = frozenset({"string", "number", "quantity"})


@dataclass(frozen=True, slots=True)
class Order:
    """Scans that read, in the order of a sort, every match of a condition.

    `idle` is what they may read before the first match; empty where they begin with one.
    """

    scans: tuple[Scan, ...]
    idle: tuple[KeyRange, ...] = ()


def bounded(scans: tuple[Scan, ...], resource_type: str, name: str, condition: Condition) -> tuple[Order, ...]:
    """Return the orders to choose from for a condition, given the scans of a sort by a parameter without one."""
    if not scans:
        return ()
    conditions = tuple(flat((condition,)))
    match scans[0]:
        case UpdatedWalk() as walk:
            return (Order((_timed(walk, conditions), *scans[1:])),)
        case KeyRange() | Falling() as walk if windows := _windows(name, conditions):
            return _dated(walk, name, windows) or (Order(scans),)
        case KeyRange() | Falling() as walk:
            family = f"{name}{SORTED_BY[parameters(resource_type)[name].type]}"
            spans = [span for each in conditions if (span := _values(each, family)) is not None]
            orders = _valued(walk, resource_type, name, spans) if spans else ()
            # What has ranges only stands behind all values; without any value, nothing matches.
            return tuple(replace(each, scans=(*each.scans, *scans[1:2])) for each in orders) or (Order(scans),)
    return (Order(scans),)


# --- Times of storage --------------------------------------------------------------------------------------------


def _timed(walk: UpdatedWalk, conditions: Iterable[Condition]) -> UpdatedWalk:
    tests = [each for each in conditions if isinstance(each, Updated)]
    low = max((each.time for each in tests if each.operator == ">="), default=None)
    high = min((each.time for each in tests if each.operator == "<"), default=None)
    return replace(walk, low=low, high=high) if _is_span(low, high) else walk


def _is_span(low: datetime | None, high: datetime | None) -> bool:
    return low is None or high is None or low < high


# --- Dates -------------------------------------------------------------------------------------------------------


def _windows(name: str, conditions: Iterable[Condition]) -> list[Window]:
    return [
        each.window
        for each in conditions
        if isinstance(each, Narrowed) and each.window is not None and each.window.name == name
    ]


def _dated(walk: KeyRange | Falling, name: str, windows: list[Window]) -> tuple[Order, ...]:
    """Return the orders within what date conditions imply together.

    All but the wide values (several of one resource may be wide together) are within a day, so those begin at most a
    day before the bound. The wide ones that stand before it are read first, by keys of their own.
    """
    window = merged(windows)
    assert window is not None
    after, before = window.after, window.before
    if walk.low == f"{name}<":
        whole = _cut(walk, walk.low, walk.high if before is None else below(name, before))
        return _rising(whole, name, after) if whole is not None else ()
    whole = _cut(walk, walk.low, walk.high if after is None else f"{name}>{inverted(after)}")
    return _falling(whole, name, before) if whole is not None else ()


def _rising(whole: KeyRange, name: str, after: str | None) -> tuple[Order, ...]:
    """Return the orders of what ends after a bound, by its lowest bounds in the range."""
    first = None if after is None else slack(after)
    if after is None or first in (None, BEGINNING, END) or f"{name}<{first}" >= whole.high:
        return (Order((whole,)),)
    begin = f"{name}<{first}"
    wide = _wide(name, after, first)
    return Order((*_earlier(name, after), replace(whole, low=begin)), wide), Order(
        (whole,), (KeyRange(whole.low, begin),)
    )


def _earlier(name: str, after: str) -> Iterator[Scan]:
    """Yield scans of the wide values, in the order of their lowest bounds, which begin more than a day before a bound.

    What begins so early that only the widest reach beyond the bound stands in one order. The rest is collected, each
    time from where on further classes may reach.
    """
    places = [*reaches(after), slack(after)]
    if places[0] != BEGINNING:
        yield KeyRange(f"{name}~", f"{name}~{places[0]}")
    for place, following in pairwise(places):
        among = KeyRange(f"{name}<{place}", f"{name}<{following}")
        if among.low < among.high:
            yield Collected(_wide(name, after, following, place), among)


def _falling(whole: KeyRange, name: str, before: str | None) -> tuple[Order, ...]:
    """Return the orders of what begins before a bound, by its highest bounds in the range."""
    last = END if before is None else day_after(before)
    begin = f"{name}>{inverted(last)}"
    if before in (None, BEGINNING, END) or last == END or begin >= whole.high:
        return (Order((whole,)),)
    assert before is not None
    idle = KeyRange(whole.low, begin)
    wide = _wide(name, before, before)
    return Order((Collected(wide, idle), replace(whole, low=begin)), wide), Order((whole,), (idle,))


def _wide(name: str, after: str, before: str | None, since: str = BEGINNING) -> tuple[KeyRange, ...]:
    return tuple(KeyRange(*span) for span in wide_spans(name, after, before, since))


def _cut(walk: KeyRange | Falling, low: str, high: str) -> KeyRange | None:
    """Return the walk between two keys; None where nothing is between them, which others than the order find out."""
    return KeyRange(low, high) if isinstance(walk, KeyRange) and low < high <= walk.high else None


# --- Strings, numbers and quantities -----------------------------------------------------------------------------


def _values(condition: Condition, family: str) -> Span | None:
    """Return the span of keys of a family of which what has one value, of that family, must have one to match.

    None where the condition does not say.
    """
    match condition:
        case KeySpan(low, high) if low.startswith(family):
            return (low, high) if low < high <= after_prefix(family) else None
        case HasKey(keys) if keys and all(key.startswith(family) for key in keys):
            return min(keys), f"{max(keys)}\x01"
        case AnyOf(conditions):
            spans = [_values(each, family) for each in conditions if not _is_of_ranges(each, family)]
            stated = [span for span in spans if span is not None]
            if stated and len(stated) == len(spans):
                return min(span[0] for span in stated), max(span[1] for span in stated)
    return None


def _is_of_ranges(condition: Condition, family: str) -> bool:
    """Return whether only values match that are ranges, which have no place in the order."""
    return isinstance(condition, Narrowed) and condition.by == KeySpan(f"{family[:-1]}~", f"{family[:-1]}\x7f")


def _valued(walk: KeyRange | Falling, resource_type: str, name: str, spans: list[Span]) -> tuple[Order, ...]:
    parameter = parameters(resource_type)[name]
    family = f"{name}{SORTED_BY[parameter.type]}"
    one = is_one_element(parameter.branches, primitive=parameter.type == "string")
    if parameter.type not in _ORDERED or not (one or parameter.type == "string"):
        # One of several numbers may be a range that matches, whatever the others are.
        return ()
    first, last = max(low for low, _ in spans), min(high for _, high in spans)
    if isinstance(walk, Falling):
        whole: KeyRange | Falling = Falling(first, walk.high)
        begun: KeyRange | Falling = Falling(first, last)
        idle = KeyRange(last, walk.high)
    elif walk.low == family:
        whole, begun, idle = KeyRange(family, last), KeyRange(first, last), KeyRange(family, first)
    else:
        whole = KeyRange(walk.low, _backwards(name, family, first, walk.high) + "\x01")
        idle = KeyRange(walk.low, _backwards(name, family, last, walk.low))
        begun = replace(whole, low=idle.high)
    if not one:
        return (Order((whole,), (idle,) if idle.low < idle.high else ()),)
    return (Order((begun,)),) if begun.low < begun.high else ()


def _backwards(name: str, family: str, key: str, otherwise: str) -> str:
    """Return the key in falling order that stands for one in rising order; another text where it stands for none."""
    folded = key.removeprefix(family).partition(SEPARATOR)[0]
    return f"{name}>{inverted_text(folded)}" if folded and key.startswith(family) else otherwise
