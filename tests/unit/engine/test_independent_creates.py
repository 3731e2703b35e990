"""Which entries of a batch are carried out at once."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.engine.transaction.independent_creates import MOST, IndependentCreates
from fhir_server.work.threads import SMALL


def create(criteria: str, *identifiers: str, method: str = "POST") -> dict[str, Any]:
    """Return an entry that creates a patient with those identifiers unless the criteria find one."""
    body = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": value} for value in identifiers]}
    return {"resource": body, "request": {"method": method, "url": "Patient", "ifNoneExist": criteria}}


FIRST = create("identifier=urn:mrn|a1", "a1")


@pytest.mark.parametrize(
    "second",
    [
        create("identifier=urn:mrn|b2", "b2"),
        create("identifier=urn:mrn%7Cb2", "b2"),
        create("Patient?identifier=b2", "b2"),
        create("identifier=a", "a"),
    ],
)
def test_what_has_nothing_to_do_with_another_is_taken(second: dict[str, Any]) -> None:
    run = IndependentCreates()
    assert run.take(FIRST)
    assert run.take(second)


@pytest.mark.parametrize(
    "second",
    [
        create("identifier=urn:mrn|a1", "b2"),
        create("identifier=urn:mrn|A1", "b2"),
        create("identifier=%61%31", "b2"),
        create("identifier=a1", "b2"),
        create("identifier=b2", "b2", "A1"),
        create("identifier=b2,a1", "b2"),
        create("identifier=urn:mrn|", "b2"),
        create("identifier=b2&active=true", "b2"),
        create("identifier:not=b2", "b2"),
        create("identifier=a\\|1", "b2"),
        create("identifier=%C3%A4", "b2"),
        create("identifier=b2", "b2", "c3" * SMALL),
        create("name=b2", "b2"),
        create("identifier=b2", "b2", method="PUT"),
        {"request": {"method": "GET", "url": "Patient"}},
        {"request": None},
        None,
    ],
)
def test_what_might_find_another_or_is_no_such_create_waits(second: Any) -> None:
    """Neither beside others, nor others beside it."""
    run = IndependentCreates()
    assert run.take(FIRST)
    assert not run.take(second)


@pytest.mark.parametrize("first", [{"request": {"method": "GET", "url": "Patient"}}, create("name=b2", "b2"), None])
def test_another_entry_stays_alone(first: Any) -> None:
    run = IndependentCreates()
    assert run.take(first)
    assert not run.take(FIRST)


def test_there_are_no_more_than_one_command_carries() -> None:
    run = IndependentCreates()
    taken = [run.take(create(f"identifier=n{number}", f"n{number}")) for number in range(MOST + 1)]
    assert taken == [True] * MOST + [False]
