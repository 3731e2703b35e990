"""A primary that is killed or freezes, under readers and writers: what they are answered, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.failover import Drill
from tests.store.replica_set import ReplicaSet

# The bench measures the promised six seconds and three; here a busy machine has some more.
LONGEST_SECONDS = 10.0
WRITES_AGAIN_SECONDS = 10.0


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path_factory.mktemp("three")) as running:
        yield running


@pytest.mark.parametrize("freeze", [False, True], ids=["killed", "frozen"])
async def test_another_node_takes_over(three: ReplicaSet, freeze: bool) -> None:
    """Writes go on after the election, no answer is late, none is a fault, and no acknowledged write is lost."""
    result = await Drill(three, freeze=freeze).run()
    assert result.statuses <= {200, 201, 503}
    assert result.without_retry_after == 0
    assert result.lost == []
    assert result.longest < LONGEST_SECONDS
    assert result.first_write - result.elected < WRITES_AGAIN_SECONDS
