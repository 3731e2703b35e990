"""Counts and times requests for `/metrics`: by service, interaction or endpoint, and status; no path, no id."""

from __future__ import annotations

import time

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhir_server.engine.routes import route_of
from fhir_server.errors import FhirError
from fhir_server.work import metrics

_UNKNOWN = "unknown"


class Measured:
    """Measures each request until its answer begins: how fast a client reads the rest is not the server's doing."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self._prefix = prefix
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._histograms: dict[tuple[str, str], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, seconds = time.perf_counter(), 0, 0.0

        async def measured(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status, seconds = message["status"], time.perf_counter() - started
            await send(message)

        path = scope["path"]
        metrics.IN_PROGRESS.inc()
        try:
            await self.app(scope, receive, measured)
        finally:
            metrics.IN_PROGRESS.dec()
            self._note(*self._kind(scope, path), status or 500, seconds or time.perf_counter() - started)

    def _kind(self, scope: Scope, path: str) -> tuple[str, str]:
        """Return the service that answered and what it was asked, both of lists of ours."""
        if path == self._prefix or path.startswith(self._prefix + "/"):
            return "fhir", _interaction(scope["method"], path[len(self._prefix) :].strip("/"))
        pattern = getattr(scope.get("route"), "path", None)
        if not pattern or scope.get("endpoint") is None:
            return "other", _UNKNOWN
        service = "auth" if pattern.startswith(("/oauth/", "/.well-known/")) else "hospital"
        return ("health" if pattern.startswith("/health/") else service), f"{scope['method']} {pattern}"

    def _note(self, service: str, interaction: str, status: int, seconds: float) -> None:
        counter = self._counters.get((service, interaction, status))
        if counter is None:
            counter = metrics.REQUESTS.labels(service, interaction, str(status))
            self._counters[service, interaction, status] = counter
        histogram = self._histograms.get((service, interaction))
        if histogram is None:
            histogram = self._histograms[service, interaction] = metrics.REQUEST_SECONDS.labels(service, interaction)
        counter.inc()
        histogram.observe(seconds)


def _interaction(method: str, path: str) -> str:
    try:
        return route_of(method, path).interaction
    except FhirError:
        return "options" if method == "OPTIONS" else _UNKNOWN
