"""Rows and their contents: a small content comes with its row, a large one is read when its row is certain to be shown.

So what a page reads follows the bytes that it may have, not the number of its rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from bson.timestamp import Timestamp

from fhir_server.store.database.encoding import Document
from fhir_server.store.database.mongo import Session
from fhir_server.store.resources.blobs import BlobStore
from fhir_server.store.resources.documents import JSON_SIZE, SMALL_JSON

_WITHOUT: Document = {"version": 1, "updated": 1, "blob": 1, "size": JSON_SIZE}
HEAD: Document = {**_WITHOUT, "json": SMALL_JSON}
"""The fields of a row with its content where that is small."""
BARE: Document = _WITHOUT
"""The fields of a row without any content."""

_AT_ONCE = 8 * 1024 * 1024
"""Bytes that one command reads: an answer of the database holds 16 MB."""


@dataclass(frozen=True, slots=True)
class Row:
    """A resource that a search has found, with the bytes that a read sends; its keys where they were asked for."""

    type: str
    id: str
    version: int
    updated: datetime
    json: bytes
    """Empty as long as the content has not been read."""
    keys: tuple[str, ...] = ()
    size: int = 0
    """The bytes of the content, read or not."""
    blob: str | None = None
    collection: str = ""
    """Where its document is, if not with what is stored of its type."""


class Ask(Protocol):
    """Runs a command, in a snapshot or a transaction; returns what it read first."""

    async def __call__(
        self, command: Document, session: Session | None, at: Timestamp | None = None
    ) -> tuple[list[Document], bool, Timestamp | None]:
        """Return the documents, whether the answer was cut, and the time of the snapshot."""


def to_row(resource_type: str, document: Document, collection: str = "") -> Row:
    """Return the row of a document that was read by HEAD or BARE from a collection, by default that of its type."""
    keys = tuple(document.get("keys", ()))
    size = document.get("size") or 0
    json = document.get("json", b"")
    blob, place = document.get("blob"), collection or resource_type
    return Row(resource_type, document["_id"], document["version"], document["updated"], json, keys, size, blob, place)


class Contents:
    """Reads the contents of rows, as of the moment that the rows were found."""

    def __init__(self, ask: Ask, blobs: BlobStore) -> None:
        self._ask = ask
        self._blobs = blobs

    async def fitting(self, rows: Sequence[Row], room: int | None) -> list[Row]:
        """Return the rows, with their sizes, from the first on as many as have room for their contents; one at least.

        `room` is in bytes, None for any number.
        """
        if room is None:
            return list(rows)
        sizes = await self._blobs.sizes([row.blob for row in rows if row.blob is not None])
        fitting: list[Row] = []
        for row in rows:
            sized = row if row.blob is None else replace(row, size=sizes.get(row.blob, 0))
            room -= sized.size
            if room < 0 and fitting:
                break
            fitting.append(sized)
        return fitting

    async def read(self, rows: Iterable[Row], at: Timestamp | None, session: Session | None = None) -> list[Row]:
        """Return the rows with their contents, without those that have been erased since they were found."""
        whole: list[Row] = []
        group: list[Row] = []
        missing = 0
        for row in rows:
            group.append(row)
            missing += 0 if row.json else row.size
            if missing > _AT_ONCE:
                whole += await self._read(group, at, session)
                group, missing = [], 0
        return whole + await self._read(group, at, session)

    async def _read(self, rows: Sequence[Row], at: Timestamp | None, session: Session | None) -> list[Row]:
        missing: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for row in rows:
            if not row.json and row.blob is None:
                missing[row.collection][row.id] = row.version
        contents: dict[tuple[str, str], bytes] = {}
        for collection, versions in missing.items():
            for resource_id, content in (await self._versions(collection, versions, at, session)).items():
                contents[collection, resource_id] = content
        whole: list[Row] = []
        for row in rows:
            if row.json and row.size == len(row.json):
                whole.append(row)
                continue
            json = row.json or (
                await self._blobs.read(row.blob) if row.blob else contents.get((row.collection, row.id))
            )
            if json is not None:
                whole.append(replace(row, json=json, size=len(json)))
        return whole

    async def _versions(
        self, resource_type: str, versions: dict[str, int], at: Timestamp | None, session: Session | None
    ) -> dict[str, bytes]:
        """Return the contents of these versions by id; those replaced since they were found are in the history."""
        current = [{"_id": resource_id, "version": version} for resource_id, version in versions.items()]
        documents = await self._all(resource_type, {"$or": current}, "_id", at, session)
        earlier = [f"{resource_id}/{versions[resource_id]}" for resource_id in versions if resource_id not in documents]
        if earlier:
            documents |= await self._all(f"{resource_type}_history", {"_id": {"$in": earlier}}, "id", at, session)
        return documents

    async def _all(
        self, collection: str, condition: Document, name: str, at: Timestamp | None, session: Session | None
    ) -> dict[str, bytes]:
        contents: dict[str, bytes] = {}
        after: Any = None
        cut = True
        while cut:
            beyond: list[Document] = [] if after is None else [{"_id": {"$gt": after}}]
            command: Document = {
                "find": collection,
                "filter": {"$and": [condition, *beyond]},
                "projection": {"id": 1, "version": 1, "json": 1},
                "sort": {"_id": 1},
                "batchSize": 10_000,
            }
            documents, cut, _ = await self._ask(command, session, at)
            for document in documents:
                contents[document[name]] = document["json"]
                after = document["_id"]
        return contents
