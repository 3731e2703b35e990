"""What prescriptions say in words ("500 mg", "2x daily", "7 days") as FHIR structures, and the structures as words.

English and Spanish words are understood; a text that is not stays text. https://hl7.org/fhir/R4/datatypes.html#Timing
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from mappings.shared.elements import UCUM, Element, Resource

_NUMBER = r"(\d{1,6}(?:[.,]\d{1,6})?)"
_LONGEST = 200
_COUNTS = {"once": 1, "twice": 2, "thrice": 3, "one": 1, "two": 2, "three": 3, "four": 4, "una": 1, "dos": 2, "tres": 3}
_UNITS = {
    "h": ("h", "hr", "hrs", "hour", "hours", "hourly", "hora", "horas"),
    "d": ("d", "day", "days", "daily", "dia", "dias", "día", "días", "diaria", "diario", "diarias"),
    "wk": ("w", "wk", "week", "weeks", "weekly", "semana", "semanas", "semanal"),
    "mo": ("mo", "month", "months", "monthly", "mes", "meses", "mensual"),
    "a": ("y", "yr", "year", "years", "yearly", "año", "años", "anual"),
}
_UNIT_CODES = {word: code for code, words in _UNITS.items() for word in words}
_UNIT_NAMES = {"s": "second", "min": "minute", "h": "hour", "d": "day", "wk": "week", "mo": "month", "a": "year"}
_ABBREVIATIONS = {"qd": 1, "od": 1, "bid": 2, "tid": 3, "qid": 4}
_TIMES = re.compile(
    r"(?:(\d{1,2})\s*(?:x|×|times?|veces|vez)?|(\w+)(?:\s+(?:times?|veces|vez))?)\s*(?:a|per|al|por|/|cada)?\s*(\w+)"
)
_EVERY = re.compile(rf"(?:every|each|cada|q)\s*{_NUMBER}?\s*(\w+)")
_SPAN = re.compile(rf"(?:for|por|durante)?\s*{_NUMBER}\s*([^\W\d_]+)")
_DOSE = re.compile(rf"{_NUMBER}\s*([^\W\d_][^\d]{{0,30}})")
_DOSE_CODES = {"mg": "mg", "g": "g", "mcg": "ug", "µg": "ug", "ug": "ug", "ml": "mL", "l": "L", "iu": "[iU]"}


def frequency(text: str | None) -> Element | None:
    """Return Timing.repeat for words such as "2x daily", "every 8 hours", "3 veces al día"."""
    words = _folded(text)
    if words in _ABBREVIATIONS:
        return _repeat(_ABBREVIATIONS[words], 1, "d")
    if words in _UNIT_CODES and words.endswith(("ly", "daily", "al", "diario")):
        return _repeat(1, 1, _UNIT_CODES[words])
    if (match := _EVERY.fullmatch(words)) and match[2] in _UNIT_CODES:
        return _repeat(1, _decimal(match[1] or "1"), _UNIT_CODES[match[2]])
    if (match := _TIMES.fullmatch(words)) and match[3] in _UNIT_CODES:
        count = int(match[1]) if match[1] else _COUNTS.get(match[2], 0)
        return _repeat(count, 1, _UNIT_CODES[match[3]]) if count else None
    return None


def _repeat(count: int, period: Decimal | int, unit: str) -> Element | None:
    return {"frequency": count, "period": period, "periodUnit": unit} if count and period else None


def frequency_text(repeat: Resource) -> str | None:
    """Return the words for a Timing.repeat: "2x daily", "every 8 hours"."""
    count, period, unit = repeat.get("frequency", 1), repeat.get("period"), repeat.get("periodUnit")
    if period is None or unit not in _UNIT_NAMES:
        return None
    name = _UNIT_NAMES[unit]
    if period != 1:
        times = "" if count == 1 else f"{count}x "
        return f"{times}every {_plain(period)} {name}s"
    return f"{count}x {'daily' if unit == 'd' else f'per {name}' if unit in ('s', 'min', 'h') else f'{name}ly'}"


def duration(text: str | None) -> Element | None:
    """Return the Duration for words such as "7 days", "for 2 weeks", "10 días"."""
    match = _SPAN.fullmatch(_folded(text))
    if not match or match[2] not in _UNIT_CODES:
        return None
    return {"value": _decimal(match[1]), "unit": match[2], "system": UCUM, "code": _UNIT_CODES[match[2]]}


def duration_text(span: Resource) -> str | None:
    """Return the words for a Duration: "7 days"."""
    value, code = span.get("value"), span.get("code")
    if value is None:
        return None
    name = _UNIT_NAMES.get(code or "")
    unit = f"{name}{'' if value == 1 else 's'}" if name else span.get("unit") or code
    return f"{_plain(value)} {unit}" if unit else _plain(value)


def duration_days(span: Resource) -> int | None:
    """Return how many days a Duration lasts, counting a month as 30 and a year as 365, and a begun day as whole."""
    days = {
        "s": Decimal(1) / 86_400,
        "min": Decimal(1) / 1440,
        "h": Decimal(1) / 24,
        "d": Decimal(1),
        "wk": Decimal(7),
        "mo": Decimal(30),
        "a": Decimal(365),
    }
    value, code = span.get("value"), span.get("code") or _UNIT_CODES.get(_folded(span.get("unit")))
    if value is None or code not in days or not 0 <= value <= 100_000:
        return None
    return math.ceil(Decimal(value) * days[code])


def dose(text: str | None) -> Element | None:
    """Return the Quantity for words such as "500mg", "1 tablet"."""
    match = _DOSE.fullmatch((text or "").strip())
    if not match:
        return None
    unit = match[2].strip()
    code = _DOSE_CODES.get(unit.lower())
    return {"value": _decimal(match[1]), "unit": unit} | ({"system": UCUM, "code": code} if code else {})


def dose_text(quantity: Resource) -> str | None:
    """Return the words for a dose: "500 mg"."""
    unit = quantity.get("unit") or quantity.get("code")
    value = quantity.get("value")
    return None if value is None else f"{_plain(value)} {unit}" if unit else _plain(value)


def _folded(text: str | None) -> str:
    # Longer texts say nothing that is read here, and the patterns would take long for them.
    words = " ".join((text or "")[: _LONGEST + 1].lower().split())
    return words if len(text or "") <= _LONGEST else ""


def _decimal(text: str) -> Decimal:
    return Decimal(text.replace(",", "."))


def _plain(value: Any) -> str:
    text = f"{Decimal(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
