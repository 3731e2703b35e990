"""Fixtures: a FHIR client against the whole server, in process, on a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from fhir_server.engine.context import Services
from fhir_server.engine.engine import handle
from fhir_server.http.fhir import FhirApp
from fhir_server.services import services_on
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database

BASE = "http://server.test/fhir"


@pytest.fixture
def settings() -> Settings:
    """Small limits, so that tests can pass them; searches find what a test has stored, and nothing else."""
    return Settings(
        max_body_bytes=8_000_000,
        max_bundle_entries=1000,
        blob_threshold_bytes=1_000_000,
        search_core_definitions=False,
    )


@pytest.fixture
async def services(database: Database, settings: Settings) -> Services:
    """The engine's services on the test's database."""
    return await services_on(database, settings)


@pytest.fixture
async def client(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client whose base is the FHIR base."""
    app = FhirApp(handle, BASE, "/fhir")
    app.services = services
    transport = httpx.ASGITransport(app=app)
    headers = {"Content-Type": "application/fhir+json"}
    async with httpx.AsyncClient(transport=transport, base_url=BASE + "/", headers=headers) as made:
        yield made
