"""Number parameters. https://hl7.org/fhir/R4/search.html#number

A plain number is the key `probability<` with the number, which says everything. A value that is itself a range (the
datatype Range, a quantity with a comparator) has the key `probability~` with its low bound, and its exact bounds, both
included, in `ranges`.

The functions on `prefix` serve quantities too, which have such a family of keys for each spelling of the unit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fhir_server.r4.fhirpath import Item
from fhir_server.search.index.entry import Entry
from fhir_server.search.params.decimals import HIGHEST, LOWEST, approximate_span, implied_span, number, sortable
from fhir_server.search.params.prefixes import Prefix, split_prefix
from fhir_server.search.query.conditions import Condition, InRange, KeySpan, Narrowed, Operator, either

Bounds = tuple[Decimal, Decimal]


def index(name: str, items: list[Item], entry: Entry) -> None:
    """Write the keys and ranges of a number parameter."""
    for item in items:
        value = item.value
        if isinstance(value, (Decimal, int)) and not isinstance(value, bool):
            entry.keys.append(f"{name}<{sortable(value)}")
        elif isinstance(value, dict) and item.type == "Range":
            low, high = (bound_of(value.get(part)) for part in ("low", "high"))
            write_range(name, low, high, entry)


def bound_of(quantity: Any) -> Decimal | None:
    """Return the number in a quantity, None where it has none."""
    value = quantity.get("value") if isinstance(quantity, dict) else None
    if isinstance(value, (Decimal, int)) and not isinstance(value, bool):
        return Decimal(value)
    return None


def write_range(
    name: str, low: Decimal | None, high: Decimal | None, entry: Entry, units: tuple[str, ...] | None = None
) -> None:
    """Write a value that is a range; None is an open end."""
    if low is None and high is None:
        return
    low_text = LOWEST if low is None else sortable(low)
    bounds: dict[str, Any] = {"l": low_text, "h": HIGHEST if high is None else sortable(high)}
    if units is not None:
        bounds["u"] = list(units)
    entry.keys.append(f"{name}~{low_text}")
    entry.ranges.setdefault(name, []).append(bounds)


def condition(name: str, text: str) -> Condition:
    """Return what a number with its prefix asks; raises ValueError where it cannot be read."""
    prefix, value = split_prefix(text)
    return comparison(name, f"{name}<", prefix, value)


def comparison(name: str, family: str, prefix: Prefix, text: str, unit: str | None = None) -> Condition:
    """Return the condition on the keys that begin with `family` and the ranges under `name` that carry `unit`."""
    bounds = (
        implied_span(text)
        if prefix in ("eq", "ne")
        else approximate_span(text)
        if prefix == "ap"
        else (number(text),) * 2
    )
    return compare(name, family, prefix, (bounds[0], bounds[1]), unit)


def compare(name: str, family: str, prefix: Prefix, bounds: Bounds, unit: str | None = None) -> Condition:
    """Return the condition that a value compares so with the numbers from the first bound to the second."""
    low, high = sortable(bounds[0]), sortable(bounds[1])
    spans = [KeySpan(family + first, after) for first, after in _points(family, prefix, low, high)]
    ranges = [InRange(name, tests, unit) for tests in _RANGES[prefix](low, high)]
    return either([*spans, Narrowed(either(list(ranges)), KeySpan(f"{name}~", f"{name}\x7f"))])


def _points(family: str, prefix: Prefix, low: str, high: str) -> list[tuple[str, str]]:
    # Nothing sorts between a number's text and the same with U+0001 behind it: so "above" excludes the number itself.
    lowest, end = "", family + HIGHEST
    above, up_to = f"{high}\x01", f"{family}{low}\x01"
    match prefix:
        case "eq":
            return [(low, family + high)]
        case "ne":
            return [(lowest, family + low), (high, end)]
        case "gt" | "sa":
            return [(above, end)]
        case "ge":
            return [(low, end)]
        case "lt" | "eb":
            return [(lowest, family + low)]
        case "le":
            return [(lowest, up_to)]
        case "ap":
            return [(low, f"{family}{high}\x01")]


Test = tuple[tuple[Any, Operator, str], ...]

_RANGES: dict[Prefix, Any] = {
    "eq": lambda low, high: [(("l", ">=", low), ("h", "<", high))],
    "ne": lambda low, high: [(("l", "<", low),), (("h", ">=", high),)],
    "gt": lambda low, high: [(("h", ">", high),)],
    "ge": lambda low, high: [(("h", ">=", low),)],
    "lt": lambda low, high: [(("l", "<", low),)],
    "le": lambda low, high: [(("l", "<=", high),)],
    "sa": lambda low, high: [(("l", ">", high),)],
    "eb": lambda low, high: [(("h", "<", low),)],
    "ap": lambda low, high: [(("l", "<=", high), ("h", ">=", low))],
}
