"""Where units go: into the database by the engine, in this process, or to a server over HTTP."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from fhir_server.engine.context import Context
from fhir_server.engine.loading.loading import Refused, Target, response_entries
from fhir_server.engine.loading.transactions import Transactions
from fhir_server.errors import FhirError
from fhir_server.r4 import values
from fhir_server.services import base_url, services
from fhir_server.settings import Settings

_TIMEOUT_SECONDS = 300


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
        return response_entries(answer)

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
        yield Transactions(Context(shared, base_url(settings), quiet=True), shared.stores.loads.record)


def _issues(body: bytes, status: int) -> list[dict[str, Any]]:
    try:
        outcome = values.decode(body)
        issues: list[dict[str, Any]] = outcome["issue"]
    except (FhirError, KeyError, TypeError):
        text = body[:200].decode(errors="replace")
        return [{"severity": "error", "code": "processing", "diagnostics": f"The server answered {status}: {text}"}]
    return issues
