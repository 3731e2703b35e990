"""Closure tables: for each client the concepts that it has met, and which of them are below others.

A table is one document; each change of it follows the version that it was read in, or is tried again.
https://hl7.org/fhir/R4/terminology-service.html#closure
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from fhir_server.errors import TooLarge
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database

_COLLECTION = "terminology_closures"
_LIFE = timedelta(days=90)
MOST_TABLES = 100
_LONGEST = 8 * 1024 * 1024

Code = tuple[str, str | None, str, str | None]
"""System, version, code and display."""


@dataclass(slots=True)
class Entry:
    """A concept below another, both by their place among the concepts; `since` is the first version with it."""

    concept: int
    ancestor: int
    since: int


@dataclass(slots=True)
class Table:
    """A closure table; `edit` changes with every change of it, also when it is begun anew."""

    version: int = 0
    edit: int = 0
    codes: list[Code] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


class ClosureTables:
    """The tables of all clients, kept until nobody has used them for 90 days."""

    def __init__(self, database: Database) -> None:
        self._collection = database.collection(_COLLECTION)

    async def read(self, owner: str, name: str) -> Table | None:
        """Return a table, None where the client has none of that name."""
        with translated:
            document = await self._collection.find_one({"owner": owner, "name": name})
        if document is None:
            return None
        codes, entries = msgspec.msgpack.decode(bytes(document["content"]), type=tuple[list[Code], list[Entry]])
        return Table(document["version"], document["edit"], codes, entries)

    async def begin(self, owner: str, name: str) -> None:
        """Begin a table, or begin it anew; raises TooLarge where the client has too many."""
        where = {"owner": owner, "name": name}
        with translated:
            await self._collection.create_index("expires", expireAfterSeconds=0)
            await self._collection.create_index([("owner", 1), ("name", 1)], unique=True)
            others = await self._collection.count_documents({"owner": owner, "name": {"$ne": name}}, limit=MOST_TABLES)
            if others >= MOST_TABLES:
                raise TooLarge(f"You have {MOST_TABLES} closure tables, which is the limit.")
            change = {"$set": _content(Table()), "$inc": {"edit": 1}}
            await self._collection.update_one(where, change, upsert=True)

    async def replace(self, owner: str, name: str, table: Table) -> bool:
        """Store what follows a table; return False where another change has followed it already."""
        where = {"owner": owner, "name": name, "edit": table.edit}
        with translated:
            stored = await self._collection.update_one(where, {"$set": _content(table), "$inc": {"edit": 1}})
        return stored.matched_count == 1


def _content(table: Table) -> dict[str, Any]:
    content = msgspec.msgpack.encode((table.codes, table.entries))
    if len(content) > _LONGEST:
        raise TooLarge("The closure table is full; begin another, by a name alone.")
    return {"version": table.version, "content": content, "expires": datetime.now(UTC) + _LIFE}
