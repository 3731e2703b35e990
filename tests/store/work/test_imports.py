"""The record of imported rows, and of erasures."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from fhir_server.store.database.mongo import Database
from fhir_server.store.work.erasures import ErasureStore
from fhir_server.store.work.imports import Imported, ImportStore


async def test_an_entry_replaces_the_one_before(database: Database) -> None:
    """What was recorded last of a row is what is known of it; what is forgotten is not known."""
    store = ImportStore(database)
    await store.prepare()
    first = Imported("Patient/1", "a", {"Patient": 1}, password="p")
    await store.record([first, Imported("Patient/2", "b", {"Patient": 3})])
    second = replace(first, digest="c", versions={"Patient": 2})
    await store.record([second])
    assert await store.find(["Patient/1", "Patient/9"]) == {"Patient/1": second}
    await store.forget(["Patient/1"])
    assert await store.find(["Patient/1"]) == {}


async def test_deleted_rows_wait_for_their_deletion(database: Database) -> None:
    """The entries of a type that are leaving are found page by page, and no longer once they have left."""
    store = ImportStore(database)
    await store.prepare()
    leaving = [Imported(f"Location/{n}", "d", {"Location": 1}, leaving=True) for n in range(3)]
    await store.record([*leaving, Imported("Location/9", "d"), Imported("Patient/1", "d", leaving=True)])
    assert await store.leaving("Location", "", 2) == leaving[:2]
    assert await store.leaving("Location", leaving[1].key, 2) == leaving[2:]
    await store.record([replace(leaving[0], leaving=False)])
    assert await store.leaving("Location", "", 5) == leaving[1:]


async def test_an_erasure_is_begun_once(database: Database) -> None:
    """To begin again gives what there is; the person stays known as erased when it is finished."""
    store = ErasureStore(database)
    begun = await store.begin("1")
    await store.save(replace(begun, erase=("Patient/1",), counts={"Observation": 2}))
    assert (await store.begin("1")).erase == ("Patient/1",)
    assert await store.unfinished() == ["1"]
    done = datetime.now(UTC).replace(microsecond=0)
    await store.save(replace(begun, finished=done))
    assert await store.unfinished() == []
    assert await store.finished_since(done) == ["1"]
    assert await store.finished_since(done + timedelta(seconds=1)) == []
    assert await store.among(["1", "2"]) == {"1"}
