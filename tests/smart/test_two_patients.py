"""Patient A's token on a server with patient B's records and on one without: the answers are the same to the letter.

So no value, no count and no existence of anything of B's can show, whatever the way in.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fhir_server.engine.engine import HANDLERS
from fhir_server.engine.operations.registry import OPERATIONS
from fhir_server.store.search import estimate as search_estimate
from tests.databases import Databases
from tests.smart.two_patients import fill, resources_of
from tests.smart.ways import EACH_RESOURCE, WAYS, B, Way
from tests.smart_server import BASE, SmartServer, smart_server


@pytest.fixture
async def servers(
    mongod_url: str, databases: Databases, database_name: str, tmp_path: Path
) -> AsyncIterator[tuple[SmartServer, SmartServer]]:
    """Yield a server with A's and B's records, and one with A's alone."""
    other_name = databases.take()
    async with (
        smart_server(mongod_url, database_name, tmp_path / "both") as both,
        smart_server(mongod_url, other_name, tmp_path / "alone") as alone,
    ):
        await fill(both.services, BASE, with_b=True)
        await fill(alone.services, BASE, with_b=False)
        yield both, alone
    databases.give_back(other_name)


async def _as_a(server: SmartServer, scope: str) -> httpx.AsyncClient:
    await server.add_user("anna", "patient", "Patient/a")
    return server.fhir(await server.token_for("anna", scope))


async def _ask(fhir: httpx.AsyncClient, way: Way) -> httpx.Response:
    headers = {"Content-Type": "application/fhir+json", **dict(way.headers)}
    if isinstance(way.body, str):
        return await fhir.request(way.method, way.url, content=way.body, headers=headers)
    return await fhir.request(way.method, way.url, json=way.body, headers=headers)


_CHANGING = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z|(?<=_page=)[\w%-]+"
)


def _shown(answer: httpx.Response) -> tuple[int, str, dict[str, str]]:
    """Return what an answer says, without what differs from one call to the next."""
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name in ("etag", "location", "allow", "www-authenticate")
    }
    return (
        answer.status_code,
        _CHANGING.sub("*", answer.text),
        {name: _CHANGING.sub("*", value) for name, value in headers.items()},
    )


SCOPES = ["patient/*.cruds openid fhirUser", "user/*.cruds openid fhirUser", "patient/*.* launch/patient"]


@pytest.mark.parametrize("scope", SCOPES)
async def test_no_way_in_tells_a_of_b(servers: tuple[SmartServer, SmartServer], scope: str) -> None:
    """Each way in answers A alike whether B's records are there or not, and nothing of B's stands in the answer."""
    both, alone = [await _as_a(server, scope) for server in servers]
    collected: list[str] = []
    for way in [*WAYS, *(EACH_RESOURCE if scope == SCOPES[0] else ())]:
        seen, expected = await _ask(both, way), await _ask(alone, way)
        if seen.status_code >= 500 and seen.status_code != 501:
            collected.append(f"{way.method} {way.url}: {seen.status_code} {seen.text[:300]}")
        elif way.interaction != "capabilities" and _shown(seen) != _shown(expected):
            collected.append(f"{way.method} {way.url} {way.headers}:\n   {_shown(seen)}\n   {_shown(expected)}"[:1500])
    assert not collected, "\n".join(collected)
    for resource_type, resource_id in B:
        unharmed = await servers[0].services.resources.read(resource_type, resource_id)
        assert (unharmed.version, unharmed.deleted) == (2, False), f"{resource_type}/{resource_id}"


async def test_a_sees_all_that_is_a_s(servers: tuple[SmartServer, SmartServer]) -> None:
    """The rule hides nothing of A's own: each of A's resources can be read, and is found."""
    fhir = await _as_a(servers[0], "patient/*.rs")
    hidden = {"Group", "AuditEvent"}
    for one in resources_of("a"):
        own = one["resourceType"] not in hidden and not one["id"].startswith("a-list-source")
        read = await fhir.get(f"{one['resourceType']}/{one['id']}")
        answer = await fhir.get(f"{one['resourceType']}?_id={one['id']}")
        vread = await fhir.get(f"{one['resourceType']}/{one['id']}/_history/1")
        if own:
            assert (read.status_code, vread.status_code, answer.json()["total"]) == (200, 200, 1), one
        else:
            assert read.status_code in (403, 404), one


async def test_a_s_page_link_shows_another_caller_no_more_than_that_one_may_see(
    servers: tuple[SmartServer, SmartServer],
) -> None:
    """Trap 27: a link of a caller who sees all gives A only A's rows."""
    wide = servers[0].fhir(await servers[0].system_token("system/*.rs"))
    page = (await wide.get("Observation?_count=1")).json()
    link = next(link["url"] for link in page["link"] if link["relation"] == "next")
    fhir = await _as_a(servers[0], "patient/*.rs")
    seen: list[str] = []
    while link:
        answer = await fhir.get(link)
        assert answer.status_code == 200
        seen += [entry["resource"]["id"] for entry in answer.json().get("entry", [])]
        link = next((one["url"] for one in answer.json()["link"] if one["relation"] == "next"), "")
    assert seen
    assert all(resource_id.startswith("a-") for resource_id in seen)


async def test_the_records_of_all_patients_are_of_those_that_the_caller_sees(
    servers: tuple[SmartServer, SmartServer],
) -> None:
    """Who may see all observations, but not patient B, gets none of B's: that caller has no record of B."""
    fhir = servers[0].fhir(
        await servers[0].system_token("system/Patient.rs?birthdate=1990-01-01 system/Observation.rs")
    )
    bundle = (await fhir.get("Patient/$everything?_count=1000")).json()
    urls = {entry["fullUrl"].removeprefix(f"{BASE}/") for entry in bundle["entry"]}
    assert {"Patient/a", "Observation/a-observation-subject-0"} <= urls
    assert not {url for url in urls if url.partition("/")[2].startswith("b")}


async def test_an_estimate_tells_nothing_of_what_is_hidden(
    servers: tuple[SmartServer, SmartServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An estimate is made from the size of the whole, so who sees a part gets the exact number, however large."""
    monkeypatch.setattr(search_estimate, "FEW", 0)
    monkeypatch.setattr(search_estimate, "COUNTED", 0)
    monkeypatch.setattr(search_estimate, "SAMPLE", 1)
    for server in servers:
        fhir = await _as_a(server, "patient/*.rs")
        exact = (await fhir.get("Observation?_count=1&_total=accurate")).json()["total"]
        assert (await fhir.get("Observation?_count=1&_total=estimate")).json()["total"] == exact > 1


def test_every_interaction_and_operation_is_a_way_in() -> None:
    """Whoever adds an interaction or an operation must add it to the ways that are tried here."""
    assert {way.interaction for way in (*WAYS, *EACH_RESOURCE)} == set(HANDLERS)
    tried = {part.partition("?")[0] for way in WAYS for part in way.url.split("/") if part.startswith("$")}
    assert tried == {f"${operation.code}" for operation in OPERATIONS}
