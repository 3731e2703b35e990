"""`/metrics` on a port of its own, answered by a thread of the process that was started: a busy worker still shows.

Of several workers it shows the sum, by files in which each keeps its figures.
https://prometheus.github.io/client_python/multiprocess/
"""

from __future__ import annotations

import hmac
import os
import re
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from fhir_server.settings import Settings

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_LIVE = re.compile(r"gauge_live\w+_(\d+)\.db")
_SECONDS = 10
_MOST_AT_ONCE = 16
"""Connections that are answered at a time; the next is closed unanswered, as it may be anybody's."""


@contextmanager
def exposition(settings: Settings) -> Iterator[None]:
    """Show the figures of this process, or of the workers that it starts meanwhile; does nothing without a port."""
    if settings.metrics_port is None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="fhir-server-metrics-") as directory:
        several = settings.workers > 1
        if several:
            os.environ[_DIRECTORY] = directory  # the workers inherit it, and read it when they begin
        server = _Server(settings, Path(directory) if several else None)
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, settings: Settings, directory: Path | None) -> None:
        assert settings.metrics_port is not None
        if ":" in settings.metrics_host:
            self.address_family = socket.AF_INET6
        self.token = settings.metrics_token
        self.directory = directory
        self.places = threading.BoundedSemaphore(_MOST_AT_ONCE)
        super().__init__((settings.metrics_host, settings.metrics_port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, where there is a place for one."""
        if self.places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and give the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def figures(self) -> bytes:
        """Return the figures in Prometheus' text format."""
        if self.directory is None:
            return generate_latest(REGISTRY)
        for path in self.directory.glob("gauge_live*.db"):
            match = _LIVE.fullmatch(path.name)
            if match and not Path("/proc", match[1]).exists():
                mark_process_dead(int(match[1]), str(self.directory))  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self.directory))  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SECONDS
    server_version, sys_version = "fhir-server", ""

    def do_GET(self) -> None:
        """Answer with the figures."""
        if self.path.partition("?")[0] != "/metrics":
            self._answer(404, b"There is only /metrics here.\n")
        elif not self._may_see():
            self._answer(401, b"The bearer token is missing or wrong.\n")
        else:
            self._answer(200, self.server.figures(), CONTENT_TYPE_LATEST)

    do_HEAD = do_GET

    def _refuse_method(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self._answer(404, b"There is only /metrics here.\n")
        else:
            self._answer(405, b"The method is not allowed here.\n")

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = _refuse_method

    def _may_see(self) -> bool:
        token = self.server.token
        if token is None:
            return True
        scheme, _, sent = self.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), token.encode())

    def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        if status == 405:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: who asks is Prometheus, every few seconds."""
