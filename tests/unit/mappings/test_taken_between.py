"""When a medicine is taken, from every element that says so."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from mappings.insurance import insurance
from mappings.records.prescriptions import taken_between

UCUM = "http://unitsofmeasure.org"


def repeat(**bounds: Any) -> dict[str, Any]:
    """Return an instruction with these bounds."""
    return {"timing": {"repeat": bounds}}


def days(count: float, code: str = "d") -> dict[str, Any]:
    return {"value": count, "system": UCUM, "code": code}


@pytest.mark.parametrize(
    ("instructions", "end"),
    [
        ([], None),
        ([repeat(boundsDuration=days(7))], "2026-03-07"),
        ([repeat(boundsDuration=days(90, "min"))], "2026-03-01"),
        ([repeat(boundsDuration=days(0))], "2026-03-01"),
        ([repeat(boundsRange={"low": days(3), "high": days(5)})], "2026-03-05"),
        ([repeat(boundsPeriod={"start": "2026-03-02", "end": "2026-04"})], "2026-04-30"),
        ([repeat(boundsPeriod={"end": "2026"})], "2026-12-31"),
        ([repeat(boundsPeriod={"end": "9999-12"})], "9999-12-31"),
        ([repeat(boundsPeriod={"end": "2026-03-04T10:00:00Z"})], "2026-03-04"),
        ([{"timing": {"event": ["2026-03-02", "2026-03-09T08:00:00Z"]}}], "2026-03-09"),
        ([repeat(boundsDuration=days(7)), repeat(boundsDuration=days(2, "wk"))], "2026-03-14"),
        ([repeat(boundsDuration=days(7)), {"text": "then as needed"}], None),
    ],
)
def test_the_last_day(instructions: list[dict[str, Any]], end: str | None) -> None:
    """The last day is that of the instruction that ends last, in whatever way each says it."""
    request = {"authoredOn": "2026-03-01", "dosageInstruction": instructions}
    assert taken_between(request)[1] == (date.fromisoformat(end) if end else None)


@pytest.mark.parametrize(
    ("end", "last"), [("2026", "2026-12-31"), ("2026-02", "2026-02-28"), ("2026-03-09", "2026-03-09")]
)
def test_a_policy_is_in_force_to_the_last_day_of_its_period(end: str, last: str) -> None:
    """A period that ends with a month or a year ends with its last day, for policies and for insurers' plans."""
    policy = insurance.from_fhir({"resourceType": "Coverage", "id": "c", "status": "active", "period": {"end": end}})
    day = date.fromisoformat(last)
    assert [insurance.state_of(policy, each) for each in (day, day + timedelta(days=1))] == ["active", "expired"]
    benefit = {"coverage": [{"benefit": [{"type": {"text": "Cardiology"}}]}], "period": {"end": end}}
    assert insurance.is_covered([benefit], {"Cardiology"}, day) is True
    assert insurance.is_covered([benefit], {"Cardiology"}, day + timedelta(days=1)) is None
