"""Searches too long for a link, kept for a day under a name that cannot be guessed."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database

_COLLECTION = "searches"
_LIFE = timedelta(days=1)


async def keep(database: Database, state: Any) -> str:
    """Store the plain data and return its name."""
    name = secrets.token_urlsafe(16)
    collection = database.collection(_COLLECTION)
    with translated:
        await collection.create_index("expires", expireAfterSeconds=0)
        await collection.insert_one(
            {"_id": name, "state": msgspec.msgpack.encode(state), "expires": datetime.now(UTC) + _LIFE}
        )
    return name


async def kept(database: Database, name: str) -> Any:
    """Return the data kept under a name, None where it has expired."""
    with translated:
        document = await database.collection(_COLLECTION).find_one({"_id": name})
    return None if document is None else msgspec.msgpack.decode(document["state"])
