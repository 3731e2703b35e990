"""Quantities within an expression: literals, calendar durations and the conversion of plain metric units.

Units are compared as far as an expression needs it: units of time, and metric prefixes of the common base units. Other
units are only comparable with themselves. https://hl7.org/fhirpath/N1/#quantity
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

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
_UCUM_EXACT: dict[str, tuple[Decimal, str]] = {
    code: _EXACT[unit] for code, unit in UCUM_DURATIONS.items() if code not in ("a", "mo")
} | {"a": (Decimal(12), "mo"), "mo": (Decimal(1), "mo"), "cd": (Decimal(1), "cd"), "%": (Decimal("0.01"), "1")}
_PREFIXES = dict(
    zip("YZEPTGMkhdcmunpfzy", (24, 21, 18, 15, 12, 9, 6, 3, 2, -1, -2, -3, -6, -9, -12, -15, -21, -24), strict=True)
)
_METRIC = re.compile(r"([YZEPTGMkhdcmunpfzy]?)(g|m|s|L|l|mol|eq|Pa|J|W|V|A|Hz|N|K|cal|osm|U|kat)")


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
    factor, unit = _unit(amount)
    return Decimal(value) * factor, unit


def _unit(amount: dict[str, Any]) -> tuple[Decimal, object]:
    system, code, unit = amount.get("system"), amount.get("code"), amount.get("unit")
    if system == UCUM and code is not None:
        return _ucum(code)
    if code is not None:
        return Decimal(1), (system, code)
    if unit in CALENDAR_UNITS:
        return _EXACT[CALENDAR_UNITS[unit]]
    return (Decimal(1), ("", unit)) if unit is not None else (Decimal(1), "1")


def _ucum(code: str) -> tuple[Decimal, str]:
    if code in _UCUM_EXACT:
        return _UCUM_EXACT[code]
    match = _METRIC.fullmatch(code)
    if match is None:
        return Decimal(1), code
    base = "L" if match[2] == "l" else match[2]
    return Decimal(1).scaleb(_PREFIXES.get(match[1], 0)), base


def equivalent_unit(unit: object) -> object:
    """Return what tells a unit from others where calendar durations count as UCUM's."""
    return "mo" if unit == "calendar month" else unit


def text(amount: dict[str, Any]) -> str:
    """Return a quantity as a FHIRPath literal spells it."""
    value = f"{amount['value']:f}" if isinstance(amount["value"], Decimal) else str(amount["value"])
    if amount.get("system") is None and amount.get("unit") in CALENDAR_UNITS:
        return f"{value} {amount['unit']}"
    return f"{value} '{amount.get('code') or amount.get('unit') or '1'}'"
