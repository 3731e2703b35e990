"""Bytes beyond what a document should hold, in GridFS: written before the document that names them, read with it.

A blob is named after the version it belongs to and never overwritten. One whose document was never stored is an orphan,
discarded by the failed write itself or, after a crash, by `sweep`.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gridfs.asynchronous import AsyncGridFSBucket
from gridfs.errors import NoFile

from fhir_server.errors import Unavailable
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database
from fhir_server.store.encryption.sealed_files import SealedFiles

BUCKET = "blobs"
CHUNK_BYTES = 1024 * 1024
_CHANGED = "The content changed while it was read; try again."


class BlobStore:
    """Writes, reads and clears away blobs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._bucket = AsyncGridFSBucket(database.raw, bucket_name=BUCKET, chunk_size_bytes=CHUNK_BYTES)

    @property
    def _sealed(self) -> SealedFiles | None:
        cipher = self._database.cipher
        return None if cipher is None else cipher.files(BUCKET, CHUNK_BYTES)

    async def write(self, resource_type: str, resource_id: str, version: int, data: bytes) -> str:
        """Store the bytes of a version and return the blob's id, which no other write shares."""
        # Two writers may race for one version; the loser must not discard the winner's bytes.
        blob = f"{resource_type}/{resource_id}/{version}/{secrets.token_hex(6)}"
        sealed = self._sealed
        chunk = None if sealed is None else sealed.chunk
        with translated:
            stored = data if sealed is None else sealed.sealed(blob, data)
            await self._bucket.upload_from_stream_with_id(blob, blob, stored, chunk_size_bytes=chunk)
        return blob

    async def read(self, blob: str) -> bytes:
        """Return the bytes of a blob."""
        return b"".join([chunk async for chunk in self.stream(blob)])

    async def sizes(self, blobs: Sequence[str]) -> dict[str, int]:
        """Return the bytes of each of the blobs that are there."""
        if not blobs:
            return {}
        files = self._database.collection(f"{BUCKET}.files")
        sealed = self._sealed
        with translated:
            lengths = {
                each["_id"]: each["length"] async for each in files.find({"_id": {"$in": [*blobs]}}, {"length": 1})
            }
        return lengths if sealed is None else {blob: sealed.length(length) for blob, length in lengths.items()}

    async def stream(self, blob: str) -> AsyncIterator[bytes]:
        """Yield the bytes of a blob in pieces, so that a large one need not be in memory at once."""
        with translated:
            try:
                download = await self._bucket.open_download_stream(blob)
            except NoFile as error:
                # A sweep of another server removed it between the two reads: the document says something else by now.
                raise Unavailable(_CHANGED) from error
            if (sealed := self._sealed) is not None:
                async for piece in sealed.stream(download):
                    yield piece
                return
            while chunk := await download.readchunk():
                yield chunk

    async def part(self, blob: str, start: int, end: int) -> bytes:
        """Return the bytes of a blob from `start` to before `end`; reads only the chunks that they are in."""
        files, chunks = (self._database.collection(f"{BUCKET}.{name}") for name in ("files", "chunks"))
        with translated:
            file = await files.find_one({"_id": blob}, {"chunkSize": 1, "length": 1})
            if file is None:
                raise Unavailable(_CHANGED)
            sealed = self._sealed
            size = file["chunkSize"] if sealed is None else sealed.piece
            numbers: Document = {"$gte": start // size, "$lte": (end - 1) // size}
            # GridFS's own reader fetches chunks ahead, up to 16 MB of them.
            cursor = chunks.find({"files_id": blob, "n": numbers}, {"n": 1, "data": 1}).sort("n")
            pieces = [
                each["data"] if sealed is None else sealed.open_piece(blob, each["n"], each["data"], file["length"])
                async for each in cursor
            ]
        data = b"".join(pieces)
        begin = start % size
        return data[begin : begin + end - start]

    async def discard(self, document: Mapping[str, Any]) -> None:
        """Remove the blob, if any, of a document that was not stored."""
        blob = document.get("blob")
        if blob is not None:
            with translated:
                await self._bucket.delete(blob)

    async def sweep(self, older_than: timedelta = timedelta(hours=1)) -> int:
        """Remove blobs that no document names, sparing young ones whose document may be on its way; return how many."""
        removed = 0
        with translated:
            old: Document = {"uploadDate": {"$lt": datetime.now(UTC) - older_than}}
            async for file in self._database.collection(f"{BUCKET}.files").find(old, {"_id": 1}):
                if not await self._is_named(file["_id"]):
                    await self._bucket.delete(file["_id"])
                    removed += 1
        return removed

    async def _is_named(self, blob: str) -> bool:
        resource_type, resource_id, version, _ = blob.split("/")
        places = (
            (self._database.current(resource_type), resource_id),
            (self._database.history(resource_type), f"{resource_id}/{version}"),
        )
        for collection, key in places:
            if await collection.find_one({"_id": key, "blob": blob}, {"_id": 1}) is not None:
                return True
        return False
