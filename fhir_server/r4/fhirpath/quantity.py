"""Quantities within an expression: literals, calendar durations, and units compared and multiplied by UCUM.

https://hl7.org/fhirpath/N1/#quantity
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from fhir_server.r4 import ucum

UCUM = "http://unitsofmeasure.org"
_CALENDAR = ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
CALENDAR_UNITS = {word: unit for unit in _CALENDAR for word in (unit, f"{unit}s")}
"""Each word for a calendar duration, singular and plural, and its singular."""

UCUM_DURATIONS = {
    "a": "year",
    "mo": "month",
    "wk": "week",
    "d": "day",
    "h": "hour",
    "min": "minute",
    "s": "second",
    "ms": "millisecond",
}
_SECONDS = {"week": 604800, "day": 86400, "hour": 3600, "minute": 60, "second": 1}
_EXACT: dict[str, tuple[Decimal, str]] = {
    **{unit: (Decimal(seconds), "s") for unit, seconds in _SECONDS.items()},
    "millisecond": (Decimal("0.001"), "s"),
    # A calendar year is 12 calendar months; UCUM's mean year and month are other things.
    "year": (Decimal(12), "calendar month"),
    "month": (Decimal(1), "calendar month"),
}
# UCUM's are means of so many seconds, too; their ratio is all that an expression asks of them.
_MEANS: dict[str, tuple[Decimal, str]] = {"a": (Decimal(12), "mo"), "mo": (Decimal(1), "mo")}
_PLAIN = re.compile(r"[^./()]+")


def quantity(value: Decimal, unit: str, *, calendar: bool = False) -> dict[str, Any]:
    """Return a quantity in FHIR's shape; a calendar duration has a unit but no code."""
    if calendar:
        return {"value": value, "unit": CALENDAR_UNITS[unit]}
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def calendar_unit(amount: dict[str, Any]) -> str | None:
    """Return the calendar unit of a duration, None for any other quantity.

    UCUM's year and month are means of so many seconds, and no steps of a calendar.
    """
    if amount.get("system") == UCUM:
        code = amount.get("code", "")
        return CALENDAR_UNITS.get(code) or (None if code in ("a", "mo") else UCUM_DURATIONS.get(code))
    return CALENDAR_UNITS.get(amount.get("unit", "")) if "code" not in amount else None


def canonical(amount: dict[str, Any]) -> tuple[Decimal, object] | None:
    """Return the value in the base unit and what tells that unit from others; None where there is no exact value."""
    value = amount.get("value")
    if value is None or "comparator" in amount:
        return None
    system, code, unit = amount.get("system"), amount.get("code"), amount.get("unit")
    if system == UCUM and code is not None:
        return _by_ucum(Decimal(value), code)
    if code is not None:
        return Decimal(value), (system, code)
    if unit in CALENDAR_UNITS:
        factor, base = _EXACT[CALENDAR_UNITS[unit]]
        return Decimal(value) * factor, base
    return Decimal(value), ("", unit) if unit is not None else "1"


def _by_ucum(value: Decimal, code: str) -> tuple[Decimal, str]:
    if code in _MEANS:
        factor, base = _MEANS[code]
        return value * factor, base
    unit = ucum.canonical(code)
    return (value, code) if unit is None else (unit.convert(value), unit.unit)


def exact_value(amount: dict[str, Any]) -> Decimal | None:
    """Return the value; None where there is none, or only a bound of it."""
    value = amount.get("value")
    return None if value is None or "comparator" in amount else Decimal(value)


def moves_zero(amount: dict[str, Any]) -> bool:
    """Return whether the unit begins elsewhere than at nothing, as degrees Celsius do: then it is no factor."""
    unit = ucum.canonical(amount.get("code", "")) if amount.get("system") == UCUM else None
    return unit is not None and bool(unit.zero)


def combined(left: dict[str, Any], right: dict[str, Any], sign: str) -> str | None:
    """Return the UCUM code of a product (for ".") or quotient ("/") of two units; None where there is none."""
    codes = [_code(left), _code(right)]
    if None in codes or moves_zero(left) or moves_zero(right):
        return None
    one, other = [code if code is not None and _PLAIN.fullmatch(code) else f"({code})" for code in codes]
    if other == "1":
        return codes[0]
    if one == "1":
        return other if sign == "." else f"/{other}"
    if one == other and sign == "/":
        return "1"
    return f"{one}{sign}{other}"


def _code(amount: dict[str, Any]) -> str | None:
    """Return the UCUM code of a quantity; a calendar duration of exact length has one, too."""
    if amount.get("system") == UCUM:
        code = amount.get("code")
        return code if isinstance(code, str) and ucum.canonical(code) is not None else None
    if "code" in amount:
        return None
    unit = amount.get("unit")
    if unit is None:
        return "1"
    word = CALENDAR_UNITS.get(unit, "")
    return next((code for code, each in UCUM_DURATIONS.items() if each == word and code not in _MEANS), None)


def equivalent_unit(unit: object) -> object:
    """Return what tells a unit from others where calendar durations count as UCUM's."""
    return "mo" if unit == "calendar month" else unit


def text(amount: dict[str, Any]) -> str:
    """Return a quantity as a FHIRPath literal spells it."""
    value = f"{amount['value']:f}" if isinstance(amount["value"], Decimal) else str(amount["value"])
    if amount.get("system") is None and amount.get("unit") in CALENDAR_UNITS:
        return f"{value} {amount['unit']}"
    return f"{value} '{amount.get('code') or amount.get('unit') or '1'}'"
