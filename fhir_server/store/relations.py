"""Which resources are related to others, as the keys of the search index tell: nothing is read but ids and keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fhir_server.store.database.mongo import Database, Document, translated


async def keys_of(database: Database, resource_type: str, keys: Sequence[str]) -> dict[str, list[str]]:
    """Return the index keys of the live resources of a type that have one of the given, by id."""
    return await _keys_by_id(database, resource_type, {"keys": {"$in": list(keys)}}) if keys else {}


async def keys_of_one(database: Database, resource_type: str, resource_id: str) -> list[str]:
    """Return the index keys of a live resource; none where it is not there."""
    return (await _keys_by_id(database, resource_type, {"_id": resource_id})).get(resource_id, [])


async def moment_of(database: Database, resource_type: str, resource_id: str) -> tuple[int, datetime] | None:
    """Return number and time of a resource's current version, deleted or not; None where there is none.

    Both together: a resource that was purged and made anew begins with the first number again.
    """
    with translated:
        document = await database.current(resource_type).find_one({"_id": resource_id}, {"version": 1, "updated": 1})
    return None if document is None else (int(document["version"]), document["updated"])


async def _keys_by_id(database: Database, resource_type: str, condition: Document) -> dict[str, list[str]]:
    with translated:
        documents = await database.current(resource_type).find(condition, {"keys": 1}).to_list()
    return {document["_id"]: document.get("keys", []) for document in documents}
