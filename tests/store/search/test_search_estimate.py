"""`_total=estimate`: exact where few are read, near the truth where many are."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.store.database.mongo import Database
from fhir_server.store.search import estimate as search_estimate
from fhir_server.store.search.search import SearchStore
from tests.store.searched import plan, store

NUMBER = 400

SEARCHES: dict[tuple[str, str], int] = {
    ("gender", "male"): NUMBER // 2,
    ("birthdate", "ge1990"): NUMBER // 4,
    ("family", "x"): NUMBER,
    ("gender:not", "male"): NUMBER // 2,
    ("organization.name", "even"): NUMBER // 2,
}


def _patient(number: int) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": f"p{number:03}",
        "name": [{"family": "x"}],
        "gender": ["male", "female"][number % 2],
        "birthDate": f"{1960 + number % 4 * 10}",
        "managingOrganization": {"reference": f"Organization/o{number % 2}"},
    }


@pytest.fixture
async def searches(database: Database) -> SearchStore:
    """Store patients, half of them with each organization."""
    names = [{"resourceType": "Organization", "id": f"o{n}", "name": name} for n, name in enumerate(("even", "odd"))]
    await store(database, [*names, *map(_patient, range(NUMBER))])
    return SearchStore(database)


@pytest.mark.parametrize("search", SEARCHES)
async def test_few_are_counted(searches: SearchStore, search: tuple[str, str]) -> None:
    """Where a search reads fewer documents than a sample would pay for, the estimate is the number."""
    assert await search_estimate.estimate(searches, plan("Patient", search)) == SEARCHES[search]


@pytest.mark.parametrize("search", SEARCHES)
async def test_many_are_estimated(
    searches: SearchStore, monkeypatch: pytest.MonkeyPatch, search: tuple[str, str]
) -> None:
    """A sample of a quarter tells the number with a fourth to spare (beyond four times its standard deviation)."""
    monkeypatch.setattr(search_estimate, "FEW", 0)
    monkeypatch.setattr(search_estimate, "COUNTED", 0)
    monkeypatch.setattr(search_estimate, "SAMPLE", NUMBER // 4)
    counted = await search_estimate.estimate(searches, plan("Patient", search))
    assert abs(counted - SEARCHES[search]) <= NUMBER / 4


async def test_all_of_a_type_are_not_counted(searches: SearchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without criteria the database's own figure is the estimate; nothing of nothing is nothing."""
    monkeypatch.setattr(search_estimate, "FEW", 0)
    assert await search_estimate.estimate(searches, plan("Patient")) == NUMBER
    assert await search_estimate.estimate(searches, plan("Group")) == 0
    assert await search_estimate.estimate(searches, plan("Group", ("code", "x"))) == 0
