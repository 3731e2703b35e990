"""Reading a Binary for its content, which stays where it is until a part of it is asked for."""

from __future__ import annotations

from fhir_server.search.planner.filters import filter_of
from fhir_server.search.query.conditions import Condition
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.resources.contents import BlobContent, Content
from fhir_server.store.resources.documents import PROJECTION, Version, to_version
from fhir_server.store.resources.resources import ResourceStore


async def read_content(
    store: ResourceStore, resource_id: str, version: int | None = None, *, where: Condition | None = None
) -> tuple[Version, Content | None] | None:
    """Return a version (by default the current one) of a Binary and its content; None as for `read` and `read_version`.

    Where the content is None the version holds it; else the version's JSON is without it.
    """
    projection = {**PROJECTION, "content": 1}
    if version is None:
        condition: Document = {"$and": [{"_id": resource_id}, filter_of(where)]}
        with translated:
            document = await store.database.current("Binary").find_one(condition, projection)
    else:
        document = await store.find_version("Binary", resource_id, version, where=where, projection=projection)
    if document is None:
        return None
    place = document.get("content")
    if place is None:
        return await store.version("Binary", resource_id, document), None
    content = BlobContent(store.blobs, document["blob"], place["start"], place["size"])
    return to_version("Binary", resource_id, document, place["outline"]), content
