"""A page has a limit of bytes as well as of rows: what it reads follows from the setting, not from what is stored."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from fhir_server.settings import Settings
from fhir_server.store.resources.blobs import BlobStore
from fhir_server.store.resources.resources import ResourceStore
from fhir_server.store.search.search import SearchStore

ROOM = 100_000
SMALL, LARGE, BLOB = 500, 30_000, 60_000
SIZES = [SMALL, LARGE, LARGE, SMALL, BLOB, SMALL, LARGE, BLOB, BLOB, LARGE, SMALL, SMALL, LARGE, LARGE, LARGE, LARGE]
IDS = [f"o{number:02}" for number in range(len(SIZES))]


@pytest.fixture
def settings() -> Settings:
    """A page of 100 KB; contents above half of that are blobs."""
    return Settings(max_page_bytes=ROOM, blob_threshold_bytes=50_000)


class Reading:
    """The bytes of content that were read from the database."""

    bytes = 0


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    """Count what searches, blobs and versions read."""
    counted = Reading()
    ask, blob, version = SearchStore.ask, BlobStore.read, ResourceStore.read_version

    async def counted_ask(self: SearchStore, *arguments: Any) -> Any:
        answer = await ask(self, *arguments)
        counted.bytes += sum(len(document.get("json", b"")) for document in answer[0])
        return answer

    async def counted_blob(self: BlobStore, name: str) -> bytes:
        data = await blob(self, name)
        counted.bytes += len(data)
        return data

    async def counted_version(self: ResourceStore, *arguments: Any, **named: Any) -> Any:
        result = await version(self, *arguments, **named)
        counted.bytes += len(result.json) if result and len(result.json) < BLOB else 0
        return result

    monkeypatch.setattr(SearchStore, "ask", counted_ask)
    monkeypatch.setattr(BlobStore, "read", counted_blob)
    monkeypatch.setattr(ResourceStore, "read_version", counted_version)
    return counted


def _observation(resource_id: str, size: int, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": resource_id,
        "status": "final",
        "code": {"text": f"t{int(resource_id[1:]) % 3}"},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": f"2024-01-{int(resource_id[1:]) % 5 + 1:02}",
        "valueString": "x" * size,
        **more,
    }


async def _stored(client: httpx.AsyncClient) -> None:
    observations = [_observation(resource_id, size) for resource_id, size in zip(IDS, SIZES, strict=True)]
    entries = [
        {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in ({"resourceType": "Patient", "id": "p"}, *observations)
    ]
    answer = await client.post("", json={"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert {entry["response"]["status"] for entry in answer.json()["entry"]} == {"201 Created"}, answer.text


def _link(bundle: dict[str, Any], relation: str) -> str | None:
    for each in bundle["link"]:
        if each["relation"] == relation:
            parts = urlsplit(each["url"])
            return f"{parts.path.removeprefix('/fhir/')}?{parts.query}"
    return None


async def _pages(client: httpx.AsyncClient, url: str, reading: Reading) -> list[dict[str, Any]]:
    """Return all pages; assert that each reads and holds no more than it may, and that no page is empty."""
    pages = []
    after: str | None = url
    while after is not None:
        reading.bytes = 0
        answer = await client.get(after)
        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        pages.append(bundle)
        assert len(answer.content) < ROOM + 20_000
        assert reading.bytes < ROOM + 2 * 16_384
        assert bundle.get("entry"), f"page {len(pages)} is empty"
        after = _link(bundle, "next")
    return pages


def _ids(*pages: dict[str, Any]) -> list[str]:
    return [
        entry["resource"]["id"]
        for page in pages
        for entry in page["entry"]
        if entry["resource"]["resourceType"] == "Observation"
    ]


SEARCHES = (
    "Observation?_count=100",
    "Observation?_count=5",
    "Observation?_count=100&_sort=date",
    "Observation?_count=100&_sort=-date",
    "Observation?_count=100&_sort=-_lastUpdated",
    "Observation?_count=100&date=ge2024-01-01",
    "?_type=Observation,Patient&_count=100&_sort=-_lastUpdated",
    "?_type=Observation,Patient&_count=100",
    "Observation?subject:Patient._id=p&_count=100",
    "Patient/p/$everything",
    "Patient/p/$everything?_count=7",
)


@pytest.mark.parametrize("url", SEARCHES)
async def test_a_search_ends_its_page_at_the_bytes(client: httpx.AsyncClient, reading: Reading, url: str) -> None:
    """Every match comes once, in the order that one page would have; no page reads much more than it may hold."""
    await _stored(client)
    pages = await _pages(client, url, reading)
    assert len(pages) >= 5
    assert sorted(_ids(*pages)) == IDS
    if "_sort=-_lastUpdated" in url:
        assert _ids(*pages) == IDS[::-1]


@pytest.mark.parametrize("url", SEARCHES[:6])
async def test_the_way_back_shows_the_same_pages(client: httpx.AsyncClient, reading: Reading, url: str) -> None:
    """The previous link leads to the page that the next link came from, however early that one ended."""
    await _stored(client)
    forward = await _pages(client, f"{url}&_total=accurate", reading)
    back = [forward[-1]]
    while (before := _link(back[-1], "previous")) is not None:
        back.append((await client.get(before)).json())
    assert [_ids(page) for page in back] == [_ids(page) for page in reversed(forward)]
    assert {page["total"] for page in back} == {len(IDS)}


@pytest.mark.parametrize("url", ["Observation/_history", "_history?_count=1000", "Observation/o01/_history"])
async def test_a_history_ends_its_page_at_the_bytes(client: httpx.AsyncClient, reading: Reading, url: str) -> None:
    """Every version comes once; the total is that of all pages."""
    await _stored(client)
    for number in range(8):
        assert (await client.put("Observation/o01", json=_observation("o01", LARGE + number + 1))).status_code == 200
    pages = await _pages(client, url, reading)
    items = [entry["response"]["etag"] + entry["fullUrl"] for page in pages for entry in page["entry"]]
    assert len(set(items)) == len(items) == {page["total"] for page in pages}.pop()
    assert len(pages) >= 3


async def test_includes_end_their_page_at_the_bytes(client: httpx.AsyncClient, reading: Reading) -> None:
    """What has no room beside the matches comes by the next link."""
    await _stored(client)
    for url in ("Patient?_revinclude=Observation:subject", "Patient?_revinclude=*&_include=*"):
        pages = await _pages(client, url, reading)
        assert sorted(_ids(*pages)) == IDS
        assert len(pages) >= 5


async def test_everything_leaves_out_referred_resources_past_the_bytes(client: httpx.AsyncClient) -> None:
    """What a record refers to has as much room again; the answer says that there is more."""
    assert (await client.put("Patient/p", json={"resourceType": "Patient", "id": "p"})).status_code == 201
    for number in range(6):
        name = {"resourceType": "Organization", "id": f"g{number}", "name": "x" * LARGE}
        assert (await client.put(f"Organization/g{number}", json=name)).status_code == 201
        seen = _observation(f"o0{number}", 10, performer=[{"reference": f"Organization/g{number}"}])
        assert (await client.put(f"Observation/o0{number}", json=seen)).status_code == 201
    bundle = (await client.get("Patient/p/$everything")).json()
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert kinds.count("Organization") == 3
    assert bundle["entry"][-1]["resource"]["issue"][0]["code"] == "too-costly"


async def test_a_resource_larger_than_a_page_stands_alone(client: httpx.AsyncClient) -> None:
    """A page has one resource at least, so every search goes on."""
    for number in range(3):
        large = _observation(f"o{number}", 2 * ROOM)
        assert (await client.put(f"Observation/o{number}", json=large)).status_code == 201
    shown, after = [], "Observation"
    while after:
        bundle = (await client.get(after)).json()
        assert len(bundle["entry"]) == 1
        shown += _ids(bundle)
        after = _link(bundle, "next") or ""
    assert shown == ["o0", "o1", "o2"]


async def test_graphql_reads_on_where_a_page_ended_early(client: httpx.AsyncClient) -> None:
    """A List has all that there is, though it takes several pages."""
    await _stored(client)
    answer = await client.post("$graphql", json={"query": "{ObservationList {id}}"})
    assert sorted(each["id"] for each in answer.json()["data"]["ObservationList"]) == IDS
