"""A sort by a date ends its walk where a condition on that date leaves no further match, and loses none."""

from __future__ import annotations

import random
from typing import Any

import pytest

from fhir_server.search.planner.scans import KeyRange
from fhir_server.store.database.mongo import Database
from tests.store.searched import decided, paged, plan, store


def _world(chance: random.Random) -> list[dict[str, Any]]:
    """Return observations at a moment, over short and long periods, open ones, and without a date."""
    made: list[dict[str, Any]] = []
    for number in range(80):
        first, last = sorted(chance.choices(range(2000, 2020), k=2))
        start, end = {"start": f"{first}-03-01"}, {"end": f"{last}-09-01"}
        effective: dict[str, Any] = chance.choice(
            [
                {},
                {"effectiveDateTime": f"{first}-06-01"},
                {"effectiveDateTime": f"{first}"},
                {"effectivePeriod": start | end},
                {"effectivePeriod": start},
                {"effectivePeriod": end},
            ]
        )
        made.append({"resourceType": "Observation", "id": f"o{number}", "status": "final", **effective})
    return made


@pytest.mark.parametrize("sort", ["date", "-date"])
@pytest.mark.parametrize("prefix", ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
async def test_the_bounded_order_finds_what_collecting_finds(database: Database, prefix: str, sort: str) -> None:
    """Walked in order or collected and sorted, a range has the same matches."""
    await store(database, _world(random.Random(prefix)))
    searched = plan("Observation", ("date", f"{prefix}2010-06-01"), ("_sort", sort))
    walked = await paged(decided(database, ("order", 0)), searched, 7)
    collected = await paged(decided(database, ("collect", 0)), searched, 7)
    assert sorted(walked) == sorted(collected)
    assert len(walked) == len(set(walked))


@pytest.mark.parametrize(("bound", "sort"), [("lt2010", "date"), ("ge2010", "-date")])
def test_the_walk_ends_at_the_bound(bound: str, sort: str) -> None:
    """Nothing beyond the bound is read, nor what has no date."""
    (walk,) = plan("Observation", ("date", bound), ("_sort", sort)).types[0].order
    (whole, *_) = plan("Observation", ("_sort", sort)).types[0].order
    assert isinstance(walk, KeyRange)
    assert isinstance(whole, KeyRange)
    assert walk.low == whole.low
    assert walk.high < whole.high
