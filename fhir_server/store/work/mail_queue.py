"""Mails that wait to be sent: which Communication, and when it is to be tried next. What they say is not kept here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fhir_server.store.database.mongo import Database, translated

COLLECTION = "mail_queue"
_REMEMBERED = timedelta(days=30)
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720))
"""How long to wait after each failure; after the last one the mail is given up."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A mail to send: of which Communication, and how often that has failed."""

    communication_id: str
    failures: int


class MailQueue:
    """Holds each Communication once, however often it is added, and remembers those that were sent."""

    def __init__(self, database: Database) -> None:
        self._queue = database.collection(COLLECTION)

    async def prepare(self) -> None:
        """Make the indexes."""
        with translated:
            await self._queue.create_index("expires", expireAfterSeconds=0)
            await self._queue.create_index("due", partialFilterExpression={"due": {"$exists": True}})

    async def add(self, communication_id: str) -> None:
        """Let the Communication be mailed, unless it was added before."""
        now = datetime.now(UTC)
        document = {"due": now, "failures": 0, "expires": now + _REMEMBERED}
        with translated:
            await self._queue.update_one({"_id": communication_id}, {"$setOnInsert": document}, upsert=True)

    async def due(self, limit: int = 50) -> Sequence[Waiting]:
        """Return mails to be sent now, those that wait longest first."""
        with translated:
            documents = (
                await self._queue.find({"due": {"$lte": datetime.now(UTC)}}).sort("due", 1).limit(limit).to_list()
            )
        return [Waiting(document["_id"], document["failures"]) for document in documents]

    async def done(self, waiting: Waiting) -> None:
        """Take a mail out: it was sent, or is not to be."""
        with translated:
            await self._queue.update_one({"_id": waiting.communication_id}, {"$unset": {"due": ""}})

    async def failed(self, waiting: Waiting) -> bool:
        """Let a mail be tried again later; returns False where that has been done often enough."""
        if waiting.failures >= len(PAUSES):
            await self.done(waiting)
            return False
        later = datetime.now(UTC) + PAUSES[waiting.failures]
        change = {"$set": {"due": later, "failures": waiting.failures + 1}}
        with translated:
            await self._queue.update_one({"_id": waiting.communication_id}, change)
        return True
