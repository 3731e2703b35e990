"""Secrets that all workers share and that outlive them, made when first asked for."""

from __future__ import annotations

import os

from pymongo import ReturnDocument

from fhir_server.store.mongo import Database, translated

_KEY_BYTES = 32


async def secret(database: Database, name: str) -> bytes:
    """Return the 256-bit secret of that name, the same for every worker and after every restart."""
    with translated:
        found = await database.collection("server_secrets").find_one_and_update(
            {"_id": name},
            {"$setOnInsert": {"value": os.urandom(_KEY_BYTES)}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
    assert found is not None, "an upsert returns what it made"
    return bytes(found["value"])
