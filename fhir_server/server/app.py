"""Putting the server together: settings to a connected, routed ASGI application."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial

import structlog
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import Scope
from starlette_compress import CompressMiddleware, add_compress_type

from fhir_server.audit.job import AuditTrail
from fhir_server.audit.notifications import tell_of_notification
from fhir_server.engine.context import Services
from fhir_server.engine.engine import handle
from fhir_server.engine.providers.accounts import Accounts
from fhir_server.engine.providers.authorization_server import learn_endpoints
from fhir_server.engine.providers.connected import Providers
from fhir_server.engine.providers.tokens import OutsideTokens
from fhir_server.engine.subscriptions.binding import PATH
from fhir_server.engine.subscriptions.sockets import Sockets
from fhir_server.hospital.api.problem import Problem, answer
from fhir_server.hospital.api.remote import RemoteFhir
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.hospital.app import create_facade
from fhir_server.hospital.billing.card.configured import configured_gateway
from fhir_server.hospital.gateways.card import Gateway
from fhir_server.hospital.notifications.live import Live
from fhir_server.hospital.notifications.open_streams import OpenStreams
from fhir_server.http import log
from fhir_server.http.admission import Admission
from fhir_server.http.allow import refusals
from fhir_server.http.audit.recorded import Recorded
from fhir_server.http.bearer import bearer_authentication
from fhir_server.http.client_address import ClientAddresses
from fhir_server.http.cors import Cors
from fhir_server.http.fhir import FhirApp
from fhir_server.http.health import live, ready
from fhir_server.http.limits import Budgeted
from fhir_server.http.measured import Measured
from fhir_server.http.oauth.routes import PAGES, discovery, routes
from fhir_server.http.oauth.server import AuthorizationServer
from fhir_server.http.request_ids import RequestIds
from fhir_server.http.stopping import ENDS_WITHIN, WORKER_ENDS_WITHIN, Stopping
from fhir_server.http.welcome import welcome
from fhir_server.jobs.provider_checks import provider_checks
from fhir_server.own_urls import use_base
from fhir_server.server.background import background
from fhir_server.server.preparation import prepare
from fhir_server.server.sampling import sampled
from fhir_server.server.subscription_socket import SubscriptionSocket, refuse
from fhir_server.services import PREFIX, authorization_store, base_url, services
from fhir_server.settings import Settings
from fhir_server.store.database.mongod_lines import past_its_end
from fhir_server.store.database.watching import DatabaseWatch
from fhir_server.work.ending import end
from fhir_server.work.threads import share_evenly
from fhir_server.work.watchdog import watched


@cache
def _freeze_what_start_up_made() -> None:
    """Do so once in a process, however many applications it opens."""
    gc.collect()
    gc.freeze()


def _calm_garbage_collector() -> None:
    """Leave what start-up made out of every later collection, and collect young objects less often.

    A request makes thousands of dicts that reference counting frees, and looking for cycles among them every 700
    allocations is in vain. Measured: bundles went from 1,150 to 2,200 resources a second, and the p99 of 16 concurrent
    readers and writers from some 70 to some 25 ms.
    """
    _freeze_what_start_up_made()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


def _give_up() -> None:
    """End a process that has no database any more; who started it starts another."""
    structlog.get_logger(__name__).critical("database.silent", consequence="the process ends itself")
    os._exit(70)  # EX_SOFTWARE; an orderly end would wait for the database


def create_app(settings: Settings | None = None) -> Starlette:
    """Return the ASGI application of the services that the settings name; its lifespan opens what they share."""
    settings = settings or Settings()
    log.configure(settings)
    use_base(settings.canonical_base, settings.former_bases)
    for name in ("application/fhir+json", "application/fhir+xml", "application/xml", "text/xml"):
        add_compress_type(name)
    parts = _Parts(
        settings,
        FhirApp(handle, base_url(settings), PREFIX, Admission.of(settings), Admission.of_answers(settings)),
        create_facade(settings),
        SubscriptionSocket(),
    )
    return Starlette(
        routes=parts.routes(),
        middleware=[
            *([Middleware(Measured, PREFIX)] if settings.metrics_port is not None else []),
            Middleware(RequestIds),
            Middleware(ClientAddresses, settings.trusted_networks),
            Middleware(Cors, settings, PAGES),
            Middleware(Budgeted, settings),
            Middleware(CompressMiddleware, minimum_size=1000),
            Middleware(Recorded, _unrecorded),
        ],
        lifespan=parts.lifespan,
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of one application: FHIR, the authorization server, the facade; those of them that are served."""

    settings: Settings
    fhir: FhirApp
    facade: FastAPI
    socket: SubscriptionSocket

    def routes(self) -> list[BaseRoute]:
        served = self.settings.served
        paths = [Route("/health/live", live), Route("/health/ready", ready)]
        if served & {"auth", "fhir"} and not self.settings.open:
            paths += discovery(PREFIX)
        if "auth" in served and not self.settings.open:
            paths += routes()
        if "fhir" in served:
            paths.append(Route("/", welcome))
        served_routes: list[BaseRoute] = [*paths, *refusals(paths)]
        if "fhir" in served:
            served_routes.append(WebSocketRoute(PREFIX + PATH, self.socket.serve))
        served_routes.append(WebSocketRoute("/{path:path}", refuse))  # the apps below know HTTP alone
        if "fhir" in served:
            # The base itself, where transactions go, has no final slash; a mount would redirect it.
            served_routes += [Route(PREFIX, self.fhir), Mount(PREFIX, app=self.fhir)]
        if served & {"hms", "ehr"}:
            served_routes.append(Mount("/", app=self.facade))
        return served_routes

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        settings = self.settings
        gateway = configured_gateway(settings)
        async with services(settings, serving="fhir" in settings.served) as shared, AsyncExitStack() as stack:
            app.state.services = self.fhir.services = shared
            ended = past_its_end(await shared.database.version())
            if ended is not None:
                log.past_its_end(ended)
            app.state.stopping = stopping = Stopping(settings.drain_seconds)
            stopping.listen(ENDS_WITHIN if settings.workers == 1 else WORKER_ENDS_WITHIN)
            app.state.watch = DatabaseWatch(shared.database, settings.database_silence_seconds, _give_up)
            app.state.watch.start()
            stack.callback(app.state.watch.stop)
            store = await authorization_store(shared)
            providers = Providers.of(store.providers, settings)
            accounts = Accounts(shared, store, self.fhir.base_url)
            outside = OutsideTokens(accounts, providers, store.tokens.made)
            if settings.fhir_base_url is None:
                await stack.enter_async_context(self._sockets(shared))
                checks = provider_checks(accounts, providers)
                await stack.enter_async_context(background(shared, self.fhir.base_url, gateway, checks))
            await self._open_facade(stack, outside, gateway, stopping)
            if not settings.open:
                await self._authorize(app, stack, outside)
            if settings.metrics_port is not None:
                await stack.enter_async_context(sampled(shared, self.facade.state.streams))
            if "fhir" in settings.served:
                await asyncio.to_thread(prepare, self.fhir.base_url, settings)
            _calm_garbage_collector()
            share_evenly()
            stack.enter_context(watched(settings.loop_warning_seconds))
            yield

    @asynccontextmanager
    async def _sockets(self, shared: Services) -> AsyncIterator[None]:
        """Serve websockets meanwhile."""
        tell = partial(tell_of_notification, shared, self.fhir.base_url)
        self.socket.sockets = Sockets(shared, self.fhir.base_url, tell)
        task = asyncio.create_task(self.socket.sockets.run(), name="subscriptions: sockets")
        try:
            yield
        finally:
            await end(task)

    async def _open_facade(
        self, stack: AsyncExitStack, outside: OutsideTokens, gateway: Gateway, stopping: Stopping
    ) -> None:
        shared, store = outside.accounts.services, outside.accounts.store
        state, settings, remote = self.facade.state, self.settings, None
        if settings.fhir_base_url is not None:
            remote = await stack.enter_async_context(RemoteFhir(settings.fhir_base_url, settings.max_body_bytes))
        state.live, state.stopping = Live(shared, self.fhir.base_url), stopping
        stack.push_async_callback(state.live.close)
        state.streams = OpenStreams(store, stopping, settings)
        stack.push_async_callback(state.streams.close)
        state.facade = await FacadeServer.open(
            shared, self.fhir.base_url, store, gateway, remote, admission=self.fhir.admission, outside=outside
        )

    async def _authorize(self, app: Starlette, stack: AsyncExitStack, outside: OutsideTokens) -> None:
        shared, store = outside.accounts.services, outside.accounts.store
        await learn_endpoints(shared, outside.providers)
        self.fhir.authenticate = self.socket.authenticate = bearer_authentication(store, shared, outside)
        app.state.oauth = AuthorizationServer.of(self.fhir.base_url, shared, store, outside.providers)
        trail = AuditTrail(shared, self.fhir.base_url, self.settings.data_dir / "audit")
        app.state.audit = await stack.enter_async_context(trail)
        self.fhir.record = trail.record


def _unrecorded(scope: Scope, reference: str) -> Response:
    """Return the 503 for an access that cannot be recorded: problem+json at the hospital's endpoints."""
    if not scope["path"].startswith("/oauth/"):
        return answer(Problem("unavailable"), "en")
    text = f"The access cannot be recorded now; this is logged under {reference}."
    return PlainTextResponse(text, 503, {"Cache-Control": "no-store", "Retry-After": "5"})
