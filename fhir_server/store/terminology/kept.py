"""Resources that a client has sent along once, to refer to them by url in what it asks next (`cache-id`).

They are kept for an hour after their last use, for the client that sent them alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bson.binary import Binary
from pymongo import UpdateOne

from fhir_server.errors import TooLarge
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database

_COLLECTION = "terminology_kept"
_LIFE = timedelta(hours=1)
MOST = 1000
ROOM = 16 * 1024 * 1024
"""How many resources, and bytes of JSON, one cache holds."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A resource: its type, url and version in one text, and its JSON."""

    name: str
    json: bytes


class KeptResources:
    """The caches of all clients; `owner` names a client, `cache` is its own name for one."""

    def __init__(self, database: Database) -> None:
        self._collection = database.collection(_COLLECTION)

    async def read(self, owner: str, cache: str) -> list[Kept]:
        """Return what the cache holds, which counts as a use."""
        where = {"owner": owner, "cache": cache}
        with translated:
            documents = await self._collection.find(where).to_list()
            if documents:
                await self._collection.update_many(where, {"$set": {"expires": datetime.now(UTC) + _LIFE}})
        return [Kept(each["name"], bytes(each["json"])) for each in documents]

    async def add(self, owner: str, cache: str, there: Iterable[Kept], added: Iterable[Kept]) -> None:
        """Keep resources beside those that are there; raises TooLarge where the cache has no room for them."""
        new = {each.name: each for each in added}
        all_of_it = {each.name: len(each.json) for each in (*there, *new.values())}
        if len(all_of_it) > MOST or sum(all_of_it.values()) > ROOM:
            raise TooLarge(f"The cache {cache[:80]!r} would have more than {MOST} resources or {ROOM} bytes.")
        expires = datetime.now(UTC) + _LIFE
        writes = [
            UpdateOne(
                {"owner": owner, "cache": cache, "name": each.name},
                {"$set": {"json": Binary(each.json), "expires": expires}},
                upsert=True,
            )
            for each in new.values()
        ]
        with translated:
            await self._collection.create_index("expires", expireAfterSeconds=0)
            await self._collection.create_index([("owner", 1), ("cache", 1), ("name", 1)], unique=True)
            await self._collection.bulk_write(writes, ordered=False)
