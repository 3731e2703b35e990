"""What is written, told in the order of its storing: a MongoDB change stream from a position that is kept.

Each version is told at least once, whoever wrote it and however, also after a crash: the position moves on only when
what was told is dealt with. https://www.mongodb.com/docs/manual/changeStreams/
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

import structlog
from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.errors import OperationFailure, PyMongoError

from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translate
from fhir_server.store.database.mongo import Database, translated
from fhir_server.work.ending import end

_COLLECTION = "change_positions"
_WAIT_MILLISECONDS = 1000
_KEEP_EVERY = 50
_KEEP_SECONDS = 30.0
"""How often the position of a feed that has nothing to tell is kept, so that it does not fall out of the log."""
_LOST = frozenset({280, 286})
"""The database says that its log no longer reaches back to the position."""
_MARGIN = timedelta(minutes=5)
"""Clocks of the servers that write may differ by this."""

_LARGEST = 20
"""How many times as large as usual a batch gets before it cuts a transaction."""

Stream = AsyncChangeStream[Document]

log = structlog.get_logger(__name__)


class PositionLost(Exception):
    """The database's log does not know the position, or no longer reaches back to it."""


@dataclass(frozen=True, slots=True)
class Change:
    """A version that was stored; `position` is where to go on after it."""

    type: str
    id: str
    version: int
    position: str = ""
    transaction: str = ""
    """Names the transaction that stored it; empty where it was stored by itself."""


_Item = tuple[Change | None, str]
"""A change, or None where none came for a while, and the position after it."""


class ChangeFeed:
    """The versions of some types as they are stored, told to one consumer; its position is kept under its name.

    Versions that were written quietly are left out.
    """

    def __init__(self, database: Database, name: str, types: Sequence[str]) -> None:
        self._database = database
        self._positions = database.collection(_COLLECTION)
        self._name = name
        self._types = list(types)
        self._kept_at = float("-inf")
        self._dealt_with = 0

    async def begin(self) -> None:
        """Let the feed begin here, unless it has begun before."""
        with translated:
            if await self._positions.find_one({"_id": self._name}, {"_id": 1}):
                return
            position = await _present(self._database, self._types)
            await self._positions.update_one(
                {"_id": self._name}, {"$setOnInsert": {"position": position}, "$currentDate": {"at": True}}, upsert=True
            )

    async def follow(self) -> AsyncGenerator[Change, None]:
        """Tell of what is stored, from the kept position on and for ever.

        A change counts as dealt with when the next one is asked for. Close the generator to stop.
        """
        await self.begin()
        with translated:
            kept = await self._positions.find_one({"_id": self._name}) or {}
        try:
            async with aclosing(self._after(kept["position"])) as changes:
                async for change in changes:
                    yield change
        except PositionLost:
            log.warning("changes.position_lost", feed=self._name)
        with translated:
            position = await _present(self._database, self._types)
        async for change in self._missed(kept["at"] - _MARGIN):
            yield change
        await self._keep(position)
        async with aclosing(self._after(position)) as changes:
            async for change in changes:
                yield change

    async def batches(self, most: int) -> AsyncGenerator[list[Change], None]:
        """Tell of what is stored, from the kept position on and for ever, in lists of what has come meanwhile.

        A list has about `most` changes, more where a transaction would be cut; it counts as dealt with when the next
        one is asked for. An empty one says that nothing has come for a while. Close the generator to stop.
        """
        await self.begin()
        with translated:
            kept = await self._positions.find_one({"_id": self._name}) or {}
        try:
            async with aclosing(self._read_ahead(kept["position"], most)) as batches:
                async for batch in batches:
                    yield batch
        except PositionLost:
            log.warning("changes.position_lost", feed=self._name)
        with translated:
            position = await _present(self._database, self._types)
        async for change in self._missed(kept["at"] - _MARGIN):
            yield [change]
        await self._keep(position)
        async with aclosing(self._read_ahead(position, most)) as batches:
            async for batch in batches:
                yield batch

    async def _read_ahead(self, position: str, most: int) -> AsyncGenerator[list[Change], None]:
        ahead = _ReadAhead(follow(self._database, self._types, position), most)
        try:
            while True:
                batch, reached = await ahead.batch()
                yield batch
                self._dealt_with += len(batch)
                await self._keep_now_and_then(reached, idle=not batch)
        finally:
            await ahead.close()

    async def _after(self, position: str) -> AsyncGenerator[Change, None]:
        async with aclosing(follow(self._database, self._types, position)) as changes:
            async for change, reached in changes:
                if change is not None:
                    yield change
                    self._dealt_with += 1
                await self._keep_now_and_then(reached, idle=change is None)

    async def _keep_now_and_then(self, position: str, *, idle: bool) -> None:
        due = time.monotonic() - self._kept_at > _KEEP_SECONDS
        if due or self._dealt_with >= _KEEP_EVERY or (idle and self._dealt_with):
            await self._keep(position)

    async def _keep(self, position: str) -> None:
        with translated:
            await self._positions.update_one(
                {"_id": self._name}, {"$set": {"position": position}, "$currentDate": {"at": True}}
            )
        self._kept_at, self._dealt_with = time.monotonic(), 0

    async def _missed(self, since: datetime) -> AsyncIterator[Change]:
        """Tell of what was stored since a time, by the index of times and not by the log."""
        for resource_type in self._types:
            for collection in (self._database.history(resource_type), self._database.current(resource_type)):
                with translated:
                    cursor = collection.find({"updated": {"$gte": since}}, {"id": 1, "version": 1, "quiet": 1})
                    async for document in cursor.sort("updated", 1):
                        if document.get("quiet") != document["version"]:
                            yield Change(resource_type, document.get("id") or document["_id"], document["version"])


