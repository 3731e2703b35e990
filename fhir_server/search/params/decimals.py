"""Numbers as text that sorts as they do, and the span of values that a number written with few digits stands for."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from functools import lru_cache

LOWEST, HIGHEST = "", "~"
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_LONGEST = 400
_BIAS = 4999
# As much as a stored decimal can hold, and room to add half a unit of its last place.
_CONTEXT = Context(prec=80, Emax=999999, Emin=-999999)
_COMPLEMENT = str.maketrans("0123456789", "9876543210")


def number(text: str) -> Decimal:
    """Return the number a search value states; raises ValueError where it is none that FHIR can hold."""
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        raise ValueError(f"not a number: {text[:60]}")
    try:
        value = _CONTEXT.create_decimal(text)
    except ArithmeticError as error:  # beyond what a context can hold, it overflows
        raise ValueError(f"not a number: {text[:60]}") from error
    if value and not -_BIAS < value.adjusted() < _BIAS:
        raise ValueError(f"beyond the numbers that can be stored: {text[:60]}")
    return value


@lru_cache(maxsize=16384)
def _sortable(value: Decimal) -> str:
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    if not text:
        return "1"
    place = min(max(int(exponent) + len(text) + _BIAS, 0), 2 * _BIAS)
    text = text.rstrip("0")
    if sign:
        return f"0{2 * _BIAS - place:04d}{text.translate(_COMPLEMENT)}~"
    return f"2{place:04d}{text}"


def sortable(value: Decimal | int) -> str:
    """Return the number as text (sign, exponent, digits) that sorts as the number does, the same for equal numbers."""
    return _sortable(value if isinstance(value, Decimal) else Decimal(value))


def implied_span(text: str) -> tuple[Decimal, Decimal]:
    """Return the least number that the written one stands for, and the least above all of them.

    Half a unit of the last digit to both sides: 100 is [99.5, 100.5). Of a whole number with an exponent the
    specification's example says that 1e2 is [95, 105), as if one more digit had been written.
    https://hl7.org/fhir/R4/search.html#number
    """
    value = number(text)
    exponent = int(value.as_tuple().exponent)
    if "." not in text and "e" in text.lower():
        exponent -= 1
    half = Decimal((0, (5,), exponent - 1))
    return _CONTEXT.subtract(value, half), _CONTEXT.add(value, half)


def approximate_span(text: str) -> tuple[Decimal, Decimal]:
    """Return the bounds, both included, of what is within a tenth of the number or within its precision."""
    value = number(text)
    low, high = implied_span(text)
    tenth = _CONTEXT.divide(abs(value), Decimal(10))
    return min(low, _CONTEXT.subtract(value, tenth)), max(high, _CONTEXT.add(value, tenth))
