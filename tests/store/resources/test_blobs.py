"""Content beyond the document limit is stored, versioned and read like any other."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from fhir_server.errors import Unavailable
from fhir_server.r4.values import decode
from fhir_server.store.database.mongo import Database
from fhir_server.store.resources.history import HistoryStore
from fhir_server.store.resources.resources import AlreadyExists, ResourceStore
from tests.store.drafts import draft, tombstone

LARGE = random.Random(1).randbytes(10_000_000).hex()  # 20 MB of text, more than a document can hold


@pytest.fixture
def store(database: Database) -> ResourceStore:
    return ResourceStore(database, blob_threshold=100_000)


async def files(database: Database) -> int:
    """Return how many blobs there are."""
    return await database.collection("blobs.files").count_documents({})


async def test_twenty_megabytes_come_back_byte_for_byte(store: ResourceStore, database: Database) -> None:
    """A resource past MongoDB's document limit reads back as it was, in every version and in history."""
    new = draft(data=LARGE)
    await store.insert(new)
    first = await store.read("Patient", "1")
    assert first is not None
    assert first.json == new.json
    assert await store.replace(draft(previous=first, data="small"), first)
    assert await store.read_version("Patient", "1", 1) == first
    assert [version.json for version in (await HistoryStore(database).page(type="Patient")).versions][1] == new.json
    current = await store.read("Patient", "1")
    assert current is not None
    assert decode(current.json)["data"] == "small"


async def test_blob_streams_in_pieces(store: ResourceStore) -> None:
    """A blob is handed out in pieces that together are its bytes."""
    blob = await store.blobs.write("Binary", "1", 1, LARGE.encode())
    pieces = [piece async for piece in store.blobs.stream(blob)]
    assert b"".join(pieces) == LARGE.encode()
    assert max(len(piece) for piece in pieces) <= 1024 * 1024


async def test_blob_that_is_gone_is_no_drivers_error(store: ResourceStore) -> None:
    """Reading a blob that was swept meanwhile asks the caller to try again."""
    with pytest.raises(Unavailable):
        await store.blobs.read("Binary/1/1/none")


async def test_refused_writes_leave_no_blob(store: ResourceStore, database: Database) -> None:
    """An insert or replacement that is refused takes its blob along, and not the blob of the winner."""
    await store.insert(draft(data="a" * 200_000))
    first = await store.read("Patient", "1")
    assert first is not None
    with pytest.raises(AlreadyExists):
        await store.insert(draft(data="b" * 200_000))
    assert await store.replace(draft(previous=first, data="c" * 200_000), first)
    assert not await store.replace(draft(previous=first, data="d" * 200_000), first)
    assert await files(database) == 2
    current = await store.read("Patient", "1")
    assert current is not None
    assert decode(current.json)["data"] == "c" * 200_000


async def test_sweep_removes_orphans_only(store: ResourceStore, database: Database) -> None:
    """A sweep removes blobs that no version names, once they are old enough, and keeps those of all versions."""
    await store.insert(draft(data="a" * 200_000))
    first = await store.read("Patient", "1")
    assert first is not None
    assert await store.replace(tombstone(first), first)
    await store.blobs.write("Patient", "1", 1, b"orphan")
    await store.blobs.write("Patient", "2", 1, b"orphan")
    assert await store.blobs.sweep() == 0
    assert await store.blobs.sweep(older_than=timedelta(seconds=-60)) == 2
    assert await store.read_version("Patient", "1", 1) == first
    assert await files(database) == 1
