"""Making the index of stored resources anew, after a search parameter or the indexing itself has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database
from fhir_server.store.resources.collections import type_of
from fhir_server.store.resources.documents import PROJECTION, UNINDEXED, to_index_change
from fhir_server.store.resources.resources import ResourceStore
from fhir_server.store.resources.silent_changes import note_silent_change
from fhir_server.work.budget import Budget, OutOfBudget, working
from fhir_server.work.threads import apart

BATCH = 200
_SECONDS = 1.0
"""Processor time that the index of one resource may take."""

Index = Callable[[Any], Mapping[str, Any]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """What was done: resources up to the id `last`, of which so many have a new index, and so many could have none."""

    last: str
    done: int
    failed: int


async def stored_types(database: Database) -> list[str]:
    """Return the collections of resources: types of which something was ever stored, and their definitions."""
    names = await database.collection_names()
    return sorted(name for name in names if type_of(name) in RESOURCE_TYPES)


async def count(database: Database, resource_types: Sequence[str]) -> int:
    """Return how many resources of the types there are to index."""
    with translated:
        counts = [
            await database.current(name).count_documents({"method": {"$ne": "DELETE"}}) for name in resource_types
        ]
    return sum(counts)


async def reindex_batch(
    resources: ResourceStore,
    resource_type: str,
    index: Index,
    *,
    after: str = "",
    limit: int = BATCH,
    retry: bool = False,
    among: Document | None = None,
) -> Batch | None:
    """Index the next resources of the type whose ids come after `after`; None where there are no more.

    All of them, or those that meet the filter `among`.

    One that cannot be indexed keeps the index that it has and bears a mark; if it took more than a second of processor
    time, it is then passed over unless `retry`. A resource that is written meanwhile is left to its writer, so
    whoever writes must index in the new way before this begins.
    """
    collection = resources.database.current(resource_type)
    condition: Document = {"_id": {"$gt": after}, "method": {"$ne": "DELETE"}, **(among or {})}
    with translated:
        documents = await collection.find(condition, {**PROJECTION, UNINDEXED: 1}).sort("_id", 1).limit(limit).to_list()
    if not documents:
        return None
    made = [await _change(resources, resource_type, index, document, retry=retry) for document in documents]
    await _write(collection, made)
    await note_silent_change(resources.database, resource_type)
    failed = sum(each.failed for each in made)
    return Batch(documents[-1]["_id"], len(documents) - failed, failed)


@dataclass(frozen=True, slots=True)
class _Made:
    """What becomes of one version: the change to its document, if any."""

    id: str
    version: int
    change: Document | None
    failed: bool


async def _write(collection: AsyncCollection[Document], made: Sequence[_Made]) -> None:
    changes = [UpdateOne({"_id": each.id, "version": each.version}, each.change) for each in made if each.change]
    if changes:
        with translated:
            await collection.bulk_write(changes, ordered=False)


async def _change(
    resources: ResourceStore, resource_type: str, index: Index, document: Document, *, retry: bool
) -> _Made:
    resource_id, number = document["_id"], document["version"]
    if document.get(UNINDEXED) == OutOfBudget.__name__ and not retry:
        return _Made(resource_id, number, None, failed=True)
    version = await resources.version(resource_type, resource_id, document)
    try:
        with working(Budget(_SECONDS, caller="reindex")):
            entries = await apart(lambda: index(values.decode(version.json)))
    except Exception as error:  # one resource that cannot be indexed must not keep the others from it
        kind = type(error).__name__
        log.error("reindex.failed", resource=f"{resource_type}/{resource_id}", kind=kind)
        return _Made(resource_id, number, {"$set": {UNINDEXED: kind}}, failed=True)
    cipher = resources.database.cipher
    sealing = None if cipher is None else cipher.resources(resource_type)
    stored = entries if sealing is None else {**entries, **sealing.index_entry(entries, resource_id, number)}
    return _Made(resource_id, number, to_index_change(stored), failed=False)
