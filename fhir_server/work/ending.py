"""Ending tasks, for certain."""

from __future__ import annotations

import asyncio
from contextlib import suppress

_AGAIN_SECONDS = 0.2


async def end(*tasks: asyncio.Future[None]) -> None:
    """Cancel the tasks and wait for their end; more than once, since a task may miss that it was cancelled.

    It does where Python 3.11's `asyncio.wait_for`, or the driver, swallows it, and a loop then goes on for ever. Not
    even being cancelled ends the waiting, or the tasks would go on without anybody; who cancels does so again.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        with suppress(asyncio.CancelledError):
            _, running = await asyncio.wait(running, timeout=_AGAIN_SECONDS)
