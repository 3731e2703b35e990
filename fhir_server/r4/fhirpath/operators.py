"""The operators between two collections. https://hl7.org/fhirpath/N1/#operations"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any

from fhir_server.r4.fhirpath import quantity, temporal
from fhir_server.r4.fhirpath.code import Code, of_items, of_truth
from fhir_server.r4.fhirpath.equality import distinct, equal, equal_items, equivalent, order
from fhir_server.r4.fhirpath.functions.math import signed
from fhir_server.r4.fhirpath.items import (
    EMPTY,
    FhirPathError,
    Item,
    Items,
    Scope,
    integer,
    number,
    number_of,
    single,
    string,
    text_of,
)
from fhir_server.r4.fhirpath.temporal import Temporal
from fhir_server.r4.fhirpath.types import SYSTEM_TYPES


def _and(left: Code, right: Code) -> Code:
    one, other = left.truth, right.truth

    def test(this: Items, scope: Scope) -> bool | None:
        first = one(this, scope)
        if first is False:
            return False
        second = other(this, scope)
        return second if first or second is False else None

    return of_truth(test)


def _or(left: Code, right: Code) -> Code:
    one, other = left.truth, right.truth

    def test(this: Items, scope: Scope) -> bool | None:
        first = one(this, scope)
        if first:
            return True
        second = other(this, scope)
        return second if first is False or second else None

    return of_truth(test)


def _xor(left: Code, right: Code) -> Code:
    one, other = left.truth, right.truth

    def test(this: Items, scope: Scope) -> bool | None:
        first, second = one(this, scope), other(this, scope)
        return None if first is None or second is None else first is not second

    return of_truth(test)


def _implies(left: Code, right: Code) -> Code:
    one, other = left.truth, right.truth

    def test(this: Items, scope: Scope) -> bool | None:
        first = one(this, scope)
        if first is False:
            return True
        second = other(this, scope)
        return second if first or second else None

    return of_truth(test)


def _between(compare: Callable[[Items, Items], bool | None]) -> Callable[[Code, Code], Code]:
    def build(left: Code, right: Code) -> Code:
        one, other = left.items, right.items
        return of_truth(lambda this, scope: compare(one(this, scope), other(this, scope)))

    return build


def _not_equal(left: Items, right: Items) -> bool | None:
    same = equal(left, right)
    return None if same is None else not same


def _ordered(holds: Callable[[int], bool]) -> Callable[[Items, Items], bool | None]:
    def compare(left: Items, right: Items) -> bool | None:
        one, other = single(left), single(right)
        if one is None or other is None:
            return None
        found = order(one, other)
        return None if found is None else holds(found)

    return compare


def _in(left: Items, right: Items) -> bool | None:
    item = single(left)
    if item is None:
        return None
    return any(equal_items(item, other) for other in right)


def _union(left: Code, right: Code) -> Code:
    one, other = left.items, right.items
    same = left.type if left.type == right.type else None
    return of_items(lambda this, scope: distinct(one(this, scope) + other(this, scope)), same)


def _from(compute: Callable[[Items, Items], Items]) -> Callable[[Code, Code], Code]:
    def build(left: Code, right: Code) -> Code:
        one, other = left.items, right.items
        return of_items(lambda this, scope: compute(one(this, scope), other(this, scope)))

    return build


def _concatenated(left: Items, right: Items) -> Items:
    return string((text_of(left) or "") + (text_of(right) or ""))


def _plus(left: Items, right: Items) -> Items:
    return _added(left, right, 1)


def _minus(left: Items, right: Items) -> Items:
    return _added(left, right, -1)


def _added(left: Items, right: Items, sign: int) -> Items:
    one, other = single(left), single(right)
    if one is None or other is None or one.value is None or other.value is None:
        return EMPTY
    if isinstance(other.value, dict):
        return _with_quantity(one, other.value, sign)
    if isinstance(one.value, str) and isinstance(other.value, str) and sign == 1:
        return string(one.value + other.value)
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


def _times(left: Items, right: Items) -> Items:
    return _number(left, right, lambda a, b: a * b)


def _divided(left: Items, right: Items) -> Items:
    return _number(left, right, lambda a, b: Decimal(a) / Decimal(b) if b else None)


def _div(left: Items, right: Items) -> Items:
    return _number(left, right, lambda a, b: int(Decimal(a) // Decimal(b)) if b else None)


def _mod(left: Items, right: Items) -> Items:
    def remainder(a: Decimal | int, b: Decimal | int) -> Decimal | int | None:
        result = Decimal(a) % Decimal(b) if b else None
        return int(result) if isinstance(a, int) and isinstance(b, int) and result is not None else result

    return _number(left, right, remainder)


OPERATORS: dict[str, Callable[[Code, Code], Code]] = {
    "and": _and,
    "or": _or,
    "xor": _xor,
    "implies": _implies,
    "=": _between(equal),
    "!=": _between(_not_equal),
    "~": _between(equivalent),
    "!~": _between(lambda left, right: not equivalent(left, right)),
    "<": _between(_ordered(lambda found: found < 0)),
    "<=": _between(_ordered(lambda found: found <= 0)),
    ">": _between(_ordered(lambda found: found > 0)),
    ">=": _between(_ordered(lambda found: found >= 0)),
    "in": _between(_in),
    "contains": _between(lambda left, right: _in(right, left)),
    "|": _union,
    "&": _from(_concatenated),
    "+": _from(_plus),
    "-": _from(_minus),
    "*": _from(_times),
    "/": _from(_divided),
    "div": _from(_div),
    "mod": _from(_mod),
}


def equal_to_text(left: Code, text: str) -> Code:
    """Return the code of `left = 'text'`, the commonest comparison of all."""
    source = left.items

    def test(this: Items, scope: Scope) -> bool | None:
        items = source(this, scope)
        if not items:
            return None
        if len(items) > 1:
            return False
        item = items[0]
        if item.value is None:
            return None
        return bool(item.value == text) and SYSTEM_TYPES.get(item.type) == "String"

    return of_truth(test)


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
