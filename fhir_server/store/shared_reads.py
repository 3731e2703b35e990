"""Reads that are asked for at the same time travel to the database together.

A query costs the driver some 200 us of CPU whether it asks for one document or for twenty, and that, not the database,
limits a busy server. So while queries of a type are under way, further reads of that type gather for the next one. A
read that comes alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from copy import copy

from fhir_server.store.mongo import Database, Document, translated

MOST_TOGETHER = 50
UNDER_WAY = 2  # queries of one type at a time: one is answered while the other is prepared

_Waiting = list[tuple[str, asyncio.Future[Document | None]]]


class SharedReads:
    """Reads current documents by id."""

    def __init__(self, database: Database, projection: Mapping[str, int]) -> None:
        self._database = database
        self._projection = projection
        self._under_way: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, _Waiting] = defaultdict(list)
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, resource_type: str, resource_id: str) -> Document | None:
        """Return the current document with the id, as it is at some moment after this call began."""
        if self._under_way[resource_type] >= UNDER_WAY:
            answer: asyncio.Future[Document | None] = asyncio.get_running_loop().create_future()
            self._waiting[resource_type].append((resource_id, answer))
            return await answer
        self._under_way[resource_type] += 1
        try:
            with translated:
                return await self._database.current(resource_type).find_one({"_id": resource_id}, self._projection)
        finally:
            self._finish(resource_type)

    def _finish(self, resource_type: str) -> None:
        waiting = self._waiting[resource_type]
        if not waiting:
            self._under_way[resource_type] -= 1
            return
        together, self._waiting[resource_type] = waiting[:MOST_TOGETHER], waiting[MOST_TOGETHER:]
        task = asyncio.create_task(self._read_together(resource_type, together))
        self._tasks.add(task)  # the event loop itself does not keep a task alive
        task.add_done_callback(self._tasks.discard)

    async def _read_together(self, resource_type: str, waiting: _Waiting) -> None:
        try:
            found = await self._find(resource_type, {resource_id for resource_id, _ in waiting})
        except Exception as error:
            for _, answer in waiting:
                if not answer.done():  # one whose request was cancelled is
                    answer.set_exception(copy(error))  # whoever answers a request adds to its error
        else:
            for resource_id, answer in waiting:
                if not answer.done():
                    answer.set_result(found.get(resource_id))
        finally:
            self._finish(resource_type)

    async def _find(self, resource_type: str, resource_ids: Iterable[str]) -> dict[str, Document]:
        with translated:
            cursor = self._database.current(resource_type).find({"_id": {"$in": [*resource_ids]}}, self._projection)
            return {document["_id"]: document for document in await cursor.to_list()}
