"""Noticing that the database answers this worker nothing at all any more, which only a new process can mend."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from pymongo.errors import NetworkTimeout

from fhir_server.errors import FhirError
from fhir_server.store.database.mongo import Database

PROBE_SECONDS = 10.0
_PAUSE_SECONDS = 2.0


class DatabaseWatch:
    """Asks the database for a sign of life, again and again.

    A database that is down says so: connections are refused, or there is no primary. Requests are then 503, and a new
    process would fare no better. Silence is another matter: no answer and no error either, as from a connection pool
    that is stuck, or errors that only tell of waiting in vain. After half the time the worker counts as dead, after all
    of it `give_up` is called.
    """

    def __init__(self, database: Database, silence_seconds: float, give_up: Callable[[], None]) -> None:
        self._database = database
        self._most = silence_seconds
        self._give_up = give_up
        self._silence = self._counted = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_silent(self) -> bool:
        """Whether the database has answered nothing for half of the time."""
        return self._silence >= self._most / 2

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """End watching; a probe on its way is left to end with the connection."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        self._counted = time.monotonic()
        while True:
            probe = asyncio.create_task(self._probe())
            while not probe.done():
                await asyncio.wait({probe}, timeout=min(PROBE_SECONDS, self._most / 4))
                self._count(answered=probe.done() and probe.result())
            await asyncio.sleep(min(_PAUSE_SECONDS, self._most / 10))

    def _count(self, *, answered: bool) -> None:
        now = time.monotonic()
        # A process that was halted for an hour has not been listening for an hour.
        passed, self._counted = min(now - self._counted, PROBE_SECONDS), now
        self._silence = 0.0 if answered else self._silence + passed
        if self._silence >= self._most:
            self._give_up()

    async def _probe(self) -> bool:
        """Return whether the database, or the system in its place, said anything."""
        try:
            await self._database.ping()
        except FhirError:
            servers = self._database.client.topology_description.server_descriptions().values()
            return any(
                server.is_server_type_known or not isinstance(server.error, (NetworkTimeout, type(None)))
                for server in servers
            )
        return True
