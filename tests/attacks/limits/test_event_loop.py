"""What takes long is done apart from the event loop, or lets others in: also what only the first request does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from fhir_server.engine.graphql.execution import _holding
from fhir_server.engine.graphql.nodes import root
from fhir_server.engine.interactions import capabilities
from fhir_server.engine.operations import registry
from fhir_server.hospital.api.description import openapi
from fhir_server.hospital.app import create_facade
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search import registry as registered
from fhir_server.search.registry import official_parameters, register
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from fhir_server.work.budget import Budget, counted, working
from tests.facade_server import opened


async def test_an_expression_on_many_resources_lets_others_in() -> None:
    """Each is cheap, all are not: others have their turns between them."""
    names = [{"family": "x", "given": ["y", "z"]}] * 30
    nodes = [root({"resourceType": "Patient", "id": str(at), "name": names}) for at in range(300)]
    turns, over = 0, asyncio.Event()

    async def other() -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1
            await asyncio.sleep(0)

    watching = asyncio.create_task(other())
    budget = Budget(60)
    with working(budget):
        kept = await counted(_holding(nodes, "%resource.descendants().count() > 0"), budget)
    over.set()
    await watching
    assert len(kept) == 300
    assert turns > 5


async def test_the_description_is_made_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a third of a second, and each of the first requests asks for it; it is made once."""
    openapi._descriptions.clear()
    makers: list[threading.Thread] = []
    making = FastAPI.openapi

    def noted(app: FastAPI) -> dict[str, Any]:
        makers.append(threading.current_thread())
        return making(app)

    monkeypatch.setattr(FastAPI, "openapi", noted)
    app: Any = create_facade(Settings())
    made = await asyncio.gather(*(app.described() for _ in range(5)))
    assert all(each is made[0] for each in made)
    assert len(makers) == 1
    assert makers[0] is not threading.main_thread()


async def test_no_request_makes_what_all_need(
    database: Database, mongod_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is ready has its search parameters and its CapabilityStatement."""
    register(())
    official_parameters.cache_clear()
    capabilities._made.clear()
    makers: list[threading.Thread] = []
    collect, state = registered._collect, capabilities._statement

    def noted(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any, **named: Any) -> Any:
            makers.append(threading.current_thread())
            return make(*arguments, **named)

        return made

    monkeypatch.setattr(registered, "_collect", noted(collect))
    monkeypatch.setattr(capabilities, "_statement", noted(state))
    async with opened(mongod_url, database.name, tmp_path, open=True) as hospital:
        assert len(makers) >= len(RESOURCE_TYPES)
        assert makers[-1] is not threading.main_thread()
        before = len(makers)
        for path in ("metadata", "Patient?name=x", "Claim?_include=*&_revinclude=*", ""):
            assert (await hospital.http.get(f"/fhir/{path}")).status_code == 200
        assert len(makers) == before
        register(())  # as when a search parameter is added: made anew, and not on the loop
        assert (await hospital.http.get("/fhir/metadata")).status_code == 200
        assert [each for each in makers[before:] if each is not threading.main_thread()]


async def test_graphql_is_loaded_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its library is loaded by whoever asks first, while others are served."""
    loaders: list[threading.Thread] = []

    async def answered(*_: Any) -> Any:
        return None

    def load() -> None:
        loaders.append(threading.current_thread())
        registry._graphql_once_loaded.append(answered)

    monkeypatch.setattr(registry, "_graphql_once_loaded", [])
    monkeypatch.setattr(registry, "_load_graphql", load)
    nothing: Any = None
    await registry._graphql(nothing, nothing, nothing, nothing)
    assert loaders
    assert loaders[0] is not threading.main_thread()
