"""What the `load` command has loaded: keys recorded in the very transactions that load, so that a load can be resumed.

A load that is killed leaves no doubt: a transaction that was committed has its key here, any other changed nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from pymongo import UpdateOne

from fhir_server.store.database.mongo import Database, Session, translated

COLLECTION = "server_loads"


class Loads:
    """The record of what was loaded into a database."""

    def __init__(self, database: Database) -> None:
        self._collection = database.collection(COLLECTION)

    async def keys(self) -> set[str]:
        """Return the keys of all that was loaded."""
        with translated:
            return {document["_id"] async for document in self._collection.find({}, {"_id": 1})}

    async def record(self, keys: Iterable[str], session: Session | None = None) -> None:
        """Record keys as loaded; to do so again changes nothing."""
        changes = [UpdateOne({"_id": key}, {"$setOnInsert": {"_id": key}}, upsert=True) for key in keys]
        with translated:
            if changes:
                await self._collection.bulk_write(changes, session=session)
