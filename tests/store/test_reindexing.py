"""Reindexing reaches every live resource once, can be resumed, and overwrites no newer version's index."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.store import reindexing
from fhir_server.store.mongo import Database
from fhir_server.store.reindexing import reindex
from fhir_server.store.resources import ResourceStore
from tests.store.drafts import draft, tombstone


@pytest.fixture
def store(database: Database, monkeypatch: pytest.MonkeyPatch) -> ResourceStore:
    monkeypatch.setattr(reindexing, "BATCH", 2)
    return ResourceStore(database, blob_threshold=1000)


def new_index(resource: Any) -> dict[str, Any]:
    """Return an index entry that no draft has, and nothing else."""
    return {"keys": [f"new={resource['id']}"]}


async def keys(store: ResourceStore) -> dict[str, Any]:
    """Return the keys of all Patients by id."""
    return {found["_id"]: found.get("keys") async for found in store.database.current("Patient").find()}


async def test_every_live_resource_is_indexed_anew(store: ResourceStore) -> None:
    """Small and large resources get the new index in full, tombstones none, and fields the new index lacks are gone."""
    for name in ("1", "2", "3"):
        await store.insert(draft(name, data="x" * 2000 if name == "2" else "x"))
    deleted = await store.read("Patient", "3")
    assert deleted is not None
    assert await store.replace(tombstone(deleted), deleted)
    assert [last async for last in reindex(store, "Patient", new_index)] == ["2"]
    assert await keys(store) == {"1": ["new=1"], "2": ["new=2"], "3": None}
    assert await store.database.current("Patient").count_documents({"shape": {"$exists": True}}) == 0


async def test_it_resumes_after_the_last_id(store: ResourceStore) -> None:
    """Each batch tells where to go on; what came before is not touched again."""
    await store.insert_many([draft(name) for name in ("1", "2", "3", "4", "5")])
    assert [last async for last in reindex(store, "Patient", new_index, after="2")] == ["4", "5"]
    found = await keys(store)
    assert [name for name in found if found[name] == [f"new={name}"]] == ["3", "4", "5"]


async def test_newer_version_keeps_its_own_index(store: ResourceStore) -> None:
    """A resource that is written while its old version is being indexed keeps the writer's index."""
    await store.insert(draft())
    first = await store.read("Patient", "1")
    assert first is not None
    document = await store.database.current("Patient").find_one({"_id": "1"})
    assert document is not None
    change = await reindexing._change(store, "Patient", new_index, document)
    assert await store.replace(draft(previous=first), first)
    await store.database.current("Patient").bulk_write([change])
    assert await keys(store) == {"1": ["*", "id=1"]}
