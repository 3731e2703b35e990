"""Code systems that another terminology server has: what is asked there, and what becomes of its answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from fhir_server.settings import Settings
from tests.http.terminology.content import code_system, store, value_set

Json = dict[str, Any]
SCT = "http://snomed.info/sct"
LOOKED_UP = {"resourceType": "Parameters", "parameter": [{"name": "display", "valueString": "Carditis"}]}
EXPANDED = {
    "resourceType": "ValueSet",
    "status": "active",
    "expansion": {"timestamp": "2026-01-01T00:00:00Z", "contains": [{"system": SCT, "code": "1"}]},
}


class Server:
    """Answers every request with the same, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Json]] = []
        self.status, self.answer, self.seconds = 200, json.dumps(LOOKED_UP), 0.0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line[15:]) for line in head.lower().splitlines() if line.startswith("content-length:"))
        self.asked.append((head.split(" ")[1], json.loads(await reader.readexactly(length))))
        await asyncio.sleep(self.seconds)
        body = self.answer.encode()
        writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Yield another terminology server on loopback."""
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/r4"
    async with listening:
        yield made


@pytest.fixture
def settings(server: Server) -> Settings:
    """SNOMED CT is at the other server, which has a second to answer."""
    return Settings(
        terminology_servers=f"{SCT}={server.url}",
        terminology_seconds=1,
        allow_internal_urls=True,
        search_core_definitions=False,
    )


async def test_an_operation_goes_whole_to_the_server_that_has_the_system(
    client: httpx.AsyncClient, server: Server
) -> None:
    """Its answer is given as it is, and kept: the same again is not asked."""
    for _ in range(2):
        answer = await client.get(f"CodeSystem/$lookup?system={SCT}&code=1")
        assert (answer.status_code, answer.json()) == (200, LOOKED_UP)
    [(path, requested)] = server.asked
    assert path == "/r4/CodeSystem/$lookup"
    assert {"name": "code", "valueCode": "1"} in requested["parameter"]


async def test_value_sets_of_this_server_go_along(client: httpx.AsyncClient, server: Server) -> None:
    """By url with those that they include, and by id."""
    server.answer = json.dumps(EXPANDED)
    await store(client, value_set({"system": SCT, "concept": [{"code": "1"}]}, url="urn:inner"), "inner")
    await store(client, value_set({"valueSet": ["urn:inner"]}, url="urn:outer"), "outer")
    assert (await client.get("ValueSet/$expand?url=urn:outer")).json()["expansion"]["contains"][0]["code"] == "1"
    brought = [part["resource"]["url"] for part in server.asked[0][1]["parameter"] if part["name"] == "tx-resource"]
    assert {"urn:inner", "urn:outer"} <= set(brought)
    assert (await client.get("ValueSet/outer/$expand")).status_code == 200
    assert any(part["name"] == "valueSet" for part in server.asked[1][1]["parameter"])


async def test_searches_by_its_codes_find_what_is_stored(client: httpx.AsyncClient, server: Server) -> None:
    """`:in` a value set of its codes, and `:below` one of them."""
    server.answer = json.dumps(EXPANDED)
    await store(client, value_set({"system": SCT, "filter": [
        {"property": "concept", "op": "is-a", "value": "1"}]}, url="urn:v"), "v")  # fmt: skip
    for code in ("1", "2"):
        coding = {"coding": [{"system": SCT, "code": code}]}
        resource = {"resourceType": "Observation", "id": code, "status": "final", "code": coding}
        assert (await client.put(f"Observation/{code}", json=resource)).status_code == 201
    for query in ("code:in=urn:v", "code:in=ValueSet/v", f"code:below={SCT}|1"):
        bundle = (await client.get(f"Observation?{query}")).json()
        assert [each["resource"]["id"] for each in bundle["entry"]] == ["1"], query


async def test_what_is_here_is_not_asked_elsewhere(client: httpx.AsyncClient, server: Server) -> None:
    """Another system, and the system itself once its codes are stored here or come with the request."""
    assert (await client.get("CodeSystem/$lookup?system=urn:other&code=1")).status_code == 404
    own = code_system([{"code": "1", "display": "Own"}], url=SCT, version="1")
    brought = {"name": "tx-resource", "resource": own}
    parameters = [{"name": "system", "valueUri": SCT}, {"name": "code", "valueCode": "1"}, brought]
    answer = await client.post("CodeSystem/$lookup", json={"resourceType": "Parameters", "parameter": parameters})
    assert answer.status_code == 200
    await store(client, own, "own")
    assert (await client.get(f"CodeSystem/$lookup?system={SCT}&code=1")).status_code == 200
    assert server.asked == []


async def test_its_refusals_are_passed_on(client: httpx.AsyncClient, server: Server) -> None:
    """With their status and issues; they are not kept."""
    issue = {"severity": "error", "code": "not-found", "details": {"text": "No such code"}}
    server.status, server.answer = 404, json.dumps({"resourceType": "OperationOutcome", "issue": [issue]})
    for _ in range(2):
        answer = await client.get(f"CodeSystem/$lookup?system={SCT}&code=1")
        assert answer.status_code == 404
        assert answer.json()["issue"][0]["diagnostics"] == "No such code"
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, "{}"),
        (404, "no json"),
        (200, "no json"),
        (200, "[]"),
        (200, '{"resourceType": "ValueSet", "expansion": 7}'),
        (200, "[" * 100_000),
        (302, ""),
    ],
)
async def test_a_server_that_answers_nonsense_is_told_of(
    client: httpx.AsyncClient, server: Server, status: int, answer: str
) -> None:
    """As unavailable, by name; nothing is guessed."""
    server.status, server.answer = status, answer
    response = await client.get(f"ValueSet/$expand?url={SCT}?fhir_vs=isa/1")
    assert response.status_code == 503
    assert server.url in response.json()["issue"][0]["diagnostics"]
    assert (await client.get(f"Observation?code:in={SCT}?fhir_vs=isa/1")).status_code == 503


async def test_a_server_that_says_nothing_is_waited_for_as_long_as_is_set(
    client: httpx.AsyncClient, server: Server
) -> None:
    """And so is one that is not there."""
    server.seconds = 30
    assert (await client.get(f"CodeSystem/$lookup?system={SCT}&code=1")).status_code == 503


async def test_an_internal_server_is_not_asked_unless_that_is_allowed(
    client: httpx.AsyncClient, server: Server, settings: Settings
) -> None:
    """By the guard of every request that goes out."""
    settings.allow_internal_urls = False
    assert (await client.get(f"CodeSystem/$lookup?system={SCT}&code=1")).status_code == 503
    assert server.asked == []


@pytest.mark.parametrize("text", ["http://snomed.info/sct", "=https://a.example", "urn:x=ftp://a", "urn:x=https://a?b"])
def test_a_setting_that_is_no_route_is_refused(text: str) -> None:
    """At the start."""
    with pytest.raises(ValidationError):
        Settings(terminology_servers=text)
