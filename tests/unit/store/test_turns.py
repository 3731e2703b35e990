"""Turns: shared ones together, exclusive ones alone, nobody overtaken for ever."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.store.database.turns import Turns


async def hold(turns: Turns, kinds: list[bool], cancelled: set[int]) -> None:
    """Take turns of the kinds at once, some of them given up, and check the rule at every step."""
    holding: list[bool] = []

    async def take(alone: bool) -> None:
        async with turns.take(alone=alone):
            holding.append(alone)
            assert len(holding) == 1 or not any(holding)
            try:
                await asyncio.sleep(0)
            finally:
                holding.remove(alone)

    tasks = [asyncio.create_task(take(alone)) for alone in kinds]
    await asyncio.sleep(0)
    for number in cancelled & set(range(len(kinds))):
        tasks[number].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert not any(outcome for number, outcome in enumerate(outcomes) if number not in cancelled)


@given(st.lists(st.booleans(), max_size=12), st.sets(st.integers(0, 11)))
def test_who_is_alone_shares_with_nobody(kinds: list[bool], cancelled: set[int]) -> None:
    """Whatever comes in whatever order, and whoever gives up: all others have their turn."""
    turns = Turns()

    async def run() -> None:
        await hold(turns, kinds, cancelled)
        await asyncio.wait_for(hold(turns, [True, False], set()), 5)

    asyncio.run(run())
