"""History tells every version once, newest first, at every level."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fhir_server.r4.values import encode
from fhir_server.search.query.conditions import HasKey
from fhir_server.store.database.mongo import Database
from fhir_server.store.resources import history_total
from fhir_server.store.resources.history import Cursor, HistoryStore, Page
from fhir_server.store.resources.resources import Draft, ResourceStore, Version

START = datetime(2024, 5, 1, tzinfo=UTC)


def minute(number: int) -> datetime:
    """Return a time so many minutes after the start."""
    return START + timedelta(minutes=number)


@pytest.fixture
def history(database: Database) -> HistoryStore:
    return HistoryStore(database)


@pytest.fixture
def store(database: Database) -> ResourceStore:
    return ResourceStore(database)


async def put(
    store: ResourceStore, resource_type: str, resource_id: str, time: datetime, *, delete: bool = False
) -> Version:
    """Store the next version of a resource at the time."""
    previous = await store.read(resource_type, resource_id)
    number = previous.version + 1 if previous else 1
    resource = {"resourceType": resource_type, "id": resource_id, "meta": {"versionId": str(number)}}
    index = {} if delete else {"keys": ["*", f"id={resource_id}"]}
    draft = Draft(
        resource_type,
        resource_id,
        number,
        time,
        "DELETE" if delete else "PUT",
        b"" if delete else encode(resource),
        None if delete else resource,
        index,
    )
    if previous is None:
        await store.insert(draft)
    else:
        assert await store.replace(draft, previous)
    stored = await store.read(resource_type, resource_id)
    assert stored is not None
    return stored


def told(page: Page) -> list[str]:
    """Return what a page tells, as texts like Patient/1/2."""
    return [f"{version.type}/{version.id}/{version.version}" for version in page.versions]


async def all_pages(history: HistoryStore, **options: Any) -> list[str]:
    """Return what all pages tell, the cursors carried as JSON would."""
    rows: list[str] = []
    cursor: Cursor | None = None
    while True:
        page = await history.page(cursor=cursor, **options)
        rows += told(page)
        if page.next is None:
            return rows
        cursor = Cursor(*list(page.next))


async def test_instance_history_is_newest_first(history: HistoryStore, store: ResourceStore) -> None:
    """All versions of a resource, a deletion among them, come newest first, with their bytes."""
    made = [
        await put(store, "Patient", "1", minute(0)),
        await put(store, "Patient", "1", minute(1), delete=True),
        await put(store, "Patient", "1", minute(2)),
    ]
    await put(store, "Patient", "10", minute(1))
    page = await history.page(type="Patient", id="1")
    assert page.versions == made[::-1]
    assert page.next is None


async def test_unknown_instance_has_no_history(history: HistoryStore) -> None:
    """What was never stored has an empty history."""
    assert await history.page(type="Patient", id="1") == Page([], None)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
async def test_pages_tell_each_version_once(history: HistoryStore, store: ResourceStore, limit: int) -> None:
    """However long a page is, all pages together tell every version once, also where many share one time."""
    for number in range(3):
        for name in ("1", "1-a", "10", "2"):
            await put(store, "Patient", name, minute(number))
        await put(store, "Basic", "1", minute(number))
    system = [
        f"{kind}/{name}/{number}"
        for number in (3, 2, 1)
        for kind, name in (("Basic", "1"), ("Patient", "1"), ("Patient", "1-a"), ("Patient", "10"), ("Patient", "2"))
    ]
    assert await all_pages(history, limit=limit) == system
    assert await all_pages(history, type="Patient", limit=limit) == [row for row in system if row[0] == "P"]
    assert await all_pages(history, type="Patient", id="1-a", limit=limit) == [row for row in system if "/1-a/" in row]


async def test_copy_left_by_a_crash_is_told_once(history: HistoryStore, store: ResourceStore) -> None:
    """A version that stands in both collections appears once, whatever the page length."""
    for name in ("1", "2", "3"):
        await store._copy_together("Patient", [[await put(store, "Patient", name, minute(0))]])
    for limit in (1, 2, 3):
        assert await all_pages(history, type="Patient", limit=limit) == ["Patient/1/1", "Patient/2/1", "Patient/3/1"]


async def test_since_keeps_later_versions(history: HistoryStore, store: ResourceStore) -> None:
    """_since keeps the versions stored at that time or later."""
    for number in range(4):
        await put(store, "Patient", "1", minute(number))
    assert told(await history.page(type="Patient", id="1", since=minute(2))) == ["Patient/1/4", "Patient/1/3"]
    assert told(await history.page(since=minute(3))) == ["Patient/1/4"]


async def test_at_keeps_what_was_current_then(history: HistoryStore, store: ResourceStore) -> None:
    """_at keeps each version that was current at some time of the period, also one stored long before."""
    for number in (0, 10, 20):
        await put(store, "Patient", "1", minute(number))
    await put(store, "Patient", "2", minute(1))
    at = (minute(12), minute(20))
    assert told(await history.page(type="Patient", id="1", at=at)) == ["Patient/1/3", "Patient/1/2"]
    for limit in (1, 2, 50):
        assert await all_pages(history, at=at, limit=limit) == ["Patient/1/3", "Patient/1/2", "Patient/2/1"]
    assert await all_pages(history, at=(minute(10), minute(10))) == ["Patient/1/2", "Patient/2/1"]
    assert await all_pages(history, at=(minute(-2), minute(-1))) == []


async def test_access_condition_hides_versions(history: HistoryStore, store: ResourceStore) -> None:
    """Versions that do not meet the caller's condition are not told, earlier ones included."""
    for number in range(2):
        await put(store, "Patient", "1", minute(number))
        await put(store, "Patient", "2", minute(number))
    page = await history.page(access=lambda _: HasKey(("id=2",)))
    assert told(page) == ["Patient/2/2", "Patient/2/1"]
    assert told(await history.page(type="Patient", id="1", access=lambda _: HasKey(("id=2",)))) == []


