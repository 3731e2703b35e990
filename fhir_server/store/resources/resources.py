"""The versions of resources: reading one, and storing the next.

The current version of a resource is a document of the type's collection, earlier ones are in its history. The order of
writes, not a transaction, keeps an update whole: the old version is durable in history before the new one replaces it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.read_concern import ReadConcern

from fhir_server.errors import Conflict
from fhir_server.search.planner.filters import filter_of
from fhir_server.search.query.conditions import Condition
from fhir_server.store.database.command_batcher import CommandBatcher
from fhir_server.store.database.encoding import Document, encode, with_long_integers
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database, Session
from fhir_server.store.database.time_limit import in_cursor, limited
from fhir_server.store.replacements import Replacement, copy_into_history, replace_each
from fhir_server.store.resources.blobs import BlobStore
from fhir_server.store.resources.documents import (
    PROJECTION,
    Draft,
    Version,
    to_change,
    to_document,
    to_version,
)
from fhir_server.store.resources.matches import KeyCriteria, find_matches
from fhir_server.store.resources.version_reads import find_version, find_versions
from fhir_server.store.taken_keys import DUPLICATE_KEY, AlreadyExists, Claimed, taken_key

__all__ = ["PROJECTION", "AlreadyExists", "Claimed", "Draft", "ResourceStore", "Session", "Version"]

R = TypeVar("R")
T = TypeVar("T", bound=Mapping[str, Any])


class ResourceStore:
    """Reads and stores versions of resources."""

    def __init__(self, database: Database, blob_threshold: int = 4 * 1024 * 1024) -> None:
        self.database = database
        self.blobs = BlobStore(database)
        self._blob_threshold = blob_threshold
        self._reads = CommandBatcher(self._read_together)
        self._version_reads = CommandBatcher(self._read_versions_together)
        self._inserts = CommandBatcher(self._insert_together)
        self._copies = CommandBatcher(self._copy_together)
        self._replacements = CommandBatcher(self._replace_together)
        self._confirmations = CommandBatcher(self._confirm_together)
        self._matches = CommandBatcher(self._match_together)

    async def read(
        self,
        resource_type: str,
        resource_id: str,
        *,
        where: Condition | None = None,
        session: Session | None = None,
    ) -> Version | None:
        """Return the current version, maybe a tombstone; None where there is none, or none that meets `where`."""
        if where is None and session is None:
            document = await self._reads.ask(resource_type, resource_id)
        else:
            condition = {"$and": [{"_id": resource_id}, filter_of(where)]}
            with translated, limited() as limit:
                current = self.database.current(resource_type)
                document = await current.find_one(condition, PROJECTION, session=session, **in_cursor(limit))
        return None if document is None else await self.version(resource_type, resource_id, document)

    async def read_many(
        self, resource_type: str, resource_ids: Sequence[str], session: Session | None = None
    ) -> dict[str, Version]:
        """Return the current versions, tombstones among them, of those ids that were ever used."""
        condition = {"_id": {"$in": list(resource_ids)}}
        with translated, limited() as limit:
            current = self.database.current(resource_type)
            documents = await current.find(condition, PROJECTION, session=session, **in_cursor(limit)).to_list()
        return {document["_id"]: await self.version(resource_type, document["_id"], document) for document in documents}

    async def among(
        self,
        resource_type: str,
        resource_ids: Sequence[str],
        where: Condition,
        session: Session | None = None,
    ) -> set[str]:
        """Return those of the ids whose current version meets a condition."""
        condition = {"$and": [{"_id": {"$in": list(resource_ids)}}, filter_of(where)]}
        with translated, limited() as limit:
            current = self.database.current(resource_type)
            documents = await current.find(condition, {"_id": 1}, session=session, **in_cursor(limit)).to_list()
        return {document["_id"] for document in documents}

    async def matches(
        self,
        resource_type: str,
        criteria: Sequence[KeyCriteria],
        *,
        where: Condition | None = None,
        session: Session | None = None,
    ) -> list[list[Version] | None]:
        """Return for each of the criteria at most two resources that meet them; None where too much has the keys.

        Outside a transaction these are versions that a majority has as the current ones, so they may be acknowledged.
        """
        if len(criteria) == 1 and where is None and session is None:
            documents_by_criteria = [await self._matches.ask(resource_type, criteria[0])]
        else:
            with translated:
                documents_by_criteria = await find_matches(self.database, resource_type, criteria, where, session)
        return [
            None
            if documents is None
            else [await self.version(resource_type, document["_id"], document) for document in documents]
            for documents in documents_by_criteria
        ]

    async def read_version(
        self,
        resource_type: str,
        resource_id: str,
        version: int,
        *,
        where: Condition | None = None,
        session: Session | None = None,
    ) -> Version | None:
        """Return that version, current or earlier; None where there is none, or none that meets `where`.

        An earlier version must meet it, and the current one too: what a correction has taken from a caller stays taken.
        """
        if where is None and session is None:
            document = await self._version_reads.ask(resource_type, (resource_id, version))
        else:
            document = await self.find_version(
                resource_type, resource_id, version, where=where, projection=PROJECTION, session=session
            )
        return None if document is None else await self.version(resource_type, resource_id, document)

    async def read_versions(
        self, resource_type: str, places: Sequence[tuple[str, int]]
    ) -> dict[tuple[str, int], Version]:
        """Return those of the versions, each an id and a number, that there are, current or earlier."""
        documents = await find_versions(self.database, resource_type, places)
        return {key: await self.version(resource_type, key[0], documents[key]) for key in places if key in documents}

    async def find_version(
        self,
        resource_type: str,
        resource_id: str,
        version: int,
        *,
        where: Condition | None,
        projection: Mapping[str, int],
        session: Session | None = None,
    ) -> Document | None:
        """Return the fields of a version that the projection names, as `read_version` finds it."""
        return await find_version(
            self.database, resource_type, resource_id, version, where=where, projection=projection, session=session
        )

    async def insert(self, draft: Draft, session: Session | None = None) -> None:
        """Store the first version of a resource.

        Raises AlreadyExists when the id is used or the condition has a holder; within a transaction, that ends it.
        """
        await self._ready(draft.type, session)
        document = await self._document(draft)
        try:
            if session is None:
                with translated:
                    encoded = encode(document)
                await self._inserts.ask(draft.type, encoded)
            else:
                collection = self.database.current(draft.type)
                await _stored(lambda stored: collection.insert_one(stored, session=session), document)
        except (AlreadyExists, Claimed):  # for certain not stored, unlike after a lost connection
            await self.blobs.discard(document)
            raise

    async def insert_many(self, drafts: Sequence[Draft], session: Session | None = None) -> None:
        """Store the first versions of resources of one type; raises AlreadyExists, which ends a transaction.

        Outside a transaction those before the refused one are stored.
        """
        if not drafts:
            return
        await self._ready(drafts[0].type, session)
        documents = [await self._document(draft) for draft in drafts]
        collection = self.database.current(drafts[0].type)
        await _stored(lambda stored: collection.insert_many(stored, session=session), documents)

    async def insert_new(self, drafts: Sequence[Draft]) -> None:
        """Store the first versions of resources of one type; those whose id is used already are left as they are."""
        if not drafts:
            return
        await self._ready(drafts[0].type, None)
        documents = [await self._document(draft) for draft in drafts]
        with translated:
            outcome = await self._insert_each(self.database.current(drafts[0].type), documents)
        for document, error in zip(documents, outcome, strict=True):
            if error is not None:
                await self.blobs.discard(document)

    async def replace(self, draft: Draft, previous: Version, session: Session | None = None) -> bool:
        """Store the version that follows `previous`; return False when that is no longer the current one."""
        if session is not None:
            return await self._replace([(draft, previous)], session) == 1
        await self._ready(draft.type, None)
        await self._copies.ask(draft.type, [previous])
        document = await self._document(draft)
        try:
            with translated:
                change = encode(to_change(document))
            stored = await self._replacements.ask(draft.type, Replacement(previous, draft, change))
        except (AlreadyExists, Claimed):
            await self.blobs.discard(document)
            raise
        if not stored:
            await self.blobs.discard(document)
        return stored

    async def replace_many(self, pairs: Sequence[tuple[Draft, Version]], session: Session | None = None) -> None:
        """Store the versions, all of one type, that follow others.

        Raises Conflict when one of those is no longer current; outside a transaction the rest is stored nevertheless.
        """
        if pairs and await self._replace(pairs, session) < len(pairs):
            raise Conflict("A resource was changed by somebody else in the meantime; try again.")

    async def confirmed(self, version: Version) -> bool:
        """Return whether a majority has that version as the current one: only then may it be acknowledged.

        Another writer may not have heard yet whether its write will stay. Then this waits until all that could be read
        has a majority, so that the caller can read again, or raises Unavailable where there is none.
        """
        if await self._confirmations.ask(version.type, version):
            return True
        await self.database.wait_for_majority()
        return False

    async def holder(self, resource_type: str, condition: str) -> tuple[str, int] | None:
        """Return id and version of the resource that was made under a condition, whether or not a majority has it."""
        with translated:
            document = await self.database.current(resource_type).find_one({"conditions": condition}, {"version": 1})
        return None if document is None else (document["_id"], document["version"])

    async def release_conditions(
        self,
        resource_type: str,
        conditions: Sequence[str],
        session: Session | None = None,
        *,
        holder: tuple[str, int] | None = None,
    ) -> None:
        """Take the conditions of conditional creates from their holders, so that others can be made under them.

        With `holder` only from that version: another may have taken the condition, or changed, since it was looked at.
        """
        condition: Document = {"conditions": {"$in": list(conditions)}}
        if holder is not None:
            condition |= {"_id": holder[0], "version": holder[1]}
        # Unset and not pulled: the unique index would count two empty lists as equal.
        with translated:
            await self.database.current(resource_type).update_many(
                condition, {"$unset": {"conditions": ""}}, session=session
            )

    async def version(self, resource_type: str, resource_id: str, document: Mapping[str, Any]) -> Version:
        """Return the version that a document fetched with PROJECTION tells of, with its bytes wherever they are."""
        blob = document.get("blob")
        json = document.get("json", b"") if blob is None else await self.blobs.read(blob)
        return to_version(resource_type, resource_id, document, json)

    async def _ready(self, resource_type: str, session: Session | None) -> None:
        if session is None:
            await self.database.ensure((resource_type,))
        else:
            self.database.require_ensured(resource_type)

    async def placed(self, collection: str, resource_id: str, version: int, json: bytes) -> Document:
        """Return the fields that hold the bytes of a version, or name the blob that holds them where they are many."""
        if len(json) > self._blob_threshold:
            return {"blob": await self.blobs.write(collection, resource_id, version, json)}
        return {"json": json}

    async def _document(self, draft: Draft) -> Document:
        blob = None
        if len(draft.json) > self._blob_threshold:
            blob = await self.blobs.write(draft.type, draft.id, draft.version, draft.json)
        document = to_document(draft, blob)
        cipher = self.database.cipher
        sealing = None if cipher is None else cipher.resources(draft.type)
        return document if sealing is None else sealing.version(document, draft.id, draft.version)

    def condition_as_stored(self, condition: str) -> str:
        """Return the criteria of a conditional create as AlreadyExists names them."""
        cipher = self.database.cipher
        return condition if cipher is None else cipher.ring.blind.condition(condition)

    async def _read_together(self, resource_type: str, resource_ids: list[str]) -> list[Document | None]:
        collection = self.database.current(resource_type)
        with translated, limited() as limit:
            if len(resource_ids) == 1:
                return [await collection.find_one({"_id": resource_ids[0]}, PROJECTION, **in_cursor(limit))]
            condition = {"_id": {"$in": list(set(resource_ids))}}
            documents = await collection.find(condition, PROJECTION, **in_cursor(limit)).to_list()
        by_id = {document["_id"]: document for document in documents}
        return [by_id.get(resource_id) for resource_id in resource_ids]

    async def _read_versions_together(self, resource_type: str, places: list[tuple[str, int]]) -> list[Document | None]:
        documents = await find_versions(self.database, resource_type, places)
        return [documents.get(each) for each in places]

    async def _insert_together(self, resource_type: str, encoded: list[RawBSONDocument]) -> list[Exception | None]:
        collection = self.database.raw_documents(resource_type)
        if len(encoded) == 1:
            await _stored(collection.insert_one, encoded[0])
            return [None]
        with translated:
            return await self._insert_each(collection, encoded)

    async def _insert_each(self, collection: AsyncCollection[T], documents: Sequence[T]) -> list[Exception | None]:
        """Insert documents independently of each other; return for each why it was refused, if a key was taken."""
        outcome: list[Exception | None] = [None] * len(documents)
        try:
            await collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            faults = error.details.get("writeErrors", [])
            if error.details.get("writeConcernErrors") or any(fault["code"] != DUPLICATE_KEY for fault in faults):
                raise
            for fault in faults:
                outcome[fault["index"]] = taken_key(fault)
        return outcome

    async def _replace(self, pairs: Sequence[tuple[Draft, Version]], session: Session | None) -> int:
        """Store the drafts and return how many of their predecessors were current."""
        resource_type = pairs[0][0].type
        await self._ready(resource_type, session)
        await self._copies.ask(resource_type, [previous for _, previous in pairs])
        documents = [await self._document(draft) for draft, _ in pairs]
        current = [{"_id": previous.id, "version": previous.version} for _, previous in pairs]
        collection = self.database.current(resource_type)

        async def write(changes: list[Document]) -> int:
            if len(changes) == 1:
                return (await collection.update_one(current[0], changes[0], session=session)).matched_count
            bulk = [UpdateOne(condition, change) for condition, change in zip(current, changes, strict=True)]
            return (await collection.bulk_write(bulk, session=session)).matched_count

        return await _stored(write, [to_change(document) for document in documents])

    async def _replace_together(self, resource_type: str, replacements: list[Replacement]) -> list[bool | Exception]:
        with translated:
            return await replace_each(self.database, resource_type, replacements)

    async def _match_together(self, resource_type: str, criteria: list[KeyCriteria]) -> list[list[Document] | None]:
        with translated:
            return await find_matches(self.database, resource_type, criteria, None, None)

    async def _confirm_together(self, resource_type: str, versions: list[Version]) -> list[bool]:
        collection = self.database.current(resource_type).with_options(read_concern=ReadConcern("majority"))
        ids = list({version.id for version in versions})
        with translated:
            documents = await collection.find({"_id": {"$in": ids}}, {"version": 1, "updated": 1}).to_list()
        safe = {(document["_id"], document["version"], document["updated"]) for document in documents}
        return [(version.id, version.version, version.updated) in safe for version in versions]

    async def _copy_together(self, resource_type: str, copies: list[Sequence[Version]]) -> list[None]:
        with translated:
            await copy_into_history(self.database, resource_type, [version for each in copies for version in each])
        return [None] * len(copies)


async def _stored(write: Callable[[Any], Awaitable[R]], documents: Any) -> R:
    """Return the result of writing the documents; raises AlreadyExists or Claimed for a key that is taken."""
    with translated:
        try:
            try:
                return await write(documents)
            except OverflowError:
                return await write(with_long_integers(documents))
        except DuplicateKeyError as error:
            raise taken_key(error.details or {}) from error
        except BulkWriteError as error:
            fault = (error.details.get("writeErrors") or [{}])[0]
            if fault.get("code") != DUPLICATE_KEY:
                raise
            raise taken_key(fault) from error
