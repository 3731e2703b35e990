"""Bulk exports in the database: what was asked, how far each has come, and the files that were made.

An export is one document, replaced as a whole and only by who has read its latest edit, so that two workers never both
add the same part. Files lie compressed in GridFS; one that no export names is swept away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
from bson import ObjectId
from gridfs.asynchronous import AsyncGridFSBucket, AsyncGridIn
from gridfs.errors import NoFile

from fhir_server.errors import NotFound
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.mongo import Database, translated
from fhir_server.store.encryption.sealed_files import SealedFiles, SealingWriter

EXPORTS = "server_exports"
BUCKET = "exports"
CHUNK_BYTES = 1024 * 1024

Kind = Literal["output", "deleted", "error"]


class ExportFile(msgspec.Struct, frozen=True):
    """A file of an export: gzip-compressed NDJSON."""

    id: str
    type: str
    kind: Kind
    count: int
    compressed: int
    """Bytes as they are kept."""
    length: int
    """Bytes of the NDJSON."""
    view: str = ""
    """Names what the caller could see of the type; a download needs a token that sees as much."""


class Part(msgspec.Struct, frozen=True):
    """The export of one type: done up to the id `after`."""

    type: str
    after: str = ""
    done: bool = False


class Export(msgspec.Struct, frozen=True, kw_only=True, rename={"parameters": "asked"}):
    """A bulk export; `moment` is set when it begins, `finished` when it is done or has failed."""

    id: str
    owner: str
    """Who asked: nobody else learns of it."""
    url: str
    base_url: str
    parameters: dict[str, Any]
    token: dict[str, Any] | None
    """What the token of who asked stands for; None on an open server."""
    parts: tuple[Part, ...]
    files: tuple[ExportFile, ...] = ()
    created: datetime
    moment: datetime | None = None
    finished: datetime | None = None
    expires: datetime | None = None
    failure: str = ""
    attempts: int = 0
    """Failures one after another."""
    edit: int = 0
    resources: int = 0
    acted_for: tuple[str, ...] = ()
    """The patients whom who asked acted for when the files were made; they are given as long as that is so."""


class ExportStore:
    """Keeps exports and their files."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._exports = database.collection(EXPORTS)
        self._bucket = AsyncGridFSBucket(database.raw, bucket_name=BUCKET, chunk_size_bytes=CHUNK_BYTES)

    async def add(self, export: Export) -> None:
        """Store a new export."""
        with translated:
            await self._exports.insert_one(_document(export))

    async def find(self, export_id: str, owner: str) -> Export | None:
        """Return an export of the owner's."""
        with translated:
            document = await self._exports.find_one({"_id": export_id, "owner": owner})
        return None if document is None else _export(document)

    async def count_unfinished(self, owner: str) -> int:
        """Return how many exports of the owner are under way."""
        with translated:
            return await self._exports.count_documents({"owner": owner, "finished": None})

    async def unfinished(self) -> list[Export]:
        """Return the exports that are under way, the oldest first."""
        with translated:
            documents = await self._exports.find({"finished": None}).sort("created", 1).to_list()
        return [_export(document) for document in documents]

    async def replace(self, old: Export, new: Export) -> bool:
        """Store what has become of an export; return False where it was changed or removed meanwhile."""
        document = _document(msgspec.structs.replace(new, edit=old.edit + 1))
        with translated:
            stored = await self._exports.replace_one({"_id": old.id, "edit": old.edit}, document)
        return stored.matched_count == 1

    async def remove(self, export: Export) -> None:
        """Remove an export with its files."""
        with translated:
            await self._exports.delete_one({"_id": export.id})
        for file in export.files:
            await self.discard(file.id)

    async def expired(self) -> list[Export]:
        """Return the exports whose time is over."""
        with translated:
            documents = await self._exports.find({"expires": {"$lte": datetime.now(UTC)}}).to_list()
        return [_export(document) for document in documents]

    async def withdraw(self) -> None:
        """Remove every export that has ended, and begin those anew that are under way.

        For when something was erased that their files may hold.
        """
        with translated:
            documents = await self._exports.find({}).to_list()
        for export in map(_export, documents):
            if export.finished is not None:
                await self.remove(export)
                continue
            anew = tuple(Part(part.type) for part in export.parts)
            fresh = msgspec.structs.replace(export, parts=anew, files=(), moment=None, resources=0)
            if await self.replace(export, fresh):
                for file in export.files:
                    await self.discard(file.id)

    def new_file(self, export: Export) -> tuple[str, AsyncGridIn | SealingWriter]:
        """Return the id of a new file of the export, and what takes its content."""
        file_id = f"{export.id}.{ObjectId()}"
        if (sealed := self._sealed) is not None:
            return file_id, sealed.writer(self._bucket, file_id)
        return file_id, self._bucket.open_upload_stream_with_id(file_id, file_id)

    @property
    def _sealed(self) -> SealedFiles | None:
        cipher = self._database.cipher
        return None if cipher is None else cipher.files(BUCKET, CHUNK_BYTES)

    async def read(self, file_id: str, start: int = 0) -> AsyncIterator[bytes]:
        """Yield the bytes of a file as it is kept, from `start`; raises NotFound."""
        with translated:
            try:
                download = await self._bucket.open_download_stream(file_id)
            except NoFile as error:
                raise NotFound("The file has expired or was removed.") from error
            if (sealed := self._sealed) is not None:
                async for piece in sealed.stream(download, start):
                    yield piece
                return
            await download.seek(start)
            while chunk := await download.readchunk():
                yield chunk

    async def discard(self, file_id: str) -> None:
        """Remove a file, if it is there."""
        with translated, suppress(NoFile):
            await self._bucket.delete(file_id)

    async def sweep(self, older_than: timedelta = timedelta(hours=1)) -> int:
        """Remove files that no export names, sparing young ones that may be under way; return how many."""
        old: Document = {"uploadDate": {"$lt": datetime.now(UTC) - older_than}}
        removed = 0
        with translated:
            async for file in self._database.collection(f"{BUCKET}.files").find(old, {"_id": 1}):
                if await self._exports.find_one({"files.id": file["_id"]}, {"_id": 1}) is None:
                    await self.discard(file["_id"])
                    removed += 1
        return removed


def _document(export: Export) -> Document:
    document: Document = msgspec.to_builtins(export, builtin_types=(datetime,))
    document["_id"] = document.pop("id")
    return document


def _export(document: Document) -> Export:
    return msgspec.convert({**document, "id": document["_id"]}, Export, builtin_types=(datetime,))
