"""Making the index of stored resources anew, after a search parameter or the indexing itself has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pymongo import UpdateOne

from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database
from fhir_server.store.resources.documents import PROJECTION, to_index_change
from fhir_server.store.resources.resources import ResourceStore

BATCH = 200

Index = Callable[[Any], Mapping[str, Any]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """What was done: resources up to the id `last`, of which so many have a new index, and so many could have none."""

    last: str
    done: int
    failed: int


async def stored_types(database: Database) -> list[str]:
    """Return the resource types of which something was ever stored."""
    return sorted(RESOURCE_TYPES.intersection(await database.collection_names()))


async def count(database: Database, resource_types: Sequence[str]) -> int:
    """Return how many resources of the types there are to index."""
    with translated:
        counts = [
            await database.current(name).count_documents({"method": {"$ne": "DELETE"}}) for name in resource_types
        ]
    return sum(counts)


async def reindex_batch(
    resources: ResourceStore, resource_type: str, index: Index, *, after: str = "", limit: int = BATCH
) -> Batch | None:
    """Index the next resources of the type whose ids come after `after`; None where there are no more.

    A resource that is written meanwhile is left to its writer, so whoever writes must index in the new way before this
    begins.
    """
    collection = resources.database.current(resource_type)
    wanted: Document = {"_id": {"$gt": after}, "method": {"$ne": "DELETE"}}
    with translated:
        documents = await collection.find(wanted, PROJECTION).sort("_id", 1).limit(limit).to_list()
    if not documents:
        return None
    made = [await _change(resources, resource_type, index, document) for document in documents]
    changes = [change for change in made if change is not None]
    with translated:
        if changes:
            await collection.bulk_write(changes, ordered=False)
    return Batch(documents[-1]["_id"], len(changes), len(documents) - len(changes))


async def _change(resources: ResourceStore, resource_type: str, index: Index, document: Document) -> UpdateOne | None:
    version = await resources.version(resource_type, document["_id"], document)
    # Indexing is work of the processor alone: requests get their turn in between.
    await asyncio.sleep(0)
    try:
        entries = index(values.decode(version.json))
    except Exception as error:  # one resource that cannot be indexed must not keep the others from it
        log.error("reindex.failed", resource=f"{resource_type}/{version.id}", kind=type(error).__name__)
        return None
    return UpdateOne({"_id": version.id, "version": version.version}, to_index_change(entries))
