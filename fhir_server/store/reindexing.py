"""Making the index of stored resources anew, after a search parameter or the indexing itself has changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from pymongo import UpdateOne

from fhir_server.r4 import values
from fhir_server.store.documents import PROJECTION, to_index_change
from fhir_server.store.encoding import Document
from fhir_server.store.failures import translated
from fhir_server.store.resources import ResourceStore

BATCH = 200

Index = Callable[[Any], Mapping[str, Any]]


async def reindex(resources: ResourceStore, resource_type: str, index: Index, *, after: str = "") -> AsyncIterator[str]:
    """Index every resource of the type whose id comes after `after`, in the order of ids.

    Yields the last id of each batch that is done, from which to resume. A resource that is written meanwhile is left to
    its writer, so whoever writes must index in the new way before this begins.
    """
    collection = resources.database.current(resource_type)
    while True:
        wanted: Document = {"_id": {"$gt": after}, "method": {"$ne": "DELETE"}}
        with translated:
            documents = await collection.find(wanted, PROJECTION).sort("_id", 1).limit(BATCH).to_list()
        if not documents:
            return
        changes = [await _change(resources, resource_type, index, document) for document in documents]
        with translated:
            await collection.bulk_write(changes, ordered=False)
        after = documents[-1]["_id"]
        yield after


async def _change(resources: ResourceStore, resource_type: str, index: Index, document: Document) -> UpdateOne:
    version = await resources.version(resource_type, document["_id"], document)
    entries = index(values.decode(version.json))
    return UpdateOne({"_id": version.id, "version": version.version}, to_index_change(entries))
