"""How much room the data and its indexes take, where the database of the server is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient


@dataclass(frozen=True)
class Storage:
    """Megabytes of a database: the documents as they are, as they lie compressed on disk, and the indexes."""

    documents: int
    data: float
    on_disk: float
    indexes: float


def storage(database_url: str | None, name: str = "fhir") -> Storage | None:
    """Return the sizes of a database; None without its URL."""
    if database_url is None:
        return None
    with MongoClient[dict[str, Any]](database_url) as client:
        found = client[name].command("dbStats", scale=1)
    return Storage(int(found["objects"]), found["dataSize"] / 1e6, found["storageSize"] / 1e6, found["indexSize"] / 1e6)
