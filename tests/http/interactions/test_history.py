"""History of an instance, a type and the system."""

from __future__ import annotations

from typing import Any

import httpx

PATIENT: dict[str, Any] = {"resourceType": "Patient", "id": "a"}


async def _write_some(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=PATIENT)
    await client.put("Patient/a", json=PATIENT | {"active": True})
    await client.put("Patient/b", json={"resourceType": "Patient", "id": "b"})
    await client.put("Organization/o", json={"resourceType": "Organization", "id": "o", "name": "O"})
    await client.delete("Patient/a")


async def test_instance_history_ends_with_the_deletion(client: httpx.AsyncClient) -> None:
    """Trap 29: newest first; the deletion has a request and no resource."""
    await _write_some(client)
    bundle = (await client.get("Patient/a/_history")).json()
    assert bundle["type"] == "history"
    assert bundle["total"] == 3
    assert [item["request"]["method"] for item in bundle["entry"]] == ["DELETE", "PUT", "PUT"]
    assert "resource" not in bundle["entry"][0]
    assert [item["response"]["etag"] for item in bundle["entry"]] == ['W/"3"', 'W/"2"', 'W/"1"']
    assert bundle["entry"][1]["fullUrl"] == "http://server.test/fhir/Patient/a"


async def test_type_and_system_history_cover_their_resources(client: httpx.AsyncClient) -> None:
    """The type's history has its four versions, the system's all five."""
    await _write_some(client)
    of_type = (await client.get("Patient/_history")).json()["entry"]
    of_system = (await client.get("_history")).json()["entry"]
    assert len(of_type) == 4
    assert len(of_system) == 5
    assert of_system[0]["request"] == {"method": "DELETE", "url": "Patient/a"}


async def test_history_pages_hold_each_version_once(client: httpx.AsyncClient) -> None:
    """Following next links gives every version once, although others are written meanwhile, and no empty page."""
    await _write_some(client)
    seen: list[tuple[str, str]] = []
    url: str | None = "_history?_count=2"
    pages = 0
    while url:
        bundle = (await client.get(url)).json()
        pages += 1
        seen += [(item["request"]["url"], item["response"]["etag"]) for item in bundle["entry"]]
        url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
        await client.put("Patient/later", json={"resourceType": "Patient", "id": "later", "active": pages % 2 == 0})
    assert pages == 3
    assert len(seen) == len(set(seen)) == 5


async def test_since_and_at_cut_history_by_time(client: httpx.AsyncClient) -> None:
    """_since gives what was written from then on; _at what was current at some time in the range."""
    await _write_some(client)
    entries = (await client.get("Patient/a/_history")).json()["entry"]
    second = entries[1]["response"]["lastModified"].replace("+", "%2B")
    since = (await client.get(f"Patient/a/_history?_since={second}")).json()["entry"]
    assert [item["response"]["etag"] for item in since] == ['W/"3"', 'W/"2"']
    at = (await client.get(f"Patient/a/_history?_at={second}")).json()["entry"]
    assert [item["response"]["etag"] for item in at] == ['W/"2"']
    assert "entry" not in (await client.get("Patient/a/_history?_since=2999-01-01")).json()


async def test_a_history_can_be_counted_without_being_told(client: httpx.AsyncClient) -> None:
    """_count=0 and _summary=count give the number of versions and no entries; what never was is still 404."""
    await _write_some(client)
    for query in ("_count=0", "_summary=count"):
        bundle = (await client.get(f"Patient/a/_history?{query}")).json()
        assert bundle["total"] == 3
        assert "entry" not in bundle
        assert [link["relation"] for link in bundle["link"]] == ["self"]
        assert (await client.get(f"Patient/none/_history?{query}")).status_code == 404


