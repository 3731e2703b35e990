"""What imports of a hospital's tables have made: for each row its resources, so that the next import knows them again.

An entry is recorded in the transaction that stores the row's resources. A row that is as it was needs no second look; a
resource whose version is no longer the one recorded was changed here since.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pymongo import ReplaceOne

from fhir_server.store.database.mongo import Database, Document, Session, translated

COLLECTION = "server_imports"


@dataclass(frozen=True, slots=True)
class Imported:
    """A row that was imported."""

    key: str
    """The resource that the row is, such as Patient/1."""
    digest: str
    """Of the row: an equal one has nothing new."""
    versions: Mapping[str, int] = field(default_factory=dict)
    """The version that the import made of each of the row's resources, by type; all have the id of the key."""
    leaving: bool = False
    """Whether the row is a deleted one whose resources are still to be deleted."""
    prefix: str = ""
    """What the import put before the ids of its rows."""
    file: str = ""
    """Fingerprint of the file that was brought in with the row."""
    password: str = ""
    """Fingerprint of the password hash that came with the row."""

    @property
    def type(self) -> str:
        """The type of the resource that the row is."""
        return self.key.partition("/")[0]

    @property
    def id(self) -> str:
        """The logical id of the row's resources."""
        return self.key.partition("/")[2]


class ImportStore:
    """Keeps the entries."""

    def __init__(self, database: Database) -> None:
        self._collection = database.collection(COLLECTION)

    async def prepare(self) -> None:
        """Make the collection and its index; a transaction must not have to."""
        with translated:
            await self._collection.create_index([("leaving", 1), ("_id", 1)], sparse=True)

    async def find(self, keys: Sequence[str]) -> dict[str, Imported]:
        """Return the entries of those keys that have one."""
        with translated:
            documents = await self._collection.find({"_id": {"$in": list(keys)}}).to_list()
        return {document["_id"]: _imported(document) for document in documents}

    async def leaving(self, resource_type: str, after: str, limit: int) -> list[Imported]:
        """Return the next entries of a type, by key, whose resources are still to be deleted."""
        condition = {"leaving": resource_type, "_id": {"$gt": after}}
        with translated:
            return [
                _imported(document) for document in await self._collection.find(condition).sort("_id").to_list(limit)
            ]

    async def ids(self, resource_type: str, prefix: str) -> AsyncIterator[str]:
        """Yield the logical ids of the rows that were imported as resources of a type, with a prefix."""
        # What was recorded before prefixes were has none.
        condition = {
            "_id": {"$gte": f"{resource_type}/", "$lt": f"{resource_type}0"},
            "prefix": prefix or {"$in": ["", None]},
        }
        with translated:
            async for document in self._collection.find(condition, {"_id": 1}).sort("_id"):
                yield document["_id"].partition("/")[2]

    async def record(self, entries: Iterable[Imported], session: Session | None = None) -> None:
        """Store entries in place of those with the same key."""
        changes = [ReplaceOne({"_id": entry.key}, _document(entry), upsert=True) for entry in entries]
        with translated:
            if changes:
                await self._collection.bulk_write(changes, session=session)

    async def forget(self, keys: Sequence[str]) -> None:
        """Remove entries."""
        with translated:
            await self._collection.delete_many({"_id": {"$in": list(keys)}})


def _document(entry: Imported) -> Document:
    document: Document = {"_id": entry.key, "digest": entry.digest, "versions": dict(entry.versions)}
    if entry.prefix:
        document["prefix"] = entry.prefix
    if entry.leaving:
        document["leaving"] = entry.type
    if entry.file:
        document["file"] = entry.file
    if entry.password:
        document["password"] = entry.password
    return document


def _imported(document: Document) -> Imported:
    return Imported(
        document["_id"],
        document["digest"],
        document["versions"],
        leaving="leaving" in document,
        prefix=document.get("prefix", ""),
        file=document.get("file", ""),
        password=document.get("password", ""),
    )
