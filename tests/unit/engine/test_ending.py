"""Ending tasks that do not hear it the first time."""

from __future__ import annotations

import asyncio

from fhir_server.work.ending import end


async def test_a_task_that_misses_its_cancellation_ends_all_the_same() -> None:
    """A loop that swallows what it is told twice is told a third time."""
    missed = 0

    async def deaf() -> None:
        nonlocal missed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if missed == 2:
                    raise
                missed += 1

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await asyncio.wait_for(end(task), 5)
    assert task.cancelled()
    assert missed == 2


async def test_who_waits_may_be_cancelled_and_the_task_still_ends() -> None:
    """Being cancelled does not leave the task behind."""
    task = asyncio.create_task(asyncio.sleep(60))
    ending = asyncio.create_task(end(task))
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait({ending, task}, timeout=5)
    assert task.cancelled()
