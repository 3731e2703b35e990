"""Reindexing reaches every live resource once, can be resumed, and overwrites no newer version's index."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.store.database.mongo import Database
from fhir_server.store.resources import reindexing
from fhir_server.store.resources.reindexing import Batch, count, reindex_batch
from fhir_server.store.resources.resources import ResourceStore
from tests.store.drafts import draft, tombstone


@pytest.fixture
def store(database: Database) -> ResourceStore:
    return ResourceStore(database, blob_threshold=1000)


def new_index(resource: Any) -> dict[str, Any]:
    """Return an index entry that no draft has, and nothing else."""
    return {"keys": [f"new={resource['id']}"]}


async def reindex(store: ResourceStore, after: str = "") -> list[Batch]:
    """Index all Patients beyond an id, two at a time."""
    batches: list[Batch] = []
    while batch := await reindex_batch(store, "Patient", new_index, after=after, limit=2):
        batches.append(batch)
        after = batch.last
    return batches


async def keys(store: ResourceStore) -> dict[str, Any]:
    """Return the keys of all Patients by id."""
    return {result["_id"]: result.get("keys") async for result in store.database.current("Patient").find()}


async def test_every_live_resource_is_indexed_anew(store: ResourceStore) -> None:
    """Small and large resources get the new index in full, tombstones none, and fields the new index lacks are gone."""
    for name in ("1", "2", "3"):
        await store.insert(draft(name, data="x" * 2000 if name == "2" else "x"))
    deleted = await store.read("Patient", "3")
    assert deleted is not None
    assert await store.replace(tombstone(deleted), deleted)
    assert await reindex(store) == [Batch("2", 2, 0)]
    assert await keys(store) == {"1": ["new=1"], "2": ["new=2"], "3": None}
    assert await store.database.current("Patient").count_documents({"shape": {"$exists": True}}) == 0


async def test_it_resumes_after_the_last_id(store: ResourceStore) -> None:
    """Each batch tells where to go on; what came before is not touched again."""
    await store.insert_many([draft(name) for name in ("1", "2", "3", "4", "5")])
    assert await reindex(store, after="2") == [Batch("4", 2, 0), Batch("5", 1, 0)]
    result = await keys(store)
    assert [name for name in result if result[name] == [f"new={name}"]] == ["3", "4", "5"]


async def test_newer_version_keeps_its_own_index(store: ResourceStore) -> None:
    """A resource that is written while its old version is being indexed keeps the writer's index."""
    await store.insert(draft())
    first = await store.read("Patient", "1")
    assert first is not None
    document = await store.database.current("Patient").find_one({"_id": "1"})
    assert document is not None
    made = await reindexing._change(store, "Patient", new_index, document, retry=False)
    assert await store.replace(draft(previous=first), first)
    await reindexing._write(store.database.current("Patient"), [made])
    assert await keys(store) == {"1": ["*", "id=1"]}


async def test_what_cannot_be_indexed_keeps_nothing_else_from_it(store: ResourceStore) -> None:
    """A resource on which indexing fails is counted, keeps the index it has, and the others get theirs."""

    def failing(resource: Any) -> dict[str, Any]:
        if resource["id"] == "2":
            raise ZeroDivisionError
        return new_index(resource)

    await store.insert_many([draft(name) for name in ("1", "2", "3")])
    assert await reindex_batch(store, "Patient", failing) == Batch("3", 2, 1)
    assert await keys(store) == {"1": ["new=1"], "2": ["*", "id=2"], "3": ["new=3"]}


async def test_resources_are_counted_without_the_deleted(store: ResourceStore) -> None:
    """What there is to index are the live resources of all types asked for."""
    await store.insert_many([draft("1"), draft("2")])
    gone = await store.read("Patient", "2")
    assert gone is not None
    assert await store.replace(tombstone(gone), gone)
    assert await count(store.database, ["Patient", "Observation"]) == 1
