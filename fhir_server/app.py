"""Putting the server together: settings to a connected, routed ASGI application."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette_compress import CompressMiddleware, add_compress_type

from fhir_server.auth.access import ScopedAccess
from fhir_server.auth.bearer import BearerToken
from fhir_server.engine.access import Access
from fhir_server.engine.context import Services
from fhir_server.engine.engine import handle
from fhir_server.engine.following import Following
from fhir_server.http import log
from fhir_server.http.bearer import bearer_authentication
from fhir_server.http.cors import Cors
from fhir_server.http.facade.app import create_facade
from fhir_server.http.facade.server import FacadeServer
from fhir_server.http.fhir import FhirApp
from fhir_server.http.health import live, ready
from fhir_server.http.oauth.routes import routes
from fhir_server.http.oauth.server import AuthorizationServer
from fhir_server.http.stopping import Stopping
from fhir_server.http.welcome import welcome
from fhir_server.jobs.audit import AuditTrail
from fhir_server.jobs.background import background
from fhir_server.notifications.live import Live
from fhir_server.payments.configured import configured_gateway
from fhir_server.settings import Settings
from fhir_server.store.history import HistoryStore
from fhir_server.store.mongo import Database
from fhir_server.store.oauth import OAuthStore
from fhir_server.store.resources import ResourceStore
from fhir_server.store.search import SearchStore
from fhir_server.store.search_parameters import SearchParameterStore
from fhir_server.store.secrets import secret

PREFIX = "/fhir"


def base_url(settings: Settings) -> str:
    """Return the absolute URL of the FHIR base: as configured, never from a request's headers, which can be forged."""
    if settings.base_url:
        return settings.base_url.rstrip("/")
    host = "localhost" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}{PREFIX}"


@asynccontextmanager
async def services(settings: Settings, *, serving: bool = False) -> AsyncIterator[Services]:
    """Connect to the database that the settings name and give what requests share; closes it afterwards.

    `serving` is what other processes on the database see: that this one answers at its base URL.
    """
    assert settings.database_url is not None, "the command line starts the embedded mongod first"
    database = await Database.connect(settings.database_url, settings.database_name)
    try:
        shared = await services_on(database, settings, serving=serving)
        await shared.following.start()
        try:
            yield shared
        finally:
            await shared.following.stop()
    finally:
        await database.close()


async def services_on(database: Database, settings: Settings, *, serving: bool = False) -> Services:
    """Return the services on a connected database."""
    resources = ResourceStore(database, settings.blob_threshold_bytes)
    about = {"base_url": base_url(settings)} if serving else {}
    return Services(
        database=database,
        resources=resources,
        history=HistoryStore(database, resources),
        search=SearchStore(database),
        settings=settings,
        signing_key=await secret(database, "page-token"),
        following=Following(SearchParameterStore(database, resources), about),
    )


async def authorization_store(shared: Services) -> OAuthStore[Access]:
    """Return the stores of authorization; each access token is remembered as the access that it gives."""
    settings = shared.settings

    def made(token: BearerToken) -> Access:
        return ScopedAccess(token, timezone=settings.default_timezone, base_url=base_url(settings))

    return await OAuthStore.open(shared.database, settings, made)


def _calm_garbage_collector() -> None:
    """Leave what start-up made out of every later collection, and collect young objects less often.

    A request makes thousands of dicts that reference counting frees, and looking for cycles among them every 700
    allocations is in vain. Measured: bundles went from 1,150 to 2,200 resources a second, and the p99 of 16 concurrent
    readers and writers from some 70 to some 25 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


def create_app(settings: Settings | None = None) -> Starlette:
    """Return the ASGI application; its lifespan connects and disconnects the database."""
    settings = settings or Settings()
    log.configure(settings)
    fhir = FhirApp(handle, base_url(settings), PREFIX)
    authorizing = [] if settings.open else routes(PREFIX)
    facade = create_facade(settings.max_body_bytes)
    gateway = configured_gateway(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with (
            services(settings, serving=True) as shared,
            background(shared, fhir.base_url, gateway),
            AsyncExitStack() as stack,
        ):
            fhir.services = app.state.services = shared
            store = await authorization_store(shared)
            facade.state.live, facade.state.stopping = Live(shared), Stopping()
            stack.push_async_callback(facade.state.live.close)
            facade.state.stopping.listen()
            facade.state.facade = await FacadeServer.open(shared, fhir.base_url, store, gateway)
            if not settings.open:
                fhir.authenticate = bearer_authentication(store)
                app.state.oauth = AuthorizationServer.of(fhir.base_url, shared, store)
                trail = AuditTrail(shared, fhir.base_url, settings.data_dir / "audit")
                app.state.audit = await stack.enter_async_context(trail)
                fhir.record = trail.record
            _calm_garbage_collector()
            yield

    for name in ("application/fhir+json", "application/fhir+xml", "application/xml", "text/xml"):
        add_compress_type(name)
    return Starlette(
        routes=[
            # The base itself, where transactions go, has no final slash; a mount would redirect it.
            *authorizing,
            Route(PREFIX, Cors(fhir)),
            Mount(PREFIX, app=Cors(fhir)),
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/", welcome),
            Mount("/", app=facade),
        ],
        middleware=[Middleware(CompressMiddleware, minimum_size=1000)],
        lifespan=lifespan,
    )
