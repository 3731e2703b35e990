"""A collection of an encrypted database: what goes in is sealed, what is asked is made blind, what comes out is opened.

It is the driver's own collection in all else. Only what the stores use is there; the rest raises, so that nothing is
written in clear by a way that nobody thought of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.command_cursor import AsyncCommandCursor
from pymongo.asynchronous.cursor import AsyncCursor

from fhir_server.store.encryption.sealed_documents import Opener, SealedDocuments

Document = dict[str, Any]


class SealedCursor(AsyncCursor[Document]):
    """A cursor whose documents are opened."""

    opened: Opener

    async def next(self) -> Document:
        """Return the next document."""
        return self.opened(await super().next())  # type: ignore[no-any-return]

    async def to_list(self, length: int | None = None) -> list[Document]:
        """Return the documents that are left."""
        return [self.opened(each) for each in await super().to_list(length)]


class SealedResults:
    """The results of a pipeline, opened."""

    def __init__(self, cursor: AsyncCommandCursor[Document], opened: Opener) -> None:
        self._cursor = cursor
        self._opened = opened

    def __aiter__(self) -> SealedResults:
        return self

    async def __anext__(self) -> Document:
        return self._opened(await self._cursor.next())  # type: ignore[no-any-return]

    async def to_list(self, length: int | None = None) -> list[Document]:
        """Return the documents that are left."""
        return [self._opened(each) for each in await self._cursor.to_list(length)]

    async def __aenter__(self) -> SealedResults:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._cursor.close()


class SealedCollection(AsyncCollection[Document]):
    """The collection; `documents` seals and opens what is in it."""

    _sealed: SealedDocuments

    @classmethod
    def over(cls, collection: AsyncCollection[Document], documents: SealedDocuments) -> SealedCollection:
        """Return a collection of the driver as one of sealed documents."""
        sealed = cls(
            collection.database,
            collection.name,
            codec_options=collection.codec_options,
            read_preference=collection.read_preference,
            write_concern=collection.write_concern,
            read_concern=collection.read_concern,
        )
        sealed._sealed = documents
        return sealed

    def with_options(self, *args: Any, **options: Any) -> Any:
        """Return the collection with other options."""
        return SealedCollection.over(super().with_options(*args, **options), self._sealed)

    # --- Reading -------------------------------------------------------------------------------------------------

    def find(self, filter: Any = None, projection: Any = None, *args: Any, **options: Any) -> SealedCursor:
        """Return the documents that meet a condition."""
        sealed = self._sealed
        cursor = SealedCursor(self, sealed.filter(filter), sealed.projection(projection), *args, **options)
        cursor.opened = sealed.opened
        return cursor

    async def aggregate(self, pipeline: Any, *args: Any, **options: Any) -> Any:
        """Return what a pipeline makes."""
        cursor = await super().aggregate(self._sealed.pipeline(pipeline), *args, **options)
        return SealedResults(cursor, self._sealed.opened)

    async def count_documents(self, filter: Any, *args: Any, **options: Any) -> int:
        """Return how many documents meet a condition."""
        return await super().count_documents(self._sealed.filter(filter), *args, **options)

    async def distinct(self, *args: Any, **options: Any) -> Any:
        """Raise: nothing asks for distinct values."""
        raise TypeError("Distinct values of a sealed collection cannot be asked for.")

    # --- Writing -------------------------------------------------------------------------------------------------

    async def insert_one(self, document: Any, *args: Any, **options: Any) -> Any:
        """Store a document."""
        return await super().insert_one(self._sealed.document(document), *args, **options)

    async def insert_many(self, documents: Any, *args: Any, **options: Any) -> Any:
        """Store documents."""
        return await super().insert_many([self._sealed.document(each) for each in documents], *args, **options)

    async def replace_one(self, filter: Any, replacement: Any, upsert: bool = False, *args: Any, **options: Any) -> Any:
        """Put a document in the place of the one that meets a condition."""
        written = self._replacement(filter, replacement)
        return await super().replace_one(self._sealed.filter(filter), written, upsert, *args, **options)

    async def update_one(self, filter: Any, update: Any, upsert: bool = False, *args: Any, **options: Any) -> Any:
        """Change the document that meets a condition."""
        change = self._sealed.update(update, filter, upsert=upsert)
        return await super().update_one(self._sealed.filter(filter), change, upsert, *args, **options)

    async def update_many(self, filter: Any, update: Any, upsert: bool = False, *args: Any, **options: Any) -> Any:
        """Change the documents that meet a condition."""
        change = self._sealed.update(update, filter, upsert=upsert)
        return await super().update_many(self._sealed.filter(filter), change, upsert, *args, **options)

    async def delete_one(self, filter: Any, *args: Any, **options: Any) -> Any:
        """Remove the document that meets a condition."""
        return await super().delete_one(self._sealed.filter(filter), *args, **options)

    async def delete_many(self, filter: Any, *args: Any, **options: Any) -> Any:
        """Remove the documents that meet a condition."""
        return await super().delete_many(self._sealed.filter(filter), *args, **options)

    async def find_one_and_update(self, filter: Any, update: Any, *args: Any, **options: Any) -> Any:
        """Change the document that meets a condition, and return it."""
        sealed = self._sealed
        change = sealed.update(update, filter, upsert=options.get("upsert", False))
        return sealed.opened(await super().find_one_and_update(sealed.filter(filter), change, *args, **options))

    async def find_one_and_delete(self, filter: Any, *args: Any, **options: Any) -> Any:
        """Remove the document that meets a condition, and return it."""
        return self._sealed.opened(await super().find_one_and_delete(self._sealed.filter(filter), *args, **options))

    async def bulk_write(self, requests: Any, *args: Any, **options: Any) -> Any:
        """Do several writes."""
        return await super().bulk_write([self._request(each) for each in requests], *args, **options)

    def _request(self, request: Any) -> Any:
        sealed = self._sealed
        match request:
            case InsertOne():
                return InsertOne(sealed.document(request._doc))
            case ReplaceOne():
                written = self._replacement(request._filter, request._doc)
                return ReplaceOne(sealed.filter(request._filter), written, bool(request._upsert))
            case UpdateOne() | UpdateMany():
                upsert = bool(request._upsert)
                change = sealed.update(request._doc, request._filter, upsert=upsert)
                return type(request)(sealed.filter(request._filter), change, upsert)
            case DeleteOne() | DeleteMany():
                return type(request)(sealed.filter(request._filter))
        raise TypeError(f"{type(request).__name__} has no place in a sealed collection.")

    def _replacement(self, filter: Any, replacement: Any) -> Any:
        if not isinstance(replacement, Mapping) or "_id" in replacement or "_id" not in filter:
            return self._sealed.document(replacement)
        return self._sealed.document({"_id": filter["_id"], **replacement})
