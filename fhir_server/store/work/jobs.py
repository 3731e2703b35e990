"""Background jobs in the database: which worker has a job, until when, and how far it has come.

A worker holds a lease for a while and renews it. One that is killed, or cannot reach the database, loses it, and
another goes on from the job's state. Times are the database's, so that the clocks of machines need not agree.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument

from fhir_server.errors import Conflict
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.mongo import Collection, Database, translated

LEASE_SECONDS = 15.0


class LeaseLost(Conflict):
    """Another worker has the job by now."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A job as an operator may want to see it."""

    name: str
    owner: str | None
    """Who has it; None while nobody has."""
    started: datetime | None
    finished: datetime | None
    failure: str
    state: Document
    overdue: float = 0.0
    """For how many seconds it has been due while nobody has it."""


class JobStore:
    """Gives out leases of jobs."""

    def __init__(self, database: Database, seconds: float = LEASE_SECONDS) -> None:
        self._collection = database.collection("server_jobs")
        self.seconds = seconds

    async def acquire(self, name: str, worker: str, *, early: bool = False) -> Lease | None:
        """Return the lease of a job; None where another has it, or where it is not due and not wanted `early`."""
        owner = f"{worker}/{secrets.token_hex(4)}"
        free: list[Document] = [{"$lt": [{"$ifNull": ["$until", 0]}, "$$NOW"]}]
        if not early:
            free.append({"$lt": [{"$ifNull": ["$due", 0]}, "$$NOW"]})
        taking = {"owner": {"$literal": owner}, "until": _later(self.seconds), "started": "$$NOW"}
        with translated:
            await self._collection.update_one({"_id": name}, {"$setOnInsert": {"state": {}}}, upsert=True)
            document = await self._collection.find_one_and_update(
                {"_id": name, "$expr": {"$and": free}}, [{"$set": taking}], return_document=ReturnDocument.AFTER
            )
        return (
            None
            if document is None
            else Lease(self._collection, name, owner, self.seconds, document.get("state") or {})
        )

    async def is_due(self, name: str) -> bool:
        """Return whether the job waits for somebody; cheaper than trying to acquire it."""
        waiting = {"$or": [{"$gte": ["$until", "$$NOW"]}, {"$gte": ["$due", "$$NOW"]}]}
        with translated:
            return await self._collection.find_one({"_id": name, "$expr": waiting}, {"_id": 1}) is None

    async def progress(self) -> list[Progress]:
        """Return how all jobs stand."""
        held = {"$gte": [{"$ifNull": ["$until", 0]}, "$$NOW"]}
        waiting = {"$divide": [{"$subtract": ["$$NOW", {"$max": ["$due", "$until"]}]}, 1000]}
        with translated:
            seen = {"$set": {"held": held, "waiting": waiting}}
            cursor = await self._collection.aggregate([seen, {"$sort": {"_id": 1}}])
            return [_progress(document) async for document in cursor]


class Lease:
    """The right to run a job, until it is lost or released."""

    def __init__(self, collection: Collection, name: str, owner: str, seconds: float, state: Document) -> None:
        self._collection = collection
        self.name = name
        self.owner = owner
        self.seconds = seconds
        self.state = state

    async def renew(self) -> None:
        """Hold the job for another while; raises LeaseLost."""
        await self._change([{"$set": {"until": _later(self.seconds)}}])

    async def save(self, state: Document) -> None:
        """Store how far the job has come; raises LeaseLost."""
        self.state = state
        await self._change({"$set": {"state": state}})

    async def release(self, pause: float = 0.0, failure: str = "") -> None:
        """Let the job go; it is due again after `pause` seconds. Does nothing where the lease is lost."""
        done: Document = {"until": None, "owner": None, "due": _later(pause), "finished": "$$NOW"}
        done["failure"] = {"$literal": failure}
        with translated:
            await self._collection.update_one({"_id": self.name, "owner": self.owner}, [{"$set": done}])

    async def _change(self, change: Any) -> None:
        with translated:
            changed = await self._collection.update_one({"_id": self.name, "owner": self.owner}, change)
        if changed.matched_count == 0:
            raise LeaseLost(f"Another worker has the job {self.name}.")


def _later(seconds: float) -> Document:
    return {"$add": ["$$NOW", round(seconds * 1000)]}


def _progress(document: Document) -> Progress:
    return Progress(
        name=document["_id"],
        owner=document.get("owner") if document["held"] else None,
        started=document.get("started"),
        finished=document.get("finished"),
        failure=document.get("failure") or "",
        state=document.get("state") or {},
        overdue=0.0 if document["held"] else max(0.0, document.get("waiting") or 0.0),
    )
