"""What is stored counts at once, on every worker; and what one operation says of a value set, all others say."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import hypothesis
import pytest
from hypothesis import strategies as st

from fhir_server.engine.context import Services
from fhir_server.engine.engine import handle
from fhir_server.http.fhir import FhirApp
from fhir_server.services import services_on
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from tests.client import BASE
from tests.http.terminology.content import ANIMALS, Json, code_system, codes, is_member, store, value_set


@pytest.fixture
async def other(database: Database, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another worker on the same database."""
    app = FhirApp(handle, BASE, "/fhir")
    app.services = await services_on(database, settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE + "/") as made:
        yield made


async def test_a_change_counts_on_every_worker(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    """A new version, a supplement, a deletion on one worker is in the next answer of the other."""
    await store(client, code_system([{"code": "a"}], version="1"), "one")
    await store(client, value_set({"system": "urn:s"}), "v")
    assert await codes(other, "urn:v") == ["a"]
    await store(client, code_system([{"code": "b"}], version="2"), "two")
    assert await codes(other, "urn:v") == ["b"]
    await store(client, code_system([{"code": "c"}], version="2"), "two")
    assert await codes(other, "urn:v") == ["c"]
    supplement = {
        "resourceType": "CodeSystem",
        "url": "urn:more",
        "status": "active",
        "content": "supplement",
        "supplements": "urn:s",
        "concept": [{"code": "c", "designation": [{"language": "de", "value": "Zeh"}]}],
    }
    query = {"system": "urn:s", "code": "c", "displayLanguage": "de", "useSupplement": "urn:more"}
    assert (await other.get("CodeSystem/$lookup", params=query)).status_code == 404
    await store(client, supplement, "more")
    assert "Zeh" in (await other.get("CodeSystem/$lookup", params=query)).text
    await client.delete("CodeSystem/more")
    assert (await other.get("CodeSystem/$lookup", params=query)).status_code == 404
    await client.delete("CodeSystem/two")
    assert await codes(other, "urn:v") == ["a"]
    await client.delete("CodeSystem/one")
    assert (await other.get("ValueSet/$expand?url=urn:v")).status_code == 404


async def test_a_purged_system_is_gone(client: httpx.AsyncClient, other: httpx.AsyncClient, services: Services) -> None:
    """What was removed for good, without a newer version, is gone from answers as well."""
    await store(client, code_system([{"code": "a"}]), "one")
    await store(client, code_system([{"code": "x"}], url="urn:later"), "later")
    query = {"system": "urn:s", "code": "a"}
    assert (await other.get("CodeSystem/$lookup", params=query)).status_code == 200
    assert (await client.post("CodeSystem/one/$purge")).status_code == 200
    assert (await other.get("CodeSystem/$lookup", params=query)).status_code == 404


async def test_a_search_follows_a_change(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    """So does a search by a value set."""
    basic = {"resourceType": "Basic", "code": {"coding": [{"system": "urn:s", "code": "dog"}]}}
    await store(client, basic, "dog")
    await store(client, value_set({"system": "urn:s", "concept": [{"code": "dog"}]}), "v")
    assert (await other.get("Basic?code:in=urn:v")).json()["total"] == 1
    await store(client, value_set({"system": "urn:s", "concept": [{"code": "cat"}]}), "v")
    assert (await other.get("Basic?code:in=urn:v")).json()["total"] == 0


# --- Laws --------------------------------------------------------------------------------------------------------

CODES = ["animal", "dog", "beagle", "cat", "stone"]
_codes = st.lists(st.sampled_from(CODES), min_size=1, unique=True)


def _filter(op: str, some: list[str]) -> Json:
    value = ",".join(some) if op in {"in", "not-in"} else some[0]
    return {"property": "concept", "op": op, "value": value}


def _part(some: list[str], filters: list[Json], parts: set[str]) -> Json:
    """Return an include or exclude with some of what may stand in it; at least a system or a value set."""
    made: Json = {} if parts == {"valueSet"} else {"system": "urn:s"}
    if "filter" in parts:
        made["filter"] = filters
    elif "concept" in parts:
        made["concept"] = [{"code": each} for each in some]
    return made | ({"valueSet": ["urn:base"]} if "valueSet" in parts else {})


_operators = st.sampled_from(["is-a", "descendent-of", "is-not-a", "generalizes", "in", "not-in", "="])
_filters = st.lists(st.builds(_filter, _operators, _codes), min_size=1, max_size=2)
_parts = st.builds(_part, _codes, _filters, st.sets(st.sampled_from(["filter", "concept", "valueSet"]), max_size=2))
BASE_SET = value_set({"system": "urn:s", "concept": [{"code": "dog"}, {"code": "stone"}]}, url="urn:base")


@hypothesis.settings(
    max_examples=20, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(include=st.lists(_parts, min_size=1, max_size=2), exclude=st.lists(_parts, max_size=2))
async def test_all_say_the_same(client: httpx.AsyncClient, include: list[Json], exclude: list[Json]) -> None:
    """$expand lists just the codes that $validate-code finds, and a search finds just these; excludes are set
    differences.
    """
    if (await client.get("CodeSystem/animals")).status_code == 404:
        await store(client, ANIMALS, "animals")
        await store(client, BASE_SET, "base")
        for code in CODES:
            await store(
                client, {"resourceType": "Basic", "code": {"coding": [{"system": "urn:s", "code": code}]}}, code
            )
    whole = await _expanded(client, value_set(*include, url="urn:whole"))
    without = await _expanded(client, value_set(*exclude, url="urn:without")) if exclude else set()
    less = await _expanded(client, value_set(*include, exclude=exclude, url="urn:less"))
    assert less == whole - without
    assert {code for code in CODES if await is_member(client, "urn:less", "urn:s", code)} == less
    answer = (await client.get("Basic?code:in=urn:less&_count=10")).json()
    assert {each["resource"]["id"] for each in answer.get("entry", [])} == less


async def _expanded(client: httpx.AsyncClient, resource: Json) -> set[str]:
    url: str = resource["url"]
    await store(client, resource, url.replace(":", "-"))
    return set(await codes(client, url))
