"""Going through all current resources of a type, page by page, in the order of their ids."""

from __future__ import annotations

from fhir_server.store.database.failures import translated
from fhir_server.store.resources.documents import PROJECTION
from fhir_server.store.resources.resources import ResourceStore, Version

PAGE = 200


async def versions_after(
    resources: ResourceStore, resource_type: str, after: str = "", limit: int = PAGE
) -> list[Version]:
    """Return the next current versions of a type whose ids come after `after`; none where there are no more."""
    collection = resources.database.current(resource_type)
    condition = {"_id": {"$gt": after}, "method": {"$ne": "DELETE"}}
    with translated:
        documents = await collection.find(condition, PROJECTION).sort("_id", 1).limit(limit).to_list()
    return [await resources.version(resource_type, each["_id"], each) for each in documents]
