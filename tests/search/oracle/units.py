"""A few units of UCUM, enough to compare amounts across units. https://ucum.org/ucum"""

from __future__ import annotations

from fractions import Fraction

UCUM = "http://unitsofmeasure.org"

_UNITS: dict[str, tuple[str, Fraction, Fraction]] = {
    "kg": ("mass", Fraction(1000), Fraction(0)),
    "g": ("mass", Fraction(1), Fraction(0)),
    "mg": ("mass", Fraction(1, 1000), Fraction(0)),
    "m": ("length", Fraction(1), Fraction(0)),
    "cm": ("length", Fraction(1, 100), Fraction(0)),
    "[in_i]": ("length", Fraction(254, 10000), Fraction(0)),
    "K": ("temperature", Fraction(1), Fraction(0)),
    "Cel": ("temperature", Fraction(1), Fraction(27315, 100)),
    "[degF]": ("temperature", Fraction(5, 9), Fraction(45967, 100) * Fraction(5, 9)),
    "a": ("time", Fraction(31557600), Fraction(0)),
    "min": ("time", Fraction(60), Fraction(0)),
    "h": ("time", Fraction(3600), Fraction(0)),
    "d": ("time", Fraction(86400), Fraction(0)),
    "mg/dL": ("mass concentration", Fraction(1, 100), Fraction(0)),
    "g/L": ("mass concentration", Fraction(1), Fraction(0)),
}


def dimension(code: str) -> str | None:
    """Return what a unit measures, None for an unknown unit."""
    return _UNITS[code][0] if code in _UNITS else None


def plain(amount: Fraction, code: str) -> Fraction:
    """Return the amount in the plainest unit of its dimension."""
    _, factor, offset = _UNITS[code]
    return amount * factor + offset
