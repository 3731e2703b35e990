"""Databases of the run's mongod, each a test's own: emptied afterwards and used again.

Making the collections and indexes of a database, and dropping them, costs more than most tests do with it.
"""

from __future__ import annotations

import uuid
from typing import Any

import pymongo
from pymongo.write_concern import WriteConcern


class Databases:
    """The databases of one worker of the run."""

    def __init__(self, url: str) -> None:
        self._client = pymongo.MongoClient[dict[str, Any]](url)
        self._oplog = self._client.local["oplog.rs"]
        self._empty: list[str] = []
        self._taken: dict[str, Any] = {}

    def take(self) -> str:
        """Return the name of a database without a document; it may have collections of an earlier test."""
        name = self._empty.pop() if self._empty else f"test_{uuid.uuid4().hex[:12]}"
        self._taken[name] = self._oplog.find_one(sort=[("$natural", -1)])["ts"]
        return name

    def give_back(self, name: str) -> None:
        """Remove every document, when nobody uses the database any more."""
        database = self._client.get_database(name, write_concern=WriteConcern(1, j=False))
        for collection in self._written(name, self._taken.pop(name)):
            database[collection].delete_many({})
        self._empty.append(name)

    def _written(self, name: str, since: Any) -> list[str]:
        """Return the collections that something was written to: far fewer than there are."""
        entries = self._oplog.aggregate(
            [
                {"$match": {"ts": {"$gte": since}, "op": {"$in": ["i", "u", "c"]}}},
                {"$project": {"ns": {"$ifNull": ["$o.applyOps.ns", ["$ns"]]}}},
                {"$unwind": "$ns"},
                {"$group": {"_id": "$ns"}},
            ]
        )
        namespaces = [entry["_id"].partition(".") for entry in entries]
        return [collection for database, _, collection in namespaces if database == name and collection != "$cmd"]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