async def test_every_history_says_how_many_versions_it_has(client: httpx.AsyncClient) -> None:
    """The total counts the versions on all pages and is the same on each, whatever is written meanwhile."""
    await _write_some(client)
    for url, total in (("_history?_count=2", 5), ("Patient/_history?_count=3", 4), ("Patient/a/_history?_count=1", 3)):
        following: str | None = url
        count = 0
        while following is not None:
            bundle = (await client.get(following)).json()
            assert bundle["total"] == total, url
            count += len(bundle["entry"])
            following = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
            await client.put("Organization/o", json={"resourceType": "Organization", "id": "o", "name": f"{count}"})
            await client.delete("Organization/o")
        assert count == total
    assert (await client.get("_history?_since=2999-01-01")).json()["total"] == 0
    assert (await client.get("Patient/_history?_summary=count&_at=2999")).json()["total"] == 2


async def test_a_paging_link_is_for_one_history(client: httpx.AsyncClient) -> None:
    """A link of one history does not go on in another, whose total would be another; nor does that of a search."""
    await _write_some(client)
    links = (await client.get("Patient/_history?_count=1")).json()["link"]
    token = next(link["url"] for link in links if link["relation"] == "next").partition("_page=")[2]
    assert (await client.get(f"Patient/_history?_count=1&_page={token}")).status_code == 200
    for other in ("_history?", "Patient/a/_history?", "Patient/_history?_since=2020&"):
        assert (await client.get(f"{other}_page={token}")).status_code == 400
    await client.put("Patient/c", json={"resourceType": "Patient", "id": "c"})
    links = (await client.get("Patient?_count=1")).json()["link"]
    token = next(link["url"] for link in links if link["relation"] == "next").partition("_page=")[2]
    assert (await client.get(f"Patient/_history?_page={token}")).status_code == 400


async def test_at_takes_ranges(client: httpx.AsyncClient) -> None:
    """_at takes the prefixes of a date search, and several values that must hold together, on every page."""
    for active in (True, False, True):
        await client.put("Patient/a", json={"resourceType": "Patient", "id": "a", "active": active})
    entries = (await client.get("Patient/a/_history")).json()["entry"]
    third, second, first = (entry["resource"]["meta"]["lastUpdated"] for entry in entries)

    async def versions(query: str) -> list[str]:
        collected: list[str] = []
        url = f"Patient/a/_history?{query}&_count=1"
        while url:
            answer = await client.get(url)
            assert answer.status_code == 200, answer.text
            bundle = answer.json()
            collected += [entry["resource"]["meta"]["versionId"] for entry in bundle.get("entry", ())]
            assert bundle["total"] in (len(collected), bundle["total"])
            url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), "")
        assert not collected or bundle["total"] == len(collected)
        return collected

    assert await versions(f"_at=ge{third}") == ["3"]
    assert await versions(f"_at=lt{second}") == ["1"]
    assert await versions(f"_at=le{second}") == ["2", "1"]
    assert await versions(f"_at=ge{second}") == ["3", "2"]
    assert await versions(f"_at=ge{first}&_at=lt{third}") == ["2", "1"]
    for prefix in ("", "gt", "sa", "ge"):
        assert await versions(f"_at={prefix}0001-01-01") == ([] if prefix == "" else ["3", "2", "1"])
        assert await versions(f"_at={prefix}9999-12-31") == ["3"]
    for wrong in ("_at=ne2020", "_at=ap2020", f"_at=gt{third}&_at=lt{first}", "_at=x"):
        assert (await client.get(f"Patient/a/_history?{wrong}")).status_code == 400


async def test_times_take_a_plus_sign_that_was_not_escaped(client: httpx.AsyncClient) -> None:
    """An offset with a raw plus is read as one in _since, _at and the parameters of operations."""
    await client.put("Patient/a", json={"resourceType": "Patient", "id": "a"})
    for path in ("_history?_since=", "Patient/a/_history?_at=ge", "Patient/a/$everything?_since="):
        answer = await client.get(f"{path}2020-01-01T00:00:00+02:00")
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["entry"]) == 1
        assert (await client.get(f"{path}2020-01-01T00:00:00+99:00")).status_code == 400
