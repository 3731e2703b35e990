"""What prescriptions say in words has a FHIR structure where it has one meaning."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mappings.records import dosage


@pytest.mark.parametrize(
    ("text", "count", "period", "unit"),
    [
        ("2x daily", 2, "1", "d"),
        ("2 x day", 2, "1", "d"),
        ("3 times a day", 3, "1", "d"),
        ("Once daily", 1, "1", "d"),
        ("twice a week", 2, "1", "wk"),
        ("daily", 1, "1", "d"),
        ("every 8 hours", 1, "8", "h"),
        ("every other", None, None, None),
        ("q6h", 1, "6", "h"),
        ("every day", 1, "1", "d"),
        ("BID", 2, "1", "d"),
        ("3 veces al día", 3, "1", "d"),
        ("una vez al dia", 1, "1", "d"),
        ("cada 12 horas", 1, "12", "h"),
        ("0x daily", None, None, None),
        ("at night", None, None, None),
        ("", None, None, None),
        (None, None, None, None),
    ],
)
def test_frequency(text: str | None, count: int | None, period: str | None, unit: str | None) -> None:
    """A frequency in English or Spanish words is a Timing.repeat, and what is not understood is none."""
    repeat = dosage.frequency(text)
    if count is None:
        assert repeat is None
    else:
        assert repeat == {"frequency": count, "period": Decimal(period or 0), "periodUnit": unit}


@pytest.mark.parametrize(
    ("text", "value", "code"),
    [
        ("7 days", "7", "d"),
        ("for 2 weeks", "2", "wk"),
        ("1.5 hours", "1.5", "h"),
        ("10 días", "10", "d"),
        ("por 3 meses", "3", "mo"),
        ("until finished", None, None),
        ("7", None, None),
    ],
)
def test_duration(text: str, value: str | None, code: str | None) -> None:
    """A duration in words is a UCUM Duration, and what is not understood is none."""
    span = dosage.duration(text)
    assert (span and (span["value"], span["code"])) == (value and (Decimal(value), code))


@pytest.mark.parametrize(
    ("text", "value", "unit", "code"),
    [("500mg", "500", "mg", "mg"), ("2,5 ml", "2.5", "ml", "mL"), ("1 tablet", "1", "tablet", None)],
)
def test_dose(text: str, value: str, unit: str, code: str | None) -> None:
    """A dose in words is a Quantity, coded where the unit is one of UCUM's."""
    quantity = dosage.dose(text)
    assert quantity is not None
    assert (quantity["value"], quantity["unit"], quantity.get("code")) == (Decimal(value), unit, code)


@pytest.mark.parametrize("text", ["2x daily", "1x weekly", "3x monthly", "every 8 hours", "2x every 3 days"])
def test_frequency_words(text: str) -> None:
    """The words for a Timing.repeat mean that Timing.repeat."""
    repeat = dosage.frequency(text)
    if repeat is not None:
        assert dosage.frequency_text(repeat) == text
    else:
        assert dosage.frequency_text({"frequency": 2, "period": 3, "periodUnit": "d"}) == text


@pytest.mark.parametrize(
    ("span", "days"),
    [
        ({"value": 7, "code": "d"}, 7),
        ({"value": 2, "code": "wk"}, 14),
        ({"value": 36, "code": "h"}, 2),
        ({"value": 1, "unit": "month"}, 30),
        ({"value": 7}, None),
        ({}, None),
    ],
)
def test_days_of_a_duration(span: dict[str, object], days: int | None) -> None:
    """A Duration lasts a whole number of days, a begun day counted."""
    assert dosage.duration_days(span) == days
