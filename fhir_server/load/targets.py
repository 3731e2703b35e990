"""Where units go: into the database by the engine, in this process, or to a server over HTTP."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Protocol
from urllib.parse import urlsplit

from fhir_server.engine.context import Context, Request, Services
from fhir_server.engine.engine import handle
from fhir_server.errors import FhirError
from fhir_server.r4 import values
from fhir_server.services import base_url, services
from fhir_server.settings import Settings
from fhir_server.store.database.recording import RecordingDatabase
from fhir_server.store.work.loads import Loads

_TIMEOUT_SECONDS = 300


class Refused(Exception):
    """A transaction was not taken; nothing of it is stored."""

    def __init__(self, status: int, issues: list[dict[str, Any]]) -> None:
        super().__init__(status)
        self.status = status
        self.issues = issues


class Target(Protocol):
    """Takes transactions."""

    async def transaction(self, entries: list[dict[str, Any]], keys: list[str]) -> list[dict[str, Any]]:
        """Carry out the entries as a transaction that is recorded under the keys; raises Refused.

        Returns the entries of the transaction-response.
        """

    async def record(self, keys: list[str]) -> None:
        """Record keys without a transaction, where the target keeps a record."""


class Engine:
    """The engine in this process. What was loaded is recorded within the transaction that loads it."""

    def __init__(self, shared: Services, loads: Loads) -> None:
        self._shared = shared
        self._loads = loads
        self._base_url = base_url(shared.settings)

    async def transaction(self, entries: list[dict[str, Any]], keys: list[str]) -> list[dict[str, Any]]:
        """Carry out the entries as a transaction; raises Refused."""
        recording = RecordingDatabase.of(self._shared.database, partial(self._loads.record, keys))
        shared = replace(self._shared, database=recording)
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        try:
            response = await handle(Context(shared, self._base_url, quiet=True), Request("POST", "", resource=bundle))
        except FhirError as error:
            raise Refused(error.status, [issue.to_fhir() for issue in error.issues]) from error
        return _response_entries(response.json or b"{}")

    async def record(self, keys: list[str]) -> None:
        """Record keys in the database."""
        await self._loads.record(keys)


class Remote:
    """A FHIR server somewhere, over one kept connection."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url.rstrip("/"))
        self._connection: HTTPConnection | None = None

    async def transaction(self, entries: list[dict[str, Any]], keys: list[str]) -> list[dict[str, Any]]:
        """Post the entries as a transaction; raises Refused, with status 503 where no server answers."""
        body = values.encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        try:
            status, answer = await asyncio.to_thread(self._post, body)
        except (OSError, HTTPException) as error:
            self._connection = None
            issue = {"severity": "error", "code": "transient", "diagnostics": f"No answer from the server: {error}"}
            raise Refused(503, [issue]) from error
        if status >= 300:
            raise Refused(status, _issues(answer, status))
        return _response_entries(answer)

    async def record(self, keys: list[str]) -> None:
        """Do nothing: the command keeps the record itself."""

    def _post(self, body: bytes) -> tuple[int, bytes]:
        connection = self._connection = self._connection or self._connect()
        headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
        connection.request("POST", self._url.path or "/", body, headers)
        with connection.getresponse() as response:
            return response.status, response.read()

    def _connect(self) -> HTTPConnection:
        host = self._url.hostname or ""
        if self._url.scheme == "https":
            return HTTPSConnection(host, self._url.port, timeout=_TIMEOUT_SECONDS, context=ssl.create_default_context())
        return HTTPConnection(host, self._url.port, timeout=_TIMEOUT_SECONDS)


@asynccontextmanager
async def target(settings: Settings, url: str | None) -> AsyncIterator[Target]:
    """Give the server at the URL, or without one the engine on the settings' database."""
    if url is not None:
        yield Remote(url)
        return
    async with services(settings) as shared:
        yield Engine(shared, shared.stores.loads)


def _response_entries(body: bytes) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = values.decode(body).get("entry", [])
    return entries


def _issues(body: bytes, status: int) -> list[dict[str, Any]]:
    try:
        outcome = values.decode(body)
        issues: list[dict[str, Any]] = outcome["issue"]
    except (FhirError, KeyError, TypeError):
        text = body[:200].decode(errors="replace")
        return [{"severity": "error", "code": "processing", "diagnostics": f"The server answered {status}: {text}"}]
    return issues
