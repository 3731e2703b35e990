"""When resources were created: the times of their first versions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fhir_server.store.database.mongo import Database, translated


async def created_times(database: Database, resource_type: str, ids: Sequence[str]) -> dict[str, datetime]:
    """Return the time of the first version of each resource that has later ones."""
    names = [f"{resource_id}/1" for resource_id in ids]
    with translated:
        documents = await database.history(resource_type).find({"_id": {"$in": names}}, {"updated": 1}).to_list()
    return {document["_id"].removesuffix("/1"): document["updated"] for document in documents}
