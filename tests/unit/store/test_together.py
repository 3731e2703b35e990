"""Calls that travel together are each answered as if they had come alone."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.store.database.command_batcher import MOST_TOGETHER, UNDER_WAY, CommandBatcher


class Echo:
    """Answers each item with itself, after a moment; remembers what came together."""

    def __init__(self) -> None:
        self.lists: list[list[int]] = []

    async def __call__(self, key: str, items: list[int]) -> list[int | Exception]:
        self.lists.append(items)
        await asyncio.sleep(0.001)
        return [ValueError(str(item)) if item < 0 else item for item in items]


@given(st.lists(st.integers(-3, 100), max_size=200))
def test_each_call_gets_its_own_answer(items: list[int]) -> None:
    """Every caller gets the answer, or the exception, that belongs to its item."""

    async def ask_all() -> list[int | BaseException]:
        together = CommandBatcher(Echo())
        return await asyncio.gather(*(together.ask("a", item) for item in items), return_exceptions=True)

    for item, answer in zip(items, asyncio.run(ask_all()), strict=True):
        assert str(answer) == str(item)
        assert isinstance(answer, ValueError) == (item < 0)


async def test_simultaneous_calls_gather() -> None:
    """Calls that find others under way go together, up to the limit; keys are apart."""
    echo = Echo()
    together = CommandBatcher(echo)
    count = UNDER_WAY + MOST_TOGETHER + 1
    await asyncio.gather(*(together.ask("a", item) for item in range(count)), together.ask("b", 1))
    assert sorted(len(items) for items in echo.lists) == [1] * (UNDER_WAY + 2) + [MOST_TOGETHER]


async def test_failure_reaches_every_caller_as_its_own() -> None:
    """An exception that ends a command is raised to all that travelled in it, each its own; the next call works."""
    fail = True

    async def run(key: str, items: list[int]) -> list[int]:
        await asyncio.sleep(0.001)
        if fail:
            raise ConnectionError("lost")
        return items

    together: CommandBatcher[int, int] = CommandBatcher(run)
    errors = await asyncio.gather(*(together.ask("a", item) for item in range(10)), return_exceptions=True)
    assert all(isinstance(error, ConnectionError) for error in errors)
    assert len({id(error) for error in errors}) == 10
    fail = False
    assert await together.ask("a", 7) == 7


async def test_cancelled_call_disturbs_no_other() -> None:
    """When a caller goes away, the others that travel with it get their answers, and later calls too."""
    together = CommandBatcher(Echo())
    calls = [asyncio.create_task(together.ask("a", item)) for item in range(6)]
    await asyncio.sleep(0)
    calls[0].cancel()
    calls[3].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, int)] == [1, 2, 4, 5]
    with pytest.raises(asyncio.CancelledError):
        await calls[3]
    assert await together.ask("a", 7) == 7
