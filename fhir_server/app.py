"""Putting the server together: settings to a connected, routed ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette_compress import CompressMiddleware, add_compress_type

from fhir_server.engine.context import Services
from fhir_server.engine.engine import handle
from fhir_server.http import log
from fhir_server.http.fhir import FhirApp
from fhir_server.http.health import live, ready
from fhir_server.http.welcome import welcome
from fhir_server.settings import Settings
from fhir_server.store.history import HistoryStore
from fhir_server.store.mongo import Database
from fhir_server.store.resources import ResourceStore
from fhir_server.store.search import SearchStore
from fhir_server.store.secrets import secret

PREFIX = "/fhir"


def base_url(settings: Settings) -> str:
    """Return the absolute URL of the FHIR base: as configured, never from a request's headers, which can be forged."""
    if settings.base_url:
        return settings.base_url.rstrip("/")
    host = "localhost" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}{PREFIX}"


@asynccontextmanager
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Connect to the database that the settings name and give what requests share; closes it afterwards."""
    assert settings.database_url is not None, "the command line starts the embedded mongod first"
    database = await Database.connect(settings.database_url, settings.database_name)
    try:
        yield await services_on(database, settings)
    finally:
        await database.close()


async def services_on(database: Database, settings: Settings) -> Services:
    """Return the services on a connected database."""
    resources = ResourceStore(database, settings.blob_threshold_bytes)
    return Services(
        database=database,
        resources=resources,
        history=HistoryStore(database, resources),
        search=SearchStore(database),
        settings=settings,
        signing_key=await secret(database, "page-token"),
    )


def create_app(settings: Settings | None = None) -> Starlette:
    """Return the ASGI application; its lifespan connects and disconnects the database."""
    settings = settings or Settings()
    log.configure(settings)
    fhir = FhirApp(handle, base_url(settings), PREFIX)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with services(settings) as shared:
            fhir.services = app.state.services = shared
            yield

    for name in ("application/fhir+json", "application/fhir+xml", "application/xml", "text/xml"):
        add_compress_type(name)
    return Starlette(
        routes=[
            # The base itself, where transactions go, has no final slash; a mount would redirect it.
            Route(PREFIX, fhir),
            Mount(PREFIX, app=fhir),
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/", welcome),
        ],
        middleware=[Middleware(CompressMiddleware, minimum_size=1000)],
        lifespan=lifespan,
    )
