"""Functions on numbers. https://hl7.org/fhirpath/N1/#math"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any

from fhir_server.r4.fhirpath.functions.registry import function
from fhir_server.r4.fhirpath.items import EMPTY, FhirPathError, Item, Items, integer, integer_of, number, number_of


def _rounding(name: str, mode: str) -> None:
    def rounded(items: Items) -> Items:
        value = number_of(items)
        return EMPTY if value is None else integer(whole(_exactly(Decimal(value).to_integral_value, mode)))

    function(name)(rounded)


_rounding("ceiling", "ROUND_CEILING")
_rounding("floor", "ROUND_FLOOR")
_rounding("truncate", "ROUND_DOWN")


@function("abs", keeps=True)
def _abs(items: Items) -> Items:
    if len(items) == 1 and isinstance(items[0].value, dict):
        amount = items[0].value
        return [Item(items[0].type, {**amount, "value": abs(amount["value"])})] if "value" in amount else EMPTY
    value = number_of(items)
    return EMPTY if value is None else signed(-value if value < 0 else value)


@function("sqrt")
def _sqrt(items: Items) -> Items:
    value = number_of(items)
    return EMPTY if value is None or value < 0 else number(Decimal(value).sqrt())


@function("exp")
def _exp(items: Items) -> Items:
    value = number_of(items)
    return EMPTY if value is None else number(_exactly(Decimal(value).exp))


@function("ln")
def _ln(items: Items) -> Items:
    value = number_of(items)
    return EMPTY if value is None or value <= 0 else number(Decimal(value).ln())


@function("log", 1)
def _log(items: Items, base: Items) -> Items:
    value, of_base = number_of(items), number_of(base)
    if value is None or of_base is None or value <= 0 or of_base <= 0 or of_base == 1:
        return EMPTY
    # Rounded, so that the logarithm of a power of the base is a whole number.
    return number(round(Decimal(value).ln() / Decimal(of_base).ln(), 20).normalize())


@function("power", 1)
def _power(items: Items, exponent: Items) -> Items:
    value, by = number_of(items), number_of(exponent)
    if value is None or by is None or (value < 0 and by != int(by)) or (value == 0 and by < 0):
        return EMPTY
    result = _exactly(Decimal(value).__pow__, Decimal(by))
    whole = isinstance(value, int) and isinstance(by, int) and by >= 0
    return integer(int(result)) if whole and result.adjusted() < 28 else number(result)


@function("round", 0, 1)
def _round(items: Items, precision: Items = EMPTY) -> Items:
    value, places = number_of(items), integer_of(precision) or 0
    if places < 0 or places > 100:
        raise FhirPathError("round() takes a precision from 0 to 100.")
    if value is None:
        return EMPTY
    return number(_exactly(Decimal(value).quantize, Decimal(1).scaleb(-places), "ROUND_HALF_UP"))


def whole(value: Decimal) -> int:
    """Return a decimal's whole part; raise FhirPathError for one of which 1E+999999 is an example."""
    if value.adjusted() > 75:
        raise FhirPathError("A number is out of range.")
    return int(value)


def signed(value: Decimal | int) -> Items:
    """Return a number as the collection of its own type."""
    return integer(value) if isinstance(value, int) else number(value)


def _exactly(compute: Callable[..., Decimal], *arguments: Any) -> Decimal:
    try:
        return compute(*arguments)
    except DecimalException as error:
        raise FhirPathError("A number is out of range.") from error
