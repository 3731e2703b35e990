"""The definitions themselves: reading, finding by canonical URL, bringing in and taking out those of a package.

Those of a package are gathered first (`stage`), and then put in their place by the database itself (`publish`), so that
an installation that is broken off leaves nothing that can be seen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from fhir_server.search.index.index import INDEX_VERSION
from fhir_server.search.planner.filters import filter_of
from fhir_server.search.query.conditions import Condition
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import CURRENT_INDEXES, Database, Session
from fhir_server.store.database.mongo import Collection as MongoCollection
from fhir_server.store.database.time_limit import in_cursor, limited
from fhir_server.store.resources.collections import collection_of
from fhir_server.store.resources.documents import INDEXED, PROJECTION
from fhir_server.store.resources.resources import ResourceStore, Version

CORE_PACKAGE = "hl7.fhir.r4.core#4.0.1"
"""The package that R4's own definitions are said to be from."""
_STAGED = "definitions_staged"
_BATCH = 100
_DUPLICATE = 11000
_FIELDS = {**PROJECTION, "package": 1}
_HAS_FILE: Document = {"file": {"$exists": True}}
_INDEXES: list[Document] = [
    *(each for each in CURRENT_INDEXES if each["name"] != "conditions"),
    {"name": "package", "key": {"package": 1}},
]


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition to be kept: `index` is what the search index has of it, `json` what a read of it sends."""

    type: str
    id: str
    version: int
    updated: datetime
    json: bytes
    index: Mapping[str, Any]
    package: str


@dataclass(frozen=True, slots=True)
class Defined:
    """A definition that was found, and the package that it belongs to ("hl7.fhir.uv.ips#2.0.0")."""

    version: Version
    package: str


class DefinitionStore:
    """Reads and keeps definitions."""

    def __init__(self, database: Database, resources: ResourceStore) -> None:
        self._database = database
        self._resources = resources

    async def read(
        self,
        resource_type: str,
        resource_id: str,
        where: Condition | None = None,
        session: Session | None = None,
    ) -> Defined | None:
        """Return the definition with an id, None where there is none that meets `where`."""
        condition: Document = {"$and": [{"_id": resource_id}, filter_of(where)]}
        with translated, limited() as limit:
            document = await self._collection(resource_type).find_one(
                condition, _FIELDS, session=session, **in_cursor(limit)
            )
        return None if document is None else await self._defined(resource_type, document)

    async def has_any(self, resource_type: str) -> bool:
        """Return whether there are definitions of a type."""
        with translated:
            return await self._collection(resource_type).find_one({}, {"_id": 1}) is not None

    async def ids(self, resource_type: str, ids: Collection[str]) -> set[str]:
        """Return those of the ids that definitions have."""
        with translated:
            documents = await self._collection(resource_type).find({"_id": {"$in": list(ids)}}, {"_id": 1}).to_list()
        return {each["_id"] for each in documents}

    async def of_package(self, resource_type: str, package: str) -> AsyncIterator[Version]:
        """Yield the definitions of a type that a package has brought, in the order of their ids."""
        with translated:
            documents = (
                await self._collection(resource_type).find({"package": package}, PROJECTION).sort("_id", 1).to_list()
            )
        for document in documents:
            yield await self._resources.version(collection_of(resource_type), document["_id"], document)

    async def stage(self, definitions: Sequence[Definition]) -> None:
        """Gather definitions of a package, which nobody sees yet; the same again replaces them."""
        staged = self._database.collection(_STAGED)
        for start in range(0, len(definitions), _BATCH):
            some = definitions[start : start + _BATCH]
            writes = [
                ReplaceOne(
                    {"_id": name}, {"package": each.package, "type": each.type, "document": document}, upsert=True
                )
                for each in some
                for name, document in [(f"{each.package}/{each.type}/{each.id}", await self._document(each))]
            ]
            with translated:
                await staged.bulk_write(writes, ordered=False)

    async def publish(self, package: str, types: Iterable[str]) -> None:
        """Put what was gathered of a package in its place; what has an id that is taken meanwhile stays out."""
        for name in types:
            await self._ensure(name)
            stages: list[Document] = [
                {"$match": {"package": package, "type": name}},
                {"$replaceRoot": {"newRoot": "$document"}},
                {"$merge": {"into": collection_of(name), "on": "_id", "whenMatched": "keepExisting"}},
            ]
            with translated:
                await (await self._database.collection(_STAGED).aggregate(stages)).to_list()
        await self.forget_staged(package)

    async def forget_staged(self, package: str) -> None:
        """Remove what was gathered of a package."""
        with translated:
            await self._database.collection(_STAGED).delete_many({"_id": {"$gte": f"{package}/", "$lt": f"{package}0"}})

    async def keep(self, resource_type: str, definitions: Sequence[Definition]) -> None:
        """Put definitions of a type in their place at once; those whose ids are taken are left as they are."""
        await self._ensure(resource_type)
        for start in range(0, len(definitions), _BATCH):
            documents = [await self._document(each) for each in definitions[start : start + _BATCH]]
            with translated:
                try:
                    await self._collection(resource_type).insert_many(documents, ordered=False)
                except BulkWriteError as error:
                    if any(each["code"] != _DUPLICATE for each in (error.details or {}).get("writeErrors", ())):
                        raise

    async def replace(self, definition: Definition, file: str) -> None:
        """Put a definition whose content is in a file in its place, or in the place of an earlier one of its id."""
        await self._ensure(definition.type)
        document = {**await self._document(definition), "file": file}
        with translated:
            await self._collection(definition.type).replace_one({"_id": definition.id}, document, upsert=True)

    async def with_files(self, resource_type: str) -> list[tuple[Version, str]]:
        """Return the definitions of a type whose content is in a file, with its name."""
        with translated:
            documents = await self._collection(resource_type).find(_HAS_FILE, {**PROJECTION, "file": 1}).to_list()
        place = collection_of(resource_type)
        return [(await self._resources.version(place, each["_id"], each), each["file"]) for each in documents]

    async def remove_one(self, resource_type: str, resource_id: str) -> None:
        """Remove a definition."""
        with translated:
            await self._collection(resource_type).delete_one({"_id": resource_id})

    async def remove_core(self, resource_type: str, ids: Collection[str], session: Session | None = None) -> None:
        """Remove those of R4's own definitions of a type that have one of the ids."""
        if ids:
            with translated:
                await self._collection(resource_type).delete_many(
                    {"_id": {"$in": list(ids)}, "package": CORE_PACKAGE}, session=session
                )

    async def remove(self, resource_type: str, package: str) -> int:
        """Remove the definitions of a type that a package has brought; return how many there were."""
        with translated:
            removed = await self._collection(resource_type).delete_many({"package": package})
        return int(removed.deleted_count)

    def _collection(self, resource_type: str) -> MongoCollection:
        return self._database.collection(collection_of(resource_type))

    async def _ensure(self, resource_type: str) -> None:
        with translated:
            await self._database.raw.command({"createIndexes": collection_of(resource_type), "indexes": _INDEXES})

    async def _defined(self, resource_type: str, document: Document) -> Defined:
        version = await self._resources.version(resource_type, document["_id"], document)
        return Defined(version, document["package"])

    async def _document(self, definition: Definition) -> Document:
        document: Document = {
            "_id": definition.id,
            "version": definition.version,
            "updated": definition.updated,
            "method": "PUT",
            "package": definition.package,
            INDEXED: INDEX_VERSION,
            **definition.index,
        }
        place = collection_of(definition.type)
        return document | await self._resources.placed(place, definition.id, definition.version, definition.json)
