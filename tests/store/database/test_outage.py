"""While the database is away: all who wait fail together, with 503, and what needs no database is answered."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    DuplicateKeyError,
    NotPrimaryError,
    OperationFailure,
    WriteConcernError,
)

from fhir_server.engine.engine import handle
from fhir_server.errors import Conflict, FhirError, Unavailable
from fhir_server.hospital.api.own_app import register_app
from fhir_server.http.fhir import FhirApp
from fhir_server.services import authorization_store, services_on
from fhir_server.settings import Settings
from fhir_server.store.database.failures import translate
from fhir_server.store.database.mongo import Database
from fhir_server.store.database.mongod import EmbeddedMongod
from tests.client import BASE

SELECTION = 2.0
CALLERS = 12

AWAY = [
    WriteConcernError("stepping down", 11602, {"code": 11602}),
    OperationFailure("shutting down", 11600),
    OperationFailure("no majority yet", 134),
    OperationFailure("disk", 14031),
    BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 91, "errmsg": ""}]}),
    ConfigurationError("no replica set"),
    NotPrimaryError("not primary"),
]


@pytest.mark.parametrize("error", AWAY, ids=lambda error: f"{type(error).__name__}-{getattr(error, 'code', None)}")
def test_a_node_that_comes_or_goes_is_unavailable(error: Exception) -> None:
    """What the driver says while nodes start, stop or step down is 503 with Retry-After, not a fault of ours."""
    result = translate(error)
    assert isinstance(result, Unavailable)
    assert int(result.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "error",
    [
        DuplicateKeyError("E11000", 11000, {"code": 11000}),
        BulkWriteError({"writeErrors": [{"code": 11000}], "writeConcernErrors": []}),
    ],
    ids=["one", "several"],
)
def test_what_is_stored_already_is_a_conflict(error: Exception) -> None:
    """Of two who store the same at once the slower one is told so: a 409, not a fault of ours."""
    assert isinstance(translate(error), Conflict)


async def test_workers_that_start_together_on_an_empty_database_find_no_fault(database: Database) -> None:
    """Each makes what all need, or finds it made; none logs a failure."""
    stores = [await authorization_store(await services_on(database, Settings())) for _ in range(8)]
    with structlog.testing.capture_logs() as lines:
        await asyncio.gather(*(register_app(store) for store in stores))
    assert lines == []


def test_what_the_database_does_not_understand_is_a_fault_of_ours() -> None:
    """A command that is wrong stays a 500."""
    result = translate(OperationFailure("unknown operator", 2))
    assert isinstance(result, FhirError)
    assert result.status == 500


async def test_callers_fail_together_while_the_database_is_away(tmp_path: Path) -> None:
    """None waits for another's attempt: many requests of each kind take as long as one, and /metadata none of it."""
    with EmbeddedMongod(tmp_path / "data") as mongod:
        url = f"{mongod.url}&serverSelectionTimeoutMS={int(SELECTION * 1000)}"
        database = await Database.connect(url)
        app = FhirApp(handle, BASE, "/fhir")
        app.services = services = await services_on(database, Settings(open=True))
        await services.following.start()
        transport = httpx.ASGITransport(app=app)
        headers = {"Content-Type": "application/fhir+json"}
        async with httpx.AsyncClient(transport=transport, base_url=BASE + "/", headers=headers, timeout=60) as client:
            patient: dict[str, Any] = {"resourceType": "Patient", "id": "a"}
            assert (await client.put("Patient/a", json=patient)).status_code == 201
            mongod.stop()
            services.following._announced_at = time.monotonic() - 100  # as after a long outage
            started = time.monotonic()
            assert (await client.get("metadata")).status_code == 200
            items = [client.get("Patient/a") for _ in range(CALLERS)]
            items += [client.put("Patient/a", json=patient | {"active": True}) for _ in range(CALLERS)]
            items += [client.get("Patient?active=true") for _ in range(CALLERS)]
            answers = await asyncio.gather(*items)
            # One attempt after another would take as many times as long as there are callers.
            assert time.monotonic() - started < CALLERS * SELECTION / 2
        await services.following.stop()
        await database.close()
    assert {answer.status_code for answer in answers} == {503}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
