"""Removing resources for good: every version, wherever it is kept. Nothing else in the server forgets.

The content beyond documents goes first, then the current version, then the earlier ones: a writer who meanwhile copies
a version into history either finds none to copy, or has made the copy before history is cleared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from fhir_server.search.planner.filters import to_filter
from fhir_server.search.query.conditions import Condition
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.resources.documents import of_earlier
from fhir_server.store.resources.resources import ResourceStore, Version
from fhir_server.store.resources.silent_changes import note_silent_change


class Eraser:
    """Finds what is to be removed, and removes it."""

    def __init__(self, resources: ResourceStore) -> None:
        self._resources = resources
        self._database = resources.database

    async def current(self, resource_type: str, where: Condition) -> list[Version]:
        """Return the current versions that meet a condition."""
        with translated:
            documents = await self._database.current(resource_type).find(to_filter(where)).to_list()
        return [await self._resources.version(resource_type, each["_id"], each) for each in documents]

    async def earlier(self, resource_type: str, where: Condition) -> list[Version]:
        """Return the earlier versions that meet a condition on current ones; no index helps with that."""
        with translated:
            documents = await self._database.history(resource_type).find(of_earlier(to_filter(where))).to_list()
        return [await self._resources.version(resource_type, each["id"], each) for each in documents]

    async def linking(self, resource_type: str, links: Iterable[str]) -> dict[str, set[str]]:
        """Return which resources of the type have, in any version, one of the stamped links; no index helps with it."""
        condition: Document = {"links": {"$in": sorted(links)}}
        ids: defaultdict[str, set[str]] = defaultdict(set)
        for collection in (self._database.current(resource_type), self._database.history(resource_type)):
            with translated:
                documents = await collection.find(condition, {"id": 1, "links": 1}).to_list()
            for document in documents:
                for link in document["links"]:
                    ids[link].add(f"{resource_type}/{document.get('id') or document['_id']}")
        return ids

    async def erase(self, resource_type: str, ids: Sequence[str]) -> None:
        """Remove every version of resources."""
        current, history = self._database.current(resource_type), self._database.history(resource_type)
        await self._discard(current, {"_id": {"$in": list(ids)}})
        await self._discard(history, {"id": {"$in": list(ids)}})
        with translated:
            await current.delete_many({"_id": {"$in": list(ids)}})
            await history.delete_many({"id": {"$in": list(ids)}})
        await note_silent_change(self._database, resource_type)

    async def erase_version(self, resource_type: str, resource_id: str, version: int) -> None:
        """Remove one earlier version."""
        condition: Document = {"_id": f"{resource_id}/{version}"}
        history = self._database.history(resource_type)
        await self._discard(history, condition)
        with translated:
            await history.delete_one(condition)

    async def erase_earlier(self, resource_type: str, where: Condition) -> None:
        """Remove the earlier versions that meet a condition on current ones."""
        condition = of_earlier(to_filter(where))
        history = self._database.history(resource_type)
        await self._discard(history, condition)
        with translated:
            await history.delete_many(condition)

    async def _discard(self, collection: Any, condition: Document) -> None:
        with translated:
            named = await collection.find({"$and": [condition, {"blob": {"$exists": True}}]}, {"blob": 1}).to_list()
        for document in named:
            await self._resources.blobs.discard(document)
