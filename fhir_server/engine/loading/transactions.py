"""Loading into this server: each transaction records, in itself, what it was for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.engine import handle
from fhir_server.engine.loading.loading import Refused, response_entries
from fhir_server.errors import FhirError
from fhir_server.store.database.mongo import Session
from fhir_server.store.database.recording import RecordingDatabase

Record = Callable[[list[str], "Session | None"], Awaitable[None]]
"""Records keys as loaded, within a transaction where there is one."""
Tell = Callable[[Request, Response], Awaitable[None]]


async def _silent(request: Request, response: Response) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Transactions:
    """The engine in this process, with the rights of the context."""

    context: Context
    recording: Record
    tell: Tell = _silent
    """Learns of each transaction that was carried out."""

    async def transaction(self, entries: list[dict[str, Any]], keys: list[str]) -> list[dict[str, Any]]:
        """Carry out the entries as a transaction that is recorded under the keys; raises Refused.

        Returns the entries of the transaction-response.
        """
        services = self.context.services
        database = RecordingDatabase.of(services.database, partial(self.recording, keys))
        context = replace(self.context, services=replace(services, database=database))
        request = Request("POST", "", resource={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        try:
            response = await handle(context, request)
        except FhirError as error:
            raise Refused(error.status, [issue.to_fhir() for issue in error.issues]) from error
        await self.tell(request, response)
        return response_entries(response.json or b"{}")

    async def record(self, keys: list[str]) -> None:
        """Record keys without a transaction."""
        await self.recording(keys, None)
