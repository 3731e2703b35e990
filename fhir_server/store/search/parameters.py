"""Which search parameters were added to the official ones, how far each has come, and which worker knows of it.

All of it is one document, `State`, replaced as a whole and only by who has read its revision, so that every worker sees
the same sequence of revisions. A worker announces the revision it works by; its announcement ages, and a worker that
has not renewed it for `SILENT_SECONDS` counts as gone.

A barrier is a number that workers announce in the same way: who raises it, and waits until all have announced it, knows
that every write that was under way before has ended.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from pymongo import ReturnDocument

from fhir_server.r4 import values
from fhir_server.search.lifecycle import State
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.mongo import Database, translated
from fhir_server.store.resources.documents import PROJECTION
from fhir_server.store.resources.resources import ResourceStore

SILENT_SECONDS = 20.0
"""After this, a worker that says nothing counts as gone."""

_STATE = "search-parameters"
_BARRIER = "write-barrier"
_FORGOTTEN_SECONDS = 3600.0


class Progress(NamedTuple):
    """What work goes by: the revision of the search parameters, and the number of the barrier, when it began."""

    revision: int
    barrier: int


class SearchParameterStore:
    """Keeps the state, the workers' announcements, and reads the SearchParameter resources."""

    def __init__(self, database: Database, resources: ResourceStore) -> None:
        self._database = database
        self._resources = resources
        self._states = database.collection("server_state")
        self._workers = database.collection("server_workers")
        self._parameters = database.current("SearchParameter")

    async def progress(self) -> Progress:
        """Return the revision of the state and the number of the barrier."""
        with translated:
            documents = await self._states.find(
                {"_id": {"$in": [_STATE, _BARRIER]}}, {"revision": 1, "number": 1}
            ).to_list()
        by_id = {document["_id"]: document for document in documents}
        return Progress(int(by_id.get(_STATE, {}).get("revision", 0)), int(by_id.get(_BARRIER, {}).get("number", 0)))

    async def raise_barrier(self) -> int:
        """Raise the barrier and return its number, which workers announce when all their earlier work has ended."""
        with translated:
            raised = await self._states.find_one_and_update(
                {"_id": _BARRIER}, {"$inc": {"number": 1}}, upsert=True, return_document=ReturnDocument.AFTER
            )
        assert raised is not None, "an upsert returns what it made"
        return int(raised["number"])

    async def passed_by_all(self, barrier: int) -> bool:
        """Return whether every living worker has announced the barrier, or a later one."""
        behind = {**_seen("$gte", SILENT_SECONDS), "barrier": {"$not": {"$gte": barrier}}}
        with translated:
            return await self._workers.find_one(behind, {"_id": 1}) is None

    async def state(self) -> State:
        """Return the state as it is now."""
        with translated:
            document = await self._states.find_one({"_id": _STATE})
        return State() if document is None else msgspec.convert(document, State)

    async def replace(self, old: State, new: State) -> bool:
        """Store what follows a state; return False where another has followed it already."""
        document: Document = msgspec.to_builtins(msgspec.structs.replace(new, edit=old.edit + 1))
        with translated:
            if old.edit == 0:
                await self._states.update_one({"_id": _STATE}, {"$setOnInsert": {"edit": 0}}, upsert=True)
            stored = await self._states.replace_one({"_id": _STATE, "edit": old.edit}, document)
        return stored.matched_count == 1

    async def announce(self, worker: str, progress: Progress, about: Document) -> None:
        """Say that the worker is alive and what its work goes by; `about` is what others may want to know of it."""
        with translated:
            await self._workers.update_one(
                {"_id": worker},
                [{"$set": {"seen": "$$NOW", **progress._asdict(), "about": {"$literal": about}}}],
                upsert=True,
            )

    async def leave(self, worker: str) -> None:
        """Say that the worker has ended."""
        with translated:
            await self._workers.delete_one({"_id": worker})

    async def known_to_all(self) -> int | None:
        """Return the lowest revision that a living worker works by; None where none lives."""
        with translated:
            living = await self._workers.find(_seen("$gte", SILENT_SECONDS), {"revision": 1}).to_list()
        return min((document["revision"] for document in living), default=None)

    async def living(self) -> list[Document]:
        """Return what the living workers say about themselves."""
        with translated:
            return [document["about"] async for document in self._workers.find(_seen("$gte", SILENT_SECONDS))]

    async def forget_silent(self) -> None:
        """Remove the announcements of workers that ended without a word long ago."""
        with translated:
            await self._workers.delete_many(_seen("$lt", _FORGOTTEN_SECONDS))

    async def last_change(self) -> tuple[datetime, str] | None:
        """Return when and which SearchParameter resource was last written or deleted; a value that changes with any."""
        with translated:
            document = await self._parameters.find_one({}, {"updated": 1}, sort=[("updated", -1), ("_id", 1)])
        return None if document is None else (document["updated"], document["_id"])

    async def published(self) -> AsyncIterator[Any]:
        """Yield the SearchParameter resources that claim to be used."""
        with translated:
            documents = await self._parameters.find({"claims": {"$exists": True}}, PROJECTION).to_list()
        for document in documents:
            version = await self._resources.version("SearchParameter", document["_id"], document)
            yield values.decode(version.json)


async def revision_of(database: Database) -> int:
    """Return the revision of the state in a database."""
    with translated:
        document = await database.collection("server_state").find_one({"_id": _STATE}, {"revision": 1})
    return 0 if document is None else int(document.get("revision", 0))


def _seen(operator: str, seconds: float) -> Document:
    return {"$expr": {operator: ["$seen", {"$subtract": ["$$NOW", seconds * 1000]}]}}
