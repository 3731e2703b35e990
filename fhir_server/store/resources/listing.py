"""Every resource of a type, in the order of ids: the live as they are, the deleted as they last were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.resources.documents import PROJECTION
from fhir_server.store.resources.resources import ResourceStore, Version


@dataclass(frozen=True, slots=True)
class Last:
    """The last version of a resource that says something, and when the resource was deleted, if it was."""

    version: Version
    deleted: datetime | None


async def last_after(resources: ResourceStore, resource_type: str, after: str, limit: int) -> tuple[list[Last], str]:
    """Return the next resources whose ids come after `after`, and the id to go on from; empty where that is none."""
    with translated:
        documents = (
            await resources.database.current(resource_type)
            .find({"_id": {"$gt": after}}, PROJECTION)
            .sort("_id", 1)
            .to_list(limit)
        )
    following: str = documents[-1]["_id"] if len(documents) == limit else ""
    return await _last(resources, resource_type, documents), following


async def last_of(resources: ResourceStore, resource_type: str, ids: Sequence[str]) -> dict[str, Last]:
    """Return the resources with these ids, by id."""
    with translated:
        documents = (
            await resources.database.current(resource_type).find({"_id": {"$in": list(ids)}}, PROJECTION).to_list()
        )
    return {last.version.id: last for last in await _last(resources, resource_type, documents)}


async def _last(resources: ResourceStore, resource_type: str, documents: Sequence[Document]) -> list[Last]:
    deleted = {
        f"{each['_id']}/{each['version'] - 1}": each["updated"] for each in documents if each["method"] == "DELETE"
    }
    earlier: list[Document] = []
    if deleted:
        with translated:
            history = resources.database.history(resource_type)
            earlier = await history.find({"_id": {"$in": list(deleted)}}, {**PROJECTION, "id": 1}).to_list()
    lasts = [
        Last(await resources.version(resource_type, each["_id"], each), None)
        for each in documents
        if each["method"] != "DELETE"
    ]
    lasts += [Last(await resources.version(resource_type, each["id"], each), deleted[each["_id"]]) for each in earlier]
    return sorted(lasts, key=lambda last: last.version.id)


async def count(resources: ResourceStore, resource_type: str) -> int:
    """Return about how many resources of the type there are, the deleted ones too."""
    with translated:
        return await resources.database.current(resource_type).estimated_document_count()
