"""The record of purges: what an operator had removed for good, and whether that is done."""

from __future__ import annotations

from datetime import UTC, datetime

from fhir_server.store.database.mongo import Database, translated

COLLECTION = "server_purges"


class PurgeStore:
    """Keeps the record; a purge is named by its target: `Observation/1` or `Observation/1/_history/2`."""

    def __init__(self, database: Database) -> None:
        self._collection = database.collection(COLLECTION)

    async def begin(self, target: str) -> None:
        """Record that the target is to be removed."""
        start = {"asked": datetime.now(UTC), "finished": None}
        with translated:
            await self._collection.update_one({"_id": target}, {"$set": start}, upsert=True)

    async def finish(self, target: str) -> None:
        """Record that the target is gone."""
        with translated:
            await self._collection.update_one({"_id": target}, {"$set": {"finished": datetime.now(UTC)}})

    async def unfinished(self) -> list[str]:
        """Return the targets whose removal was begun and is not finished."""
        with translated:
            return [document["_id"] async for document in self._collection.find({"finished": None}, {"_id": 1})]

    async def is_unfinished(self, target: str) -> bool:
        """Return whether the removal of the target was begun and is not finished."""
        with translated:
            return await self._collection.find_one({"_id": target, "finished": None}, {"_id": 1}) is not None
