"""The `serve` command: the embedded mongod (unless a database is named), the demo clinic, and the HTTP workers.

The application is imported while the mongod starts: each takes half a second, which an operator waits for only once.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING

import typer

from fhir_server.http import log
from fhir_server.http.connections import raise_descriptor_limit
from fhir_server.http.stopping import ANSWERS_WITHIN, refuse_hangup
from fhir_server.settings import SERVICES, Settings, is_loopback
from fhir_server.store.backup.restoring import require_whole
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongo import Database
from fhir_server.store.database.mongod import EmbeddedMongod, join
from fhir_server.store.encryption.key_services import key_service
from fhir_server.store.encryption.stored_keys import unlock

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from fhir_server.hospital.demo.loading import Login

STARTUP_FAILURE = 3
_PORT_SECONDS = 8.0
"""How long a port may still be in use, by the workers of a server that was killed a moment ago."""
_BEGINS_WITHIN = 30
"""Seconds after which a worker without a sign of life is replaced: on a busy machine, one that begins needs some."""
_ORPHANED_SECONDS = 5.0
"""How long a worker whose parent was killed may take to finish what it is at."""


def run(settings: Settings, *, demo: bool = False) -> None:
    """Serve until interrupted; raises StartupError with what to do next."""
    if demo and settings.fhir_base_url:
        raise StartupError("--demo fills this server's own database; --fhir-base-url answers from another server's.")
    log.configure(settings)
    refuse_hangup()
    raise_descriptor_limit()
    _require_loopback(settings)
    _require_free_port(settings.host, settings.port)
    if settings.metrics_port is not None:
        _require_free_port(settings.metrics_host, settings.metrics_port)
    gc.disable()  # start-up makes no garbage; the application collects again when it is up
    # uvicorn raises the signal that ended it once more; without a handler that would end us before our mongod.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _database(settings) as url:
        settings = settings.model_copy(update={"database_url": url})
        asyncio.run(_require_database(settings))
        _greet(settings, asyncio.run(_load_demo(settings)) if demo else [])
        _serve(settings)


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """Give the URL of the database; an embedded one runs meanwhile, unless it does in another process."""
    # A part of the services joins the other parts; a second whole server on the directory would be a mistake.
    running = settings.database_url or (None if settings.served == SERVICES else join(settings.data_dir))
    if running:
        yield running
        return
    importing = threading.Thread(target=import_module, args=("fhir_server.server.app",))
    importing.start()
    try:
        with EmbeddedMongod.of(settings) as mongod:
            importing.join()
            yield mongod.url
    finally:
        importing.join()  # an interpreter that ends in the middle of an import complains about it


def _serve(settings: Settings) -> None:
    import uvicorn

    from fhir_server.http.connections import BoundedProtocol
    from fhir_server.server.exposition import exposition
    from fhir_server.server.workers import serve_by_workers

    for name, value in settings.model_dump(exclude_none=True).items():
        os.environ[f"FHIR_SERVER_{name.upper()}"] = str(value)
    config = uvicorn.Config(
        "fhir_server.cli.serve:application",
        factory=True,
        http=BoundedProtocol,
        ws="websockets-sansio",
        ws_max_size=64 * 1024,  # a client says what it is to be bound to, no more
        ws_max_queue=8,
        ws_per_message_deflate=False,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        timeout_worker_healthcheck=_BEGINS_WITHIN,
        access_log=False,
        proxy_headers=False,  # http.client_address decides whose forwarding header counts
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=75,  # longer than clients keep a connection in their pools
        timeout_graceful_shutdown=ANSWERS_WITHIN,
    )
    with exposition(settings):
        if settings.workers > 1:
            serve_by_workers(config)
            return
        server = uvicorn.Server(config)
        with suppress(KeyboardInterrupt):
            server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def application() -> Starlette:
    """Return the application of a process that serves; one of several workers ends with the process that started it."""
    from fhir_server.server.app import create_app

    if multiprocessing.parent_process() is not None:
        refuse_hangup()
        threading.Thread(target=_end_with_parent, daemon=True).start()
    return create_app()


def _end_with_parent() -> None:
    # One that was killed cannot end its workers: they would hold the port, without the database it ran for them.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORPHANED_SECONDS)
    os._exit(1)  # what still waits for the database that the parent ran waits in vain


def _require_loopback(settings: Settings) -> None:
    """Refuse to serve without authorization to other machines."""
    if settings.open and not is_loopback(settings.host):
        raise StartupError(
            f"--open serves without authorization, so only on a loopback address, not on {settings.host}."
        )


def _require_free_port(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on, before a database is started for nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = time.monotonic() + _PORT_SECONDS
    while True:
        try:
            socket.create_server((host, port), family=family).close()
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise StartupError(
                f"Nothing can listen on port {port} of {host}: {error.strerror}. Choose another with --port or --host."
            ) from error
        return


async def _require_database(settings: Settings) -> None:
    """Refuse a database that cannot carry the server: a worker process that finds out could not say so in one line."""
    database = await Database.connect(settings.database_url or "", settings.database_name)
    try:
        await require_whole(database)
        await unlock(database, key_service(settings, database.client))
    finally:
        await database.close()


async def _load_demo(settings: Settings) -> list[Login]:
    from fhir_server.hospital.demo.loading import load

    return await load(settings)


def _greet(settings: Settings, logins: list[Login]) -> None:
    from fhir_server.services import base_url

    if settings.log_format == "json":
        # All that a program reads is JSON, on both outputs; how to begin is for people, and passwords are for no log.
        log.serving(base_url(settings), sorted(settings.served), is_open=settings.open)
        return
    from fhir_server.auth.endpoints import root_of

    base = base_url(settings)
    if settings.open:
        typer.secho(
            "AUTHORIZATION IS OFF: everybody who reaches this address sees and changes everything.", fg="red", bold=True
        )
    if settings.served != SERVICES:
        typer.secho(
            f"Serving {', '.join(sorted(settings.served))} on http://{settings.host}:{settings.port}", bold=True
        )
    if settings.fhir_base_url:
        typer.echo(f"Answers come from {settings.fhir_base_url}; each request needs an access token of that server:")
        typer.echo(f"  curl -H 'Authorization: Bearer ACCESS_TOKEN' {root_of(base)}/medicine/prescription?patient=ID")
        return
    typer.secho(f"FHIR base: {base}", bold=True)
    if not settings.open:
        typer.echo("Each request needs an access token. To get one, on the same --data-dir or --database-url:")
        typer.echo("  fhir-server client add --name 'My service' --scope 'system/*.rs' --secret")
        form = "-d grant_type=client_credentials -d 'scope=system/*.rs'"
        typer.echo(f"  curl -u CLIENT_ID:CLIENT_SECRET {form} {root_of(base)}/oauth/token")
    if logins:
        _greet_demo(base, logins, is_open=settings.open)


def _greet_demo(base: str, logins: list[Login], *, is_open: bool) -> None:
    from fhir_server.auth.endpoints import root_of

    typer.echo(f"Sign in, for example at {root_of(base)}/docs:")
    for login in logins:
        typer.echo(f"  {login.username}  {login.password}  ({login.role})")
    if is_open:
        typer.echo("Try:")
        typer.echo(f"  curl '{base}/Patient?_pretty=true'")
        typer.echo(f"  curl '{base}/Slot?status=free&_sort=start&_count=3&_pretty=true'")
        typer.echo(f"  curl '{base}/_history?_count=5&_pretty=true'")