class _ReadAhead:
    """Reads what changes into a queue, so that it can be taken as lists of what has come meanwhile."""

    def __init__(self, changes: AsyncGenerator[_Item, None], most: int) -> None:
        self._most = most
        self._queue: asyncio.Queue[_Item | BaseException] = asyncio.Queue(2 * most)
        self._next: _Item | BaseException | None = None
        self._task = asyncio.create_task(self._read(changes))

    async def close(self) -> None:
        await end(self._task)

    async def _read(self, changes: AsyncGenerator[_Item, None]) -> None:
        try:
            async with aclosing(changes):
                async for item in changes:
                    await self._queue.put(item)
        except Exception as error:
            await self._queue.put(error)

    async def batch(self) -> tuple[list[Change], str]:
        """Return what has come, at least one item, and the position after it; raises what ended the reading."""
        first = self._next or await self._queue.get()
        self._next = None
        if isinstance(first, BaseException):
            raise first
        change, reached = first
        batch = [] if change is None else [change]
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if isinstance(item, BaseException) or self._is_of_the_next(item[0], batch):
                self._next = item
                break
            change, reached = item
            batch += [] if change is None else [change]
        return batch, reached

    def _is_of_the_next(self, change: Change | None, batch: list[Change]) -> bool:
        """Return whether the batch is full; a transaction is not cut unless it is very large."""
        if change is None or len(batch) < self._most:
            return False
        return (
            len(batch) >= _LARGEST * self._most or not change.transaction or change.transaction != batch[-1].transaction
        )


async def follow(
    database: Database,
    types: Sequence[str],
    position: str | None = None,
    *,
    milliseconds: int = _WAIT_MILLISECONDS,
    begun: bool = False,
) -> AsyncGenerator[tuple[Change | None, str], None]:
    """Tell of each version of the types as it is stored, for ever, from now on or after a position.

    Where so long passes without any, None is told and the position reached; with `begun` also at the beginning. Raises
    PositionLost.
    """
    try:
        stream = await _open(database, types, position, milliseconds)
    except OperationFailure as error:
        if position:  # too old, or none at all, for which there are many codes
            raise PositionLost from error
        raise translate(error) from error
    except PyMongoError as error:
        raise translate(error) from error
    async with stream:
        if begun:
            yield None, _position(stream)
        while True:
            with _losing_position:
                change = await stream.try_next()
            reached = _position(stream)
            yield (None if change is None else _change(change, reached)), reached


async def _open(
    database: Database, types: Sequence[str], position: str | None, milliseconds: int = _WAIT_MILLISECONDS
) -> Stream:
    stages: list[Document] = [
        {"$match": {"ns.coll": {"$in": list(types)}, "operationType": {"$in": ["insert", "update", "replace"]}}},
        {
            "$project": {
                "ns.coll": 1,
                "documentKey": 1,
                "lsid.id": 1,
                "txnNumber": 1,
                "version": {"$ifNull": ["$fullDocument.version", "$updateDescription.updatedFields.version"]},
                "quiet": {"$ifNull": ["$fullDocument.quiet", "$updateDescription.updatedFields.quiet"]},
            }
        },
        # An index that is made anew changes no version.
        {"$match": {"version": {"$type": "number"}, "$expr": {"$ne": ["$version", "$quiet"]}}},
    ]
    token = {"_data": position} if position else None
    return await database.raw.watch(stages, resume_after=token, max_await_time_ms=milliseconds)


async def _present(database: Database, types: Sequence[str]) -> str:
    """Return the position after all that is stored now."""
    async with await _open(database, types, None) as stream:
        return _position(stream)


def _position(stream: Stream) -> str:
    token = stream.resume_token
    return str(token["_data"]) if token else ""


def _change(document: Any, position: str) -> Change:
    session, number = document.get("lsid"), document.get("txnNumber")
    transaction = "" if session is None or number is None else f"{bytes(session['id']).hex()}/{number}"
    return Change(document["ns"]["coll"], document["documentKey"]["_id"], document["version"], position, transaction)


class _LosingPosition:
    """Turns the driver's error about a position into PositionLost, and others into the server's own."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OperationFailure) and error.code in _LOST:
            raise PositionLost from error
        translated.__exit__(kind, error, trace)


_losing_position = _LosingPosition()
