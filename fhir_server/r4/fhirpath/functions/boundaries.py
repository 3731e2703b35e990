"""The least and the greatest value that a number or moment of limited precision may stand for.

https://build.fhir.org/ig/HL7/FHIRPath/#lowboundaryprecision-integer--decimal--date--datetime--time
"""

from __future__ import annotations

from calendar import monthrange
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

from fhir_server.r4.fhirpath.functions.registry import function
from fhir_server.r4.fhirpath.items import EMPTY, Item, Items, integer, integer_of, number, single
from fhir_server.r4.fhirpath.temporal import Temporal
from fhir_server.r4.fhirpath.types import SYSTEM_TYPES

_MOST_PLACES = 31
_EXACT = Context(prec=80)
_FARTHEST = 40
"""Digits before the point of a number that has boundaries here."""

# How many digits write a moment as far as each of its parts, and the parts that the digits ask for.
_DATE_DIGITS = {4: 1, 6: 2, 8: 3}
_DATE_TIME_DIGITS = {**_DATE_DIGITS, 10: 4, 12: 5, 14: 6, 17: 6}
_TIME_DIGITS = {2: 1, 4: 2, 6: 3, 9: 3}
_WHOLE = {"Date": 8, "DateTime": 17, "Time": 9}
_MILLISECONDS = frozenset({9, 17})
# The zones in which a time of day comes first and last.
_EARLIEST, _LATEST = 14 * 60, -12 * 60


@function("lowBoundary", 0, 1)
def _low_boundary(items: Items, precision: Items = EMPTY) -> Items:
    return _boundary(items, integer_of(precision), low=True)


@function("highBoundary", 0, 1)
def _high_boundary(items: Items, precision: Items = EMPTY) -> Items:
    return _boundary(items, integer_of(precision), low=False)


@function("precision")
def _precision(items: Items) -> Items:
    item = single(items)
    kind = None if item is None or item.value is None else SYSTEM_TYPES.get(item.type)
    if item is None or kind is None:
        return EMPTY
    if kind in ("Integer", "Decimal"):
        return integer(_places(Decimal(item.value)))
    moment = Temporal.parse(item.type, item.value) if kind in _WHOLE else None
    return EMPTY if moment is None else integer(_digits(moment))


def _boundary(items: Items, precision: int | None, *, low: bool) -> Items:
    item = single(items)
    kind = None if item is None or item.value is None else SYSTEM_TYPES.get(item.type)
    if item is None or kind is None:
        return EMPTY
    if kind in ("Integer", "Decimal"):
        bound = _of_number(Decimal(item.value), precision, low=low)
        return EMPTY if bound is None else number(bound)
    if kind == "Quantity":
        return _of_quantity(item.value, precision, low=low)
    return _of_moment(item, kind, precision, low=low) if kind in _WHOLE else EMPTY


def _of_number(value: Decimal, precision: int | None, *, low: bool) -> Decimal | None:
    places = 8 if precision is None else precision
    if not 0 <= places <= _MOST_PLACES or value.adjusted() > _FARTHEST:
        return None
    half = Decimal(5).scaleb(-_places(value) - 1, _EXACT)
    bound = _EXACT.subtract(value, half) if low else _EXACT.add(value, half)
    rounded = bound.quantize(Decimal(1).scaleb(-places), ROUND_FLOOR if low else ROUND_CEILING, _EXACT)
    return rounded if rounded else abs(rounded)


def _of_quantity(amount: dict[str, Any], precision: int | None, *, low: bool) -> Items:
    if "value" not in amount:
        return EMPTY
    bound = _of_number(Decimal(amount["value"]), precision, low=low)
    return EMPTY if bound is None else [Item("System.Quantity", {**amount, "value": bound})]


def _of_moment(item: Item, kind: str, precision: int | None, *, low: bool) -> Items:
    moment = Temporal.parse(item.type, item.value)
    digits = _WHOLE[kind] if precision is None else precision
    table = {"Date": _DATE_DIGITS, "DateTime": _DATE_TIME_DIGITS, "Time": _TIME_DIGITS}[kind]
    if moment is None or digits not in table:
        return EMPTY
    parts = _filled(moment, table[digits], low=low)
    if not moment.clock and len(parts) > 2 and len(moment.parts) < 3 and not low:
        parts[2] = monthrange(int(parts[0]), int(parts[1]))[1]
    if digits in _MILLISECONDS:
        parts[-1] = _to_milliseconds(parts[-1], stated=len(moment.parts) == len(parts), low=low)
    elif len(parts) == table[max(table)]:
        parts[-1] = int(parts[-1])
    bound = Temporal(moment.clock, tuple(parts), None)
    if bound.timed and not bound.clock:
        zone = _EARLIEST if low else _LATEST
        bound = bound._replace(offset=zone if moment.offset is None else moment.offset)
    return [Item(f"System.{kind}", bound.text())]


def _filled(moment: Temporal, count: int, *, low: bool) -> list[int | Decimal]:
    """Return as many parts as are asked for, the unknown ones at their least or greatest."""
    least, greatest = ((0, 0, 0), (23, 59, 59)) if moment.clock else ((1, 1, 1, 0, 0, 0), (9999, 12, 31, 23, 59, 59))
    rest = (least if low else greatest)[len(moment.parts) : count]
    return [*moment.parts[:count], *rest]


def _to_milliseconds(second: int | Decimal, *, stated: bool, low: bool) -> Decimal:
    """Return a second with three places: what it lacks of them is filled with zeros or nines."""
    value = Decimal(second)
    missing = 3 - (_places(value) if stated else 0)
    filled = value.quantize(Decimal("0.001"), ROUND_FLOOR)
    return filled if low or missing <= 0 else filled + Decimal(10**missing - 1).scaleb(-3)


def _places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _digits(moment: Temporal) -> int:
    """Return how many digits write the moment."""
    last = moment.parts[-1]
    fraction = _places(last) if isinstance(last, Decimal) else 0
    return (0 if moment.clock else 2) + 2 * len(moment.parts) + fraction
