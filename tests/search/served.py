"""The whole server for tests that are not coroutines, as those of hypothesis: on its own event loop and database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from fhir_server.engine.engine import handle
from fhir_server.engine.subscriptions.registration import ServerAccess
from fhir_server.http.fhir import FhirApp
from fhir_server.r4 import values
from fhir_server.search.planner.query import compile_query
from fhir_server.search.query.parse import parse
from fhir_server.services import services_on
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from fhir_server.store.search.explain import Execution
from fhir_server.store.search.search import SearchStore
from tests.databases import Databases
from tests.encrypted import encrypted_where_asked

BASE = "http://server.test/fhir"

Query = tuple[str, Sequence[tuple[str, str]]]


@dataclass
class Served:
    """A running server."""

    runner: asyncio.Runner
    database: Database
    app: FhirApp
    client: httpx.AsyncClient
    loaded: set[str] = field(default_factory=set)

    def load(self, resources: Sequence[dict[str, Any]]) -> None:
        """Make these resources all there is."""
        self.runner.run(self._load(resources))

    async def _load(self, resources: Sequence[dict[str, Any]]) -> None:
        for name in self.loaded:
            await self.database.current(name).delete_many({})
        self.loaded = {each["resourceType"] for each in resources}
        self.app.authenticate = _as_the_server  # whose Subscriptions are not looked at
        answers = await self._batch(
            [
                {"request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}, "resource": each}
                for each in resources
            ]
        )
        self.app.authenticate = None
        for resource, answer in zip(resources, answers, strict=True):
            assert answer["response"]["status"].startswith("201"), (answer, resource)

    def answers(self, queries: Sequence[Query]) -> list[dict[str, Any]]:
        """Return the answers to many searches, asked for in one batch."""
        return self.runner.run(self._batch([{"request": {"method": "GET", "url": url(*query)}} for query in queries]))

    def ids(self, queries: Sequence[Query]) -> list[set[str] | str]:
        """Return the ids that each search finds, or the error that it answers with."""
        return [_ids(answer) for answer in self.answers(queries)]

    def pad(self, resource_type: str, resource_id: str, copies: int) -> None:
        """Store a resource again under so many other ids, without asking the server to."""
        self.runner.run(self._pad(resource_type, resource_id, copies))

    async def _pad(self, resource_type: str, resource_id: str, copies: int) -> None:
        collection = self.database.current(resource_type)
        matches = await collection.find_one({"_id": resource_id})
        assert matches is not None
        await collection.insert_many([{**matches, "_id": f"{resource_id}-{number}"} for number in range(copies)])

    def explain(self, query: Query, limit: int) -> list[Execution]:
        """Return what the database does for the first page of a search."""
        plan = compile_query(parse((query[0],), list(query[1]), strict=True))
        search = SearchStore(self.database)
        return [each for _, _, executed in self.runner.run(search.explain(plan, limit)) for each in executed]

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Return the answer to a GET."""
        return self.runner.run(self.client.get(path, headers=headers))

    async def _batch(self, entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        body = values.encode({"resourceType": "Bundle", "type": "batch", "entry": list(entries)})
        answer = await self.client.post("", content=body)
        assert answer.status_code == 200, answer.text
        response: list[dict[str, Any]] = answer.json()["entry"]
        return response


async def _as_the_server(headers: Mapping[str, str]) -> ServerAccess:
    return ServerAccess()


def url(resource_type: str, criteria: Sequence[tuple[str, str]]) -> str:
    """Return a search as a relative URL."""
    return f"{resource_type}?{urlencode(criteria, quote_via=quote, safe=':')}"


def _ids(answer: dict[str, Any]) -> set[str] | str:
    if not answer["response"]["status"].startswith("200"):
        return str(answer["response"].get("outcome", answer))
    collected: list[str] = []
    for entry in answer["resource"].get("entry", ()):
        if entry["search"]["mode"] != "match":
            return str(entry["resource"])
        collected.append(entry["fullUrl"].rpartition("/")[2])
    assert len(collected) == len(set(collected)), f"A resource stands twice: {collected}"
    return set(collected)


@contextmanager
def served(runner: asyncio.Runner, mongod_url: str, databases: Databases, settings: Settings) -> Iterator[Served]:
    """Run a server on an empty database, which finds what is stored and nothing of what R4 defines."""
    settings = settings.model_copy(update={"search_core_definitions": False})
    name = databases.take()
    database = runner.run(Database.connect(mongod_url, name))
    runner.run(encrypted_where_asked(database))
    app = FhirApp(handle, BASE, "/fhir")
    app.services = runner.run(services_on(database, settings))
    headers = {"Content-Type": "application/fhir+json"}
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=f"{BASE}/", headers=headers)
    try:
        yield Served(runner, database, app, client)
    finally:
        runner.run(client.aclose())
        runner.run(database.close())
        databases.give_back(name)
