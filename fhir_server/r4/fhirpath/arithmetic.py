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
    sum_ = _quantity_sum(item.value, amount, sign)
    return EMPTY if sum_ is None else [Item("System.Quantity", {**item.value, "value": sum_})]


def _quantity_sum(left: dict[str, Any], right: dict[str, Any], sign: int) -> Decimal | None:
    """Return the sum or difference in the unit of the left quantity; None where the units do not go together."""
    one, other = quantity.canonical(left), quantity.canonical(right)
    if one is None or other is None or one[1] != other[1]:
        return None
    if left.get("code") == right.get("code") and left.get("unit") == right.get("unit"):
        return Decimal(left["value"]) + sign * Decimal(right["value"])
    if quantity.moves_zero(left) or quantity.moves_zero(right):
        return None
    unit = quantity.canonical({**left, "value": Decimal(1)})
    assert unit is not None, "a quantity of one has a value"
    return Decimal(left["value"]) + sign * other[0] / unit[0]


def _scaled(left: Items, right: Items, sign: str) -> Items | None:
    """Return the product (".") or quotient ("/") where one side is a quantity; None where both are numbers."""
    one, other = single(left), single(right)
    if one is None or other is None or not (isinstance(one.value, dict) or isinstance(other.value, dict)):
        return None
    amounts = [_as_quantity(one), _as_quantity(other)]
    values = [quantity.exact_value(amount) for amount in amounts]
    if values[0] is None or values[1] is None or (sign == "/" and not values[1]):
        return EMPTY
    value = values[0] * values[1] if sign == "." else values[0] / values[1]
    if not isinstance(other.value, dict):  # so many times as much, of whatever it is
        return [Item("System.Quantity", {**amounts[0], "value": value})]
    if not isinstance(one.value, dict) and sign == ".":
        return [Item("System.Quantity", {**amounts[1], "value": value})]
    unit = quantity.combined(amounts[0], amounts[1], sign)
    return EMPTY if unit is None else [Item("System.Quantity", quantity.quantity(value, unit))]


def _as_quantity(item: Item) -> dict[str, Any]:
    if isinstance(item.value, dict) and SYSTEM_TYPES.get(item.type) == "Quantity":
        return item.value
    if isinstance(item.value, bool) or not isinstance(item.value, int | Decimal):
        raise FhirPathError(f"A number or quantity was expected, not a {item.type}.")
    return quantity.quantity(Decimal(item.value), "1")


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
    """Return the product of two numbers, or of quantities, with their units multiplied."""
    amount = _scaled(left, right, ".")
    return _number(left, right, lambda a, b: a * b) if amount is None else amount


def divided(left: Items, right: Items) -> Items:
    """Return the quotient of two numbers as a decimal, or of quantities; nothing for a division by zero."""
    amount = _scaled(left, right, "/")
    if amount is not None:
        return amount
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
