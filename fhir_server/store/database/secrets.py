"""Secrets that all workers share and that outlive them, made when first asked for."""

from __future__ import annotations

import os
from contextlib import suppress

from pymongo.errors import DuplicateKeyError

from fhir_server.store.database.mongo import Database, translated

_KEY_BYTES = 32


async def secret(database: Database, name: str) -> bytes:
    """Return the 256-bit secret of that name, the same for every worker and after every restart."""
    secrets = database.collection("server_secrets")
    with translated:
        # Of two workers that start at once, one may find its insert refused.
        with suppress(DuplicateKeyError):
            made = {"$setOnInsert": {"value": os.urandom(_KEY_BYTES)}}
            await secrets.update_one({"_id": name}, made, upsert=True)
        document = await secrets.find_one({"_id": name})
    assert document is not None, "an upsert leaves something to find"
    return bytes(document["value"])
