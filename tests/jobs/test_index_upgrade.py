"""What an earlier release has indexed is indexed anew, by itself, once no process of that release writes any more."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.engine.context import Services
from fhir_server.jobs import index_upgrade
from fhir_server.search.index.index import INDEX_VERSION
from fhir_server.store.resources import documents, index_versions
from fhir_server.store.resources.index_versions import count_older, outdated
from fhir_server.store.resources.resources import ResourceStore
from fhir_server.store.search.parameters import Progress
from tests.client import BASE
from tests.store.drafts import draft, tombstone


async def _stored(services: Services, *names: str) -> None:
    for name in names:
        await services.resources.insert(draft(name))


async def _older(services: Services) -> int:
    return await count_older(services.database, await outdated(services.database))


async def _upgrade(services: Services) -> None:
    await index_upgrade.upgrade(services, BASE)


def _next_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process index as the next release would."""
    for module in (documents, index_versions, index_upgrade):
        monkeypatch.setattr(module, "INDEX_VERSION", INDEX_VERSION + 1)
    for module in (index_versions, index_upgrade):
        monkeypatch.setattr(module, "OLDER", index_versions.OLDER | {documents.INDEXED: {"$ne": INDEX_VERSION + 1}})


async def _keys(resources: ResourceStore) -> dict[str, Any]:
    return {each["_id"]: each.get("keys") async for each in resources.database.current("Patient").find()}


async def test_what_is_older_is_indexed_anew(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that an earlier release left, and nothing else; afterwards nobody looks for it again."""
    await _stored(services, "1", "2", "3", "gone")
    deleted = await services.resources.read("Patient", "gone")
    assert deleted is not None
    assert await services.resources.replace(tombstone(deleted), deleted)
    await services.database.current("Patient").update_many({"_id": {"$in": ["1", "2"]}}, {"$set": {"keys": ["stale"]}})
    await _upgrade(services)
    assert (await _keys(services.resources))["1"] == ["stale"], "it is of this release"
    assert await outdated(services.database) == []
    _next_release(monkeypatch)
    await _stored(services, "4")
    await services.database.current("Patient").update_one({"_id": "4"}, {"$set": {"keys": ["newer"]}})
    assert await _older(services) == 3
    await _upgrade(services)
    assert await _older(services) == 0
    assert await outdated(services.database) == []
    keys = await _keys(services.resources)
    assert all("*" in keys[name] for name in "123")
    assert keys["4"] == ["newer"]


async def test_what_has_no_version_at_all_is_older(services: Services) -> None:
    """Resources stored before versions were kept."""
    await _stored(services, "1")
    await services.database.current("Patient").update_one({"_id": "1"}, {"$unset": {documents.INDEXED: ""}})
    assert await _older(services) == 1
    await _upgrade(services)
    assert await _older(services) == 0


async def test_it_waits_for_workers_of_an_earlier_release(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would write an older index into a collection that is called current."""
    await _stored(services, "1")
    store = services.following.store
    await store.announce("old", Progress(0, 0), {"base_url": BASE})
    _next_release(monkeypatch)
    await _upgrade(services)
    assert await _older(services) == 1
    await store.announce("old", Progress(0, 0), {"base_url": BASE, "index": INDEX_VERSION + 1})
    await _upgrade(services)
    assert await _older(services) == 0


async def test_one_that_cannot_be_indexed_does_not_keep_the_others(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It bears its mark, and the collection is done with."""
    await _stored(services, "1", "2")
    real = index_upgrade.index

    def index(resource: dict[str, Any], **more: Any) -> dict[str, Any]:
        if resource["id"] == "1":
            raise ValueError("odd")
        return real(resource, **more)

    monkeypatch.setattr(index_upgrade, "index", index)
    _next_release(monkeypatch)
    await _upgrade(services)
    assert await outdated(services.database) == []
    marked = services.database.current("Patient").find({"unindexed": "ValueError"})
    assert [each["_id"] async for each in marked] == ["1"]
