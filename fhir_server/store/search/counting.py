"""How many documents meet a plan, counted in full once in a while and brought up to date in between.

A large number is remembered with the moment that was read. Asked again, only what was written since is looked at, in
that moment and now: it counts no longer or counts now. So the answer is exact, whatever has been written meanwhile, and
is remembered in its turn. The database keeps moments for five minutes at least; an older one, or much that was written,
is counted in full again.

What changes without a new version (`silent_changes`: a purge, indexing anew) makes the number be counted in full again.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from bson.timestamp import Timestamp

from fhir_server.search.planner.query import TypePlan
from fhir_server.store.database.encoding import Document
from fhir_server.store.resources.silent_changes import command_for
from fhir_server.store.search import commands

Ask: TypeAlias = Callable[[Document, Timestamp | None], Awaitable[tuple[list[Document], bool, Timestamp | None]]]
"""Runs a command in a snapshot: what it read, whether the answer was cut for its size, and the snapshot's time."""

LARGE = 1_000
"""Numbers below this are counted each time."""
MOST_WRITTEN = 2_000
_LAG = timedelta(seconds=120)
"""How long before it is in the database a version may say that it was stored, clocks that differ included."""
_SECONDS = 240.0
_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class _Counted:
    number: int
    at: Timestamp
    since: float
    changes: int
    """Silent changes of the collection until that moment."""


@dataclass(slots=True)
class CountMemory:
    """Counts plans without joins; `ask` runs a command."""

    ask: Ask
    _remembered: OrderedDict[tuple[str, bytes], _Counted] = field(default_factory=OrderedDict)

    async def count(self, plan: TypePlan, command: Document) -> int:
        """Return how many documents meet a plan; the command counts them, as `n`."""
        # A filter may name ten thousand values.
        key = (plan.collection, hashlib.sha256(repr(plan.filter).encode("utf-8", "surrogatepass")).digest())
        counted = self._remembered.get(key)
        if counted is not None and time.monotonic() - counted.since < _SECONDS:
            fresh = await self._brought_up(plan, counted)
            if fresh is not None:
                self._remembered[key] = fresh
                self._remembered.move_to_end(key)
                return fresh.number
        return await self._anew(key, command)

    async def _anew(self, key: tuple[str, bytes], command: Document) -> int:
        since = time.monotonic()
        number, at = await self._number(command, None)
        self._remembered.pop(key, None)
        if at is not None and number >= LARGE:
            self._remembered[key] = _Counted(number, at, since, await self._changes(key[0], at))
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return number

    async def _brought_up(self, plan: TypePlan, counted: _Counted) -> _Counted | None:
        """Return the number as it is now; None where that takes to count again."""
        since = time.monotonic()
        first = datetime.fromtimestamp(counted.at.time, UTC) - _LAG
        find: Document = {"find": plan.collection, "filter": {"updated": {"$gte": first}}, "projection": {"_id": 1}}
        find |= {"sort": {"updated": -1, "_id": 1}, "hint": "updated"}
        limits = {"limit": MOST_WRITTEN + 1, "batchSize": MOST_WRITTEN + 2}
        written, cut, at = await self.ask(find | limits, None)
        if at is None or cut or len(written) > MOST_WRITTEN:
            return None
        if await self._changes(plan.collection, at) != counted.changes:
            return None
        if not written:
            return replace(counted, at=at, since=since)
        among = {"$and": [{"_id": {"$in": [each["_id"] for each in written]}}, commands.without_bounds([plan.filter])]}
        command = commands.aggregate(plan.collection, [{"$match": among}, {"$count": "n"}], 1, hint="_id_")
        then, was = await self._number(command, counted.at)
        now, _ = await self._number(command, at)
        return replace(counted, number=counted.number + now - then, at=at, since=since) if was == counted.at else None

    async def _changes(self, collection: str, at: Timestamp) -> int:
        documents, _, _ = await self.ask(command_for(collection), at)
        return int(documents[0]["number"]) if documents else 0

    async def _number(self, command: Document, at: Timestamp | None) -> tuple[int, Timestamp | None]:
        documents, _, moment = await self.ask(command, at)
        return (int(documents[0]["n"]) if documents else 0), moment
