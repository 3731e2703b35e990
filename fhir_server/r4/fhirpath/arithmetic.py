"""Calculating with numbers, dates and quantities. https://hl7.org/fhirpath/N1/#math-2"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any

from fhir_server.r4.fhirpath import quantity, temporal
from fhir_server.r4.fhirpath.functions.math import signed, whole
from fhir_server.r4.fhirpath.items import EMPTY, FhirPathError, Item, Items, grown, integer, number, number_of, single
from fhir_server.r4.fhirpath.temporal import Temporal
from fhir_server.r4.fhirpath.types import SYSTEM_TYPES


def plus(left: Items, right: Items) -> Items:
    """Return the sum of two numbers, strings joined, or a date, time or quantity and a quantity."""
    return _added(left, right, 1)


def minus(left: Items, right: Items) -> Items:
    """Return the difference of two numbers, or of a date, time or quantity and a quantity."""
    return _added(left, right, -1)


def _added(left: Items, right: Items, sign: int) -> Items:
    one, other = single(left), single(right)
    if one is None or other is None or one.value is None or other.value is None:
        return EMPTY
    if isinstance(other.value, dict):
        return _with_quantity(one, other.value, sign)
    if isinstance(one.value, str) and isinstance(other.value, str) and sign == 1:
        return grown(one.value + other.value)
    return _number(left, right, lambda a, b: a + sign * b)


def _with_quantity(item: Item, amount: dict[str, Any], sign: int) -> Items:
    kind = SYSTEM_TYPES.get(item.type)
    if "value" not in amount:
        return EMPTY
    if kind in ("Date", "DateTime", "Time"):
        moment, unit = Temporal.parse(item.type, item.value), quantity.calendar_unit(amount)
        if unit is None:
            raise FhirPathError("Only a duration can be added to a date or time.")
        moved = None if moment is None else temporal.add(moment, sign * Decimal(amount["value"]), unit)
        return EMPTY if moved is None else [Item(f"System.{kind}", moved.text())]
    if kind != "Quantity":
        raise FhirPathError(f"A quantity cannot be added to a {item.type}.")
    one, other = quantity.canonical(item.value), quantity.canonical(amount)
    if one is None or other is None or one[1] != other[1]:
        return EMPTY
    factor = one[0] / Decimal(item.value["value"]) if item.value["value"] else Decimal(1)
    return [Item("System.Quantity", {**item.value, "value": (one[0] + sign * other[0]) / factor})]


def _number(left: Items, right: Items, compute: Callable[[Any, Any], Any]) -> Items:
    one, other = number_of(left), number_of(right)
    if one is None or other is None:
        return EMPTY
    try:
        result = compute(one, other)
    except DecimalException as error:
        raise FhirPathError("A number is out of range.") from error
    # Whole numbers stay below the size at which printing one would take long.
    if isinstance(result, int) and result.bit_length() > 256:
        raise FhirPathError("A number is out of range.")
    return EMPTY if result is None else signed(result)


def times(left: Items, right: Items) -> Items:
    """Return the product of two numbers."""
    return _number(left, right, lambda a, b: a * b)


def divided(left: Items, right: Items) -> Items:
    """Return the quotient of two numbers as a decimal; nothing for a division by zero."""
    return _number(left, right, lambda a, b: Decimal(a) / Decimal(b) if b else None)


def div(left: Items, right: Items) -> Items:
    """Return the whole quotient of two numbers; nothing for a division by zero."""
    return _number(left, right, lambda a, b: whole(Decimal(a) // Decimal(b)) if b else None)


def mod(left: Items, right: Items) -> Items:
    """Return the remainder of the whole division of two numbers; nothing for a division by zero."""

    def remainder(a: Decimal | int, b: Decimal | int) -> Decimal | int | None:
        result = Decimal(a) % Decimal(b) if b else None
        return int(result) if isinstance(a, int) and isinstance(b, int) and result is not None else result

    return _number(left, right, remainder)


def negative(items: Items) -> Items:
    """Return the collection with its one number or quantity turned negative."""
    item = single(items)
    if item is None or item.value is None:
        return EMPTY
    if isinstance(item.value, dict) and "value" in item.value:
        return [Item(item.type, {**item.value, "value": -item.value["value"]})]
    value = number_of(items)
    return EMPTY if value is None else integer(-value) if isinstance(value, int) else number(-value)


def positive(items: Items) -> Items:
    """Return the collection, which must hold one number or quantity."""
    return negative(negative(items))
