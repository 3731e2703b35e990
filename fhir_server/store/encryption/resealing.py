"""Sealing anew, by the current key, what other keys have sealed: beside requests, batch by batch.

Each value is changed only where it is still the one that was read, so a write at the same time is never undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from pymongo import UpdateOne

from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database
from fhir_server.store.encryption.database_cipher import DatabaseCipher
from fhir_server.store.encryption.key_ring import is_sealed, key_number, kind_of
from fhir_server.store.encryption.sealed_documents import SealedDocuments
from fhir_server.store.encryption.sealed_files import SealedFiles
from fhir_server.store.resources.blobs import BUCKET, CHUNK_BYTES
from fhir_server.store.work import async_requests, exports

Document = dict[str, Any]
Progress = Callable[[int], None]
"""Takes how many documents have been looked at."""

BUCKETS = {BUCKET: CHUNK_BYTES, exports.BUCKET: exports.CHUNK_BYTES, async_requests.BUCKET: async_requests.PIECE_BYTES}
"""The bytes of a piece of the files in each bucket of GridFS that is sealed."""
_BATCH = 100
_PAUSE = 0.01
"""Between two batches, so that requests come first."""


async def reseal(database: Database, progress: Progress = lambda done: None) -> int:
    """Seal by the current key all that others have sealed; return how many documents were changed."""
    cipher = database.cipher
    assert cipher is not None, "only an encrypted database has keys"
    changed = looked_at = 0
    for name in sorted(await database.collection_names()):
        bucket, _, part = name.rpartition(".")
        if not _is_sealed(cipher, name):
            continue
        async for batch in batches(database, name):
            changes = [each for document in batch if (each := _change(cipher, name, document)) is not None]
            if bucket in BUCKETS and part == "chunks":
                changes = await _chunk_changes(database, cipher.files(bucket, BUCKETS[bucket]), bucket, batch)
            if changes:
                with translated:
                    changed += (await database.raw[name].bulk_write(changes, ordered=False)).modified_count
            looked_at += len(batch)
            progress(looked_at)
            await asyncio.sleep(_PAUSE)
    return changed


def _is_sealed(cipher: DatabaseCipher, name: str) -> bool:
    bucket, _, part = name.rpartition(".")
    return cipher.documents(name) is not None or (bucket in BUCKETS and part == "chunks")


async def batches(database: Database, name: str) -> AsyncIterator[list[Document]]:
    """Yield the documents of a collection as they are stored, in the order of ids, some at a time."""
    after: list[Document] = []
    while True:
        condition: Document = {"_id": {"$gt": after[-1]["_id"]}} if after else {}
        with translated:
            after = await database.raw[name].find(condition).sort("_id", 1).limit(_BATCH).to_list()
        if not after:
            return
        yield after


def _change(cipher: DatabaseCipher, name: str, document: Document) -> UpdateOne | None:
    """Return the change that seals anew what another key than the current one has sealed."""
    documents = cipher.documents(name)
    if documents is None:
        return None
    older = [each for each, value in document.items() if is_sealed(value) and key_number(value) != cipher.ring.current]
    if not older:
        return None
    anew = {each: _resealed(documents, each, document) for each in older}
    return UpdateOne({"_id": document["_id"], **{each: document[each] for each in older}}, {"$set": anew})


def _resealed(documents: SealedDocuments, name: str, document: Document) -> bytes:
    place, sealed = documents.place_of(name, document), document[name]
    return documents.ring.seal(documents.ring.open(sealed, place), place, kind_of(sealed))


async def _chunk_changes(database: Database, files: SealedFiles, bucket: str, batch: list[Document]) -> list[UpdateOne]:
    ring = files.ring
    older = [each for each in batch if key_number(each["data"]) != ring.current]
    names = list({each["files_id"] for each in older})
    with translated:
        rows = await database.raw[f"{bucket}.files"].find({"_id": {"$in": names}}, {"length": 1}).to_list()
    lengths = {each["_id"]: each["length"] for each in rows}
    changes = []
    for each in older:
        if each["files_id"] in lengths:  # one that is being written is written by the current key
            data = files.resealed(each["files_id"], each["n"], each["data"], lengths[each["files_id"]])
            changes.append(UpdateOne({"_id": each["_id"], "data": each["data"]}, {"$set": {"data": data}}))
    return changes
