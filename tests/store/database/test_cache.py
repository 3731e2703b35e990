"""A database with little memory: what fits is stored however much comes at once, what does not is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo.errors import BulkWriteError, OperationFailure
from rich.console import Console

from fhir_server.engine.context import Context, Request, Services
from fhir_server.engine.engine import handle
from fhir_server.errors import TooLarge, Unavailable
from fhir_server.http.admission import Admission
from fhir_server.http.fhir import FhirApp
from fhir_server.load.load import load
from fhir_server.services import services_on
from fhir_server.settings import Settings
from fhir_server.store.database.cache import default_cache_gb
from fhir_server.store.database.failures import translate
from fhir_server.store.database.mongo import Database, Session
from fhir_server.store.database.mongod import EmbeddedMongod
from tests.client import BASE

GIGABYTE = 1024**3


@pytest.fixture(scope="module")
def small_mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a mongod with the smallest cache there is."""
    directory: Path = tmp_path_factory.mktemp("small")
    with EmbeddedMongod(directory, cache_gb=0.25) as mongod:
        yield mongod.url


@pytest.fixture
async def small(small_mongod: str) -> AsyncIterator[Services]:
    """The engine's services on a database with little memory."""
    database = await Database.connect(small_mongod)
    try:
        yield await services_on(database, Settings())
    finally:
        await database.drop()
        await database.close()


def bundle(entries: int, text: str = "", kind: str = "transaction") -> dict[str, Any]:
    """Return a bundle that creates observations, each with a note."""
    resource = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": f"{number}"} for number in range(20)]},
        "note": [{"text": text or "x"}],
    }
    entry = {"resource": resource, "request": {"method": "POST", "url": "Observation"}}
    return {"resourceType": "Bundle", "type": kind, "entry": [entry] * entries}


async def post(services: Services, resource: dict[str, Any]) -> int:
    """Carry a bundle out; returns the status."""
    return (await handle(Context(services, BASE), Request("POST", "", resource=resource))).status


async def observations(services: Services) -> int:
    return await services.database.current("Observation").count_documents({})


async def test_transactions_that_fill_the_cache_together_are_all_stored(small: Services) -> None:
    """None ends as a conflict or a fault: those that the database rolls back for want of room take turns."""
    answers = await asyncio.gather(*(post(small, bundle(700)) for _ in range(14)))
    assert set(answers) == {200}
    assert await observations(small) == 14 * 700


async def test_what_cannot_fit_is_refused_at_once_with_the_limit(small: Services) -> None:
    """413 before anything is sent to the database."""
    with pytest.raises(TooLarge, match=r"room for \d+ bytes"):
        await post(small, bundle(1000, "x" * 100_000))
    assert await observations(small) == 0


async def test_a_transaction_that_proves_too_large_is_refused(small: Services) -> None:
    """Where the forecast was wrong the database's own refusal, made when it ran alone, is 413 too."""
    collection = small.database.collection("large")

    async def write(session: Session) -> None:
        for _ in range(40):
            await collection.insert_many([{"text": "x" * 1_000_000} for _ in range(8)], session=session)

    with pytest.raises(TooLarge, match=r"holds \d+ bytes"):
        await small.database.transaction(write)
    assert await collection.count_documents({}) == 0


async def test_a_batch_is_not_bound_by_what_a_transaction_may_hold(small: Services) -> None:
    """Each entry is stored by itself."""
    answer = await handle(Context(small, BASE), Request("POST", "", resource=bundle(90, "x" * 1_000_000, kind="batch")))
    assert answer.json is not None
    assert answer.json.count(b'"201 Created"') == 90


async def test_a_crowd_over_http_beside_readers(small: Services) -> None:
    """Large bundles wait for each other, a read beside them is answered, and nobody is refused."""
    app = FhirApp(handle, BASE, "/fhir", Admission(1_000_000, 4_000_000, 120))
    app.services = small
    transport = httpx.ASGITransport(app=app)
    headers = {"Content-Type": "application/fhir+json"}
    async with httpx.AsyncClient(transport=transport, base_url=BASE + "/", headers=headers, timeout=120) as client:
        await client.put("Patient/1", json={"resourceType": "Patient", "id": "1"})
        crowd = [client.post("", json=bundle(300, kind=kind)) for kind in ["transaction"] * 9 + ["batch"]]
        posting = asyncio.gather(*crowd)
        while not posting.done():
            assert (await client.get("Patient/1")).status_code == 200
        assert {answer.status_code for answer in await posting} == {200}
    assert await observations(small) == 10 * 300


@pytest.mark.parametrize("code", [24, 112, 251, 262, 290, 365, 388])
def test_a_database_that_is_busy_is_503(code: int) -> None:
    """Alone or inside a bulk write: never a fault of the server, and the caller is told when to come again."""
    bulk = BulkWriteError({"writeErrors": [{"index": 0, "code": code}]})
    for error in (OperationFailure("no", code), bulk):
        result = translate(error)
        assert isinstance(result, Unavailable)
        assert result.headers["Retry-After"]


@pytest.mark.parametrize(("memory", "cache"), [(1, 0.25), (2, 0.5), (16, 4.0), (512, 16.0)])
def test_the_cache_follows_the_memory(memory: int, cache: float) -> None:
    """A quarter of it, within bounds."""
    assert default_cache_gb(memory * GIGABYTE) == cache


async def test_load_beside_writers(small: Services, small_mongod: str, tmp_path: Path) -> None:
    """Processes that load share the cache with a crowd of transactions: all is stored, nothing refused."""
    (tmp_path / "bundle.json").write_text(json.dumps(bundle(900)))
    lines = (json.dumps(entry["resource"]) for entry in bundle(800)["entry"])
    (tmp_path / "Observation.ndjson").write_text("\n".join(lines))
    settings = Settings(database_url=small_mongod)
    console = Console(file=StringIO())
    loading = asyncio.to_thread(
        load, [tmp_path], settings, workers=2, refused=tmp_path / "refused", state=tmp_path / "state", console=console
    )
    summary, *answers = await asyncio.gather(loading, *(post(small, bundle(700)) for _ in range(8)))
    assert not summary.refusals
    assert set(answers) == {200}
    assert await observations(small) == 900 + 800 + 8 * 700
