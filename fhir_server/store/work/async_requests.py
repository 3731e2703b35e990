"""Requests that are carried out behind the scenes: what was asked, whether it has begun, and its answer.

Whoever carries a request out first marks it as begun; one that had begun when its worker died is not begun again, since
it may have changed something.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from gridfs.asynchronous import AsyncGridFSBucket
from gridfs.errors import NoFile
from pymongo import ReturnDocument

from fhir_server.store.database.encoding import Document
from fhir_server.store.database.mongo import Database, translated
from fhir_server.store.encryption.sealed_files import SealedFiles

REQUESTS = "server_async_requests"
BUCKET = "async_requests"
PIECE_BYTES = 1024 * 1024


class AsyncRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request and, once it is `finished`, the status of its answer; body and answer are kept as files."""

    id: str
    owner: str
    """Who asked: nobody else learns of it."""
    view: str
    """What the token of who asked may do; the answer is given to one that may do the same."""
    token: dict[str, Any] | None
    base_url: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    handling: str
    prefer_return: str | None
    repeatable: bool
    """Whether it changes nothing, so that it can be begun again."""
    created: datetime
    worker: str = ""
    begun: datetime | None = None
    finished: datetime | None = None
    expires: datetime | None = None
    status: int = 0
    location: str = ""
    etag: str = ""
    patients: tuple[str, ...] = ()
    """Whose data the answer holds."""
    acted_for: tuple[str, ...] = ()
    """Those of them whom the caller acted for when it was made; the answer is given as long as that is so."""
    questions: tuple[str, ...] = ()
    withdrawn: bool = False
    """Whether something was erased since it began that its answer may hold."""


class AsyncRequestStore:
    """Keeps such requests with their bodies and answers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._requests = database.collection(REQUESTS)
        self._files = database.collection(f"{BUCKET}.files")
        self._bucket = AsyncGridFSBucket(database.raw, bucket_name=BUCKET, chunk_size_bytes=PIECE_BYTES)

    async def add(self, request: AsyncRequest, body: bytes) -> None:
        """Store a new request."""
        with translated:
            if body:
                await self._write(f"{request.id}.body", request.id, body)
            await self._requests.insert_one(_document(request))

    async def find(self, request_id: str, owner: str) -> AsyncRequest | None:
        """Return a request of the owner's."""
        with translated:
            document = await self._requests.find_one({"_id": request_id, "owner": owner})
        return None if document is None else _request(document)

    async def count_unfinished(self, owner: str) -> int:
        """Return how many requests of the owner are under way."""
        with translated:
            return await self._requests.count_documents({"owner": owner, "finished": None})

    async def take(self, worker: str) -> AsyncRequest | None:
        """Mark the oldest request that waits as begun by the worker, and return it."""
        with translated:
            document = await self._requests.find_one_and_update(
                {"begun": None, "finished": None},
                {"$set": {"begun": datetime.now(UTC), "worker": worker}},
                sort=[("created", 1)],
                return_document=ReturnDocument.AFTER,
            )
        return None if document is None else _request(document)

    async def left_by_others(self, worker: str) -> list[AsyncRequest]:
        """Return the requests that another worker has begun and not finished."""
        with translated:
            documents = await self._requests.find(
                {"begun": {"$ne": None}, "finished": None, "worker": {"$ne": worker}}
            ).to_list()
        return [_request(document) for document in documents]

    async def put_back(self, request: AsyncRequest) -> None:
        """Let a request wait again."""
        with translated:
            await self._requests.update_one(
                {"_id": request.id, "worker": request.worker, "finished": None}, {"$set": {"begun": None, "worker": ""}}
            )

    async def finish(self, request: AsyncRequest, answer: bytes) -> None:
        """Store the answer, and what else is told of it.

        Does nothing where the request was removed or is to be begun anew; where it was withdrawn, without the answer.
        """
        name = f"{request.id}.answer"
        mine: Document = {"_id": request.id, "finished": None, "begun": request.begun}
        with translated:
            await self._delete(name)
            await self._write(name, request.id, answer)
            stored = await self._requests.replace_one({**mine, "withdrawn": False}, _document(request))
            if stored.matched_count == 0:
                await self._delete(name)
                stored = await self._requests.replace_one(mine, _document(request))
            if stored.matched_count:
                await self._delete(f"{request.id}.body")

    async def body(self, request: AsyncRequest) -> bytes:
        """Return the body of a request; empty where it has none."""
        return await self._read(f"{request.id}.body")

    async def answer(self, request: AsyncRequest) -> bytes:
        """Return the answer of a finished request."""
        return await self._read(f"{request.id}.answer")

    async def remove(self, request: AsyncRequest) -> None:
        """Remove a request with its body and answer."""
        with translated:
            await self._requests.delete_one({"_id": request.id})
            for kind in ("body", "answer"):
                await self._delete(f"{request.id}.{kind}")

    async def withdraw(self) -> None:
        """Remove every request that has an answer: something was erased that the answers may hold.

        One that is carried out meanwhile is begun anew where it changes nothing; of another only the status is told.
        """
        with translated:
            documents = await self._requests.find({"begun": {"$ne": None}}).to_list()
            for request in map(_request, documents):
                if request.finished is not None:
                    await self.remove(request)
                elif request.repeatable:
                    await self.put_back(request)
                else:
                    await self._requests.update_one({"_id": request.id}, {"$set": {"withdrawn": True}})

    async def clear(self) -> None:
        """Remove the requests whose time is over, and files that none names."""
        with translated:
            expired = await self._requests.find({"expires": {"$lte": datetime.now(UTC)}}).to_list()
            for document in expired:
                await self.remove(_request(document))
            old: Document = {"uploadDate": {"$lt": datetime.now(UTC) - timedelta(hours=1)}}
            async for file in self._files.find(old, {"filename": 1}):
                if await self._requests.find_one({"_id": file["filename"]}, {"_id": 1}) is None:
                    await self._delete(file["_id"])

    async def _read(self, name: str) -> bytes:
        with translated:
            try:
                download = await self._bucket.open_download_stream(name)
            except NoFile:
                return b""
            if (sealed := self._sealed) is not None:
                return b"".join([piece async for piece in sealed.stream(download)])
            return await download.read()

    async def _write(self, name: str, request_id: str, content: bytes) -> None:
        sealed = self._sealed
        stored = content if sealed is None else sealed.sealed(name, content)
        chunk = None if sealed is None else sealed.chunk
        await self._bucket.upload_from_stream_with_id(name, request_id, stored, chunk_size_bytes=chunk)

    @property
    def _sealed(self) -> SealedFiles | None:
        cipher = self._database.cipher
        return None if cipher is None else cipher.files(BUCKET, PIECE_BYTES)

    async def _delete(self, name: str) -> None:
        with suppress(NoFile):
            await self._bucket.delete(name)


def _document(request: AsyncRequest) -> Document:
    document: Document = msgspec.to_builtins(request, builtin_types=(datetime,))
    document["_id"] = document.pop("id")
    return document


def _request(document: Document) -> AsyncRequest:
    return msgspec.convert({**document, "id": document["_id"]}, AsyncRequest, builtin_types=(datetime,))
