"""Calls made at the same time travel to the database together.

A command costs the driver some 200 us of CPU whether it reads or inserts one document or twenty, and that, not the
database, limits a busy server. So while commands of a kind are under way, further calls gather for the next one. A call
that comes alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from typing import Generic, TypeVar

from fhir_server.errors import Unavailable

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MOST_TOGETHER = 50
UNDER_WAY = 2  # commands of one key at a time: one is answered while the other is prepared


class CommandBatcher(Generic[Item, Answer]):
    """Gathers calls by key (a resource type) and has `run` answer each list of them, in its order.

    An answer may be an exception, which is then raised to its caller alone; one that `run` raises is raised to all.
    Where it says that the database is away, those who wait meanwhile share it: each list would wait as long again.
    """

    def __init__(self, run: Callable[[str, list[Item]], Awaitable[Sequence[Answer | Exception]]]) -> None:
        self._run = run
        self._under_way: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, list[tuple[Item, asyncio.Future[Answer]]]] = defaultdict(list)
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, key: str, item: Item) -> Answer:
        """Return the answer to one item, found at some moment after this call began."""
        if self._under_way[key] >= UNDER_WAY:
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._waiting[key].append((item, future))
            return await future
        self._under_way[key] += 1
        try:
            (answer,) = await self._run(key, [item])
        except Unavailable as error:
            self._refuse_waiting(key, error)
            raise
        finally:
            self._finish(key)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _finish(self, key: str) -> None:
        waiting = self._waiting[key]
        if not waiting:
            self._under_way[key] -= 1
            return
        gathered, self._waiting[key] = waiting[:MOST_TOGETHER], waiting[MOST_TOGETHER:]
        task = asyncio.create_task(self._answer(key, gathered))
        self._tasks.add(task)  # the event loop itself does not keep a task alive
        task.add_done_callback(self._tasks.discard)

    def _refuse_waiting(self, key: str, error: Unavailable) -> None:
        waiting, self._waiting[key] = self._waiting[key], []
        for _, future in waiting:
            if not future.done():
                future.set_exception(copy(error))

    async def _answer(self, key: str, gathered: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._run(key, [item for item, _ in gathered])
        except Exception as error:
            answers = [copy(error) for _ in gathered]  # each its own: whoever answers a request adds to its error
            if isinstance(error, Unavailable):
                self._refuse_waiting(key, error)
        finally:
            self._finish(key)
        for (_, future), answer in zip(gathered, answers, strict=True):
            if future.done():  # its request was cancelled meanwhile
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
