"""How a process keeps to the keys of its database while they are rotated: it takes up what is new, and says so.

Nothing may be sealed by a key before every process can open it, and no key may be destroyed while one still seals by
it. So each process announces the number of the change (`edit`) that it goes by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from fhir_server.store.database.mongo import Database
from fhir_server.store.encryption.key_services import KeyService
from fhir_server.store.encryption.stored_keys import data_keys, note_erasure, stored
from fhir_server.work.ending import end

LOOK_SECONDS = 2.0
ABOUT = "keys"
"""What the number is called in the announcement of a process."""

log = structlog.get_logger(__name__)


class KeyFollower:
    """The keys of a database in this process; `say` announces something about it."""

    def __init__(self, database: Database, service: KeyService, say: Callable[[str, Any], None]) -> None:
        self.database = database
        self.service = service
        self._say = say
        self._edit = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up the keys, and follow them from now on."""
        await self.look()
        self._task = asyncio.create_task(self._follow(), name="keys")

    async def stop(self) -> None:
        """Follow no longer."""
        if self._task is not None:
            await end(self._task)
            self._task = None

    async def look(self) -> None:
        """Take up what is new."""
        document = await stored(self.database)
        cipher = self.database.cipher
        if document is None or cipher is None or document["edit"] == self._edit:
            return
        cipher.ring.renew(await data_keys(document, self.service), document["current"])
        self._edit = document["edit"]
        self._say(ABOUT, self._edit)

    async def note_erasure(self) -> None:
        """Note that something was erased, so that the data key is to be destroyed by which it was sealed."""
        await note_erasure(self.database)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception as error:  # tried again: without the new keys this process answers for the old ones
                log.warning("keys.not_taken_up", kind=type(error).__name__)