async def test_update_during_paging_moves_nothing(history: HistoryStore, store: ResourceStore) -> None:
    """A version that becomes an earlier one between two pages is told by the second all the same, once."""
    await put(store, "Patient", "1", minute(0))
    await put(store, "Patient", "2", minute(1))
    first = await history.page(type="Patient", limit=1)
    await put(store, "Patient", "1", minute(2))
    second = await history.page(type="Patient", limit=1, cursor=first.next)
    assert told(first) + told(second) == ["Patient/2/1", "Patient/1/1"]
    assert second.next is None


async def assert_total(history: HistoryStore, **options: Any) -> None:
    """Assert that the total is the number of what all pages tell."""
    page = await history.page(**options)
    if page.versions:
        expected = len(await all_pages(history, limit=7, **options))
        assert await history.total(until=page.versions[0].updated, **options) == expected, options


@pytest.mark.parametrize(("few", "many"), [(0, 10_000), (1000, 10_000), (0, 3)])
async def test_the_total_is_what_all_pages_tell(
    history: HistoryStore, store: ResourceStore, monkeypatch: pytest.MonkeyPatch, few: int, many: int
) -> None:
    """Whatever is asked, of one resource, a type or all; counted one by one, by the index or by the collections."""
    monkeypatch.setattr(history_total, "FEW", few)
    monkeypatch.setattr(history_total, "MANY", many)
    for number in range(4):
        for name in ("1", "2", "3"):
            await put(store, "Patient", name, minute(number * 10 + int(name)), delete=(name, number) == ("3", 2))
        await put(store, "Basic", "1", minute(number * 10))
    for of in ({}, {"type": "Patient"}, {"type": "Patient", "id": "2"}, {"type": "Group"}):
        for when in ({}, {"since": minute(11)}, {"since": minute(99)}):
            await assert_total(history, **of, **when)
            await assert_total(history, **of, **when, access=lambda _: HasKey(("id=1",)))
        for first, last in ((12, 20), (11, 11), (0, 99), (22, 23), (-2, -1)):
            await assert_total(history, **of, at=(minute(first), minute(last)))


async def test_a_total_that_takes_long_is_not_told(
    history: HistoryStore, store: ResourceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the middle of many versions on, and of those that were current at a time; who asks for it is told."""
    monkeypatch.setattr(history_total, "MANY", 2)
    monkeypatch.setattr(history_total, "MOST", 3)
    for number in range(10):
        await put(store, "Patient", "1", minute(number))
    until, middle = minute(9), minute(5)
    assert await history.total(until=until, exact=False) == 10
    assert await history.total(until=until, since=middle, exact=False) is None
    assert await history.total(until=until, since=middle) == 5
    assert await history.total(until=until, at=(middle, until), exact=False) is None
    assert await history.total(until=until, at=(middle, until)) == 5


async def test_a_copy_left_by_a_crash_is_counted_once(history: HistoryStore, store: ResourceStore) -> None:
    """A version that stands in both collections is one of the total."""
    for name in ("1", "2", "3"):
        await store._copy_together("Patient", [[await put(store, "Patient", name, minute(0))]])
    await assert_total(history, type="Patient")
    await assert_total(history, at=(minute(0), minute(1)))
