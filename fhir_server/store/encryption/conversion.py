"""Making a plain database an encrypted one, or the other way round, while no server uses it.

Each document is converted by itself, and one that is converted already is left: what was broken off is gone on with.
The state of the keys says that it is under way, by which a server refuses to start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhir_server.r4 import values
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database
from fhir_server.store.encryption.database_cipher import DatabaseCipher
from fhir_server.store.encryption.key_ring import OVERHEAD, is_sealed
from fhir_server.store.encryption.resealing import BUCKETS, batches
from fhir_server.store.encryption.sealed_documents import SealedDocuments
from fhir_server.store.encryption.sealed_resources import INDEX, SealedResources, type_of
from fhir_server.store.resources.blobs import BUCKET, CHUNK_BYTES, BlobStore
from fhir_server.store.work import async_requests, exports

Document = dict[str, Any]
Progress = Callable[[int], None]

_DROPPED = (exports.EXPORTS, async_requests.REQUESTS)
"""What is kept for hours only, with its files: asked for again rather than converted."""
_BESIDE = "~"


async def convert(plain: Database, encrypted: Database, progress: Progress, *, encrypting: bool) -> int:
    """Convert all documents, given the same database with and without its keys; return how many there were to be."""
    cipher = encrypted.cipher
    assert cipher is not None, "the keys are known before anything is converted"
    await _drop_short_lived(plain)
    conversion = _Conversion(plain, encrypted, cipher, encrypting=encrypting)
    converted = 0
    for name in sorted(await plain.collection_names()):
        documents = cipher.documents(name)
        if documents is None:
            continue
        async for batch in batches(plain, name):
            for document in batch:
                converted += await conversion.convert(name, documents, document)
            progress(converted)
    await _drop_unconverted_blobs(plain, encrypting=encrypting)
    return converted


async def _drop_short_lived(plain: Database) -> None:
    with translated:
        for name in _DROPPED:
            await plain.raw.drop_collection(name)
        for bucket in set(BUCKETS) - {BUCKET}:
            await plain.raw.drop_collection(f"{bucket}.files")
            await plain.raw.drop_collection(f"{bucket}.chunks")


async def _drop_unconverted_blobs(plain: Database, *, encrypting: bool) -> None:
    left = CHUNK_BYTES if encrypting else CHUNK_BYTES + OVERHEAD
    store = BlobStore(plain)
    with translated:
        async for file in plain.raw[f"{BUCKET}.files"].find({"chunkSize": left}, {"_id": 1}):
            await store.discard({"blob": file["_id"]})


class _Conversion:
    """Converts documents one by one."""

    def __init__(self, plain: Database, encrypted: Database, cipher: DatabaseCipher, *, encrypting: bool) -> None:
        self._plain = plain
        self._encrypting = encrypting
        self._cipher = cipher
        blobs = BlobStore(plain), BlobStore(encrypted)
        self._from, self._to = blobs if encrypting else (blobs[1], blobs[0])

    async def convert(self, name: str, documents: SealedDocuments, document: Document) -> bool:
        """Convert a stored document; return whether it had to be."""
        if _is_converted(document) is self._encrypting:
            return False
        before = dict(document)
        if isinstance(documents, SealedResources):
            after = await self._resource(name, documents, document)
        else:
            after = documents.document(document) if self._encrypting else documents.opened(document)
        collection = self._plain.raw[name]
        with translated:
            await collection.replace_one({"_id": after["_id"]}, after, upsert=True)
            if after["_id"] != before["_id"]:
                await collection.delete_one({"_id": before["_id"]})
        return after != before

    async def _resource(self, name: str, documents: SealedResources, document: Document) -> Document:
        resource_id = documents.id_of(document)
        if (blob := document.get("blob")) is not None:
            data = await self._from.read(blob)
            document["blob"] = await self._to.write(type_of(name), resource_id, document["version"], data)
        if self._encrypting:
            return documents.version(document, resource_id, document["version"])
        document.pop("conditions", None)  # whose hash is under the secret of the keys
        opened: Document = documents.opened(document)
        opened.pop(INDEX, None)
        if not opened.get("ranges"):
            opened.pop("ranges", None)
        if "json" in opened:
            opened["resource"] = values.decode(opened["json"])
        return opened


def _is_converted(document: Document) -> bool:
    """Return whether a document is one of an encrypted database; one without anything personal is as good as either."""
    return any(is_sealed(value) or name.startswith(_BESIDE) for name, value in document.items())
