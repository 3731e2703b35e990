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
        self._empty: list[str] = []

    def take(self) -> str:
        """Return the name of a database without a document; it may have collections of an earlier test."""
        return self._empty.pop() if self._empty else f"test_{uuid.uuid4().hex[:12]}"

    def give_back(self, name: str) -> None:
        """Remove every document, when nobody uses the database any more."""
        database = self._client.get_database(name, write_concern=WriteConcern(1, j=False))
        for collection in database.list_collection_names():
            database[collection].delete_many({})
        self._empty.append(name)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
