"""Which way a sorted search is run: by what each would read, as far as that is counted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fhir_server.search.planner.scans import Scan
from fhir_server.store.search.choice import COLLECTED, FEW, IDLE, StrategyChooser, Way
from tests.store.searched import plan

SEARCHED = plan("Patient", ("family", "mi"), ("_sort", "-family")).types[0]


@pytest.mark.parametrize(
    ("idle", "matches", "way"),
    [
        (FEW - 1, IDLE, ("order", 0)),
        (IDLE - 1, IDLE - 2, ("collect", 0)),
        (IDLE - 2, IDLE - 1, ("order", 0)),
        (90_000, 6_500, ("collect", 0)),
        (6_500, 7_000, ("order", 0)),
        (COLLECTED, COLLECTED - 1, ("collect", 0)),
        (90_000, COLLECTED, ("order", 0)),
    ],
)
async def test_the_order_is_left_where_it_reads_more_in_vain(idle: int, matches: int, way: Way) -> None:
    """An order that passes over more than there are matches is not read, but where those are too many to collect."""
    [order] = SEARCHED.orders

    async def count(_: str, scans: Sequence[Scan], limit: int) -> int:
        return min(limit, idle if tuple(scans) == order.idle else matches)

    assert await StrategyChooser(count).choose(SEARCHED) == way
