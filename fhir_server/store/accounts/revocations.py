"""How a revocation reaches every worker before it is reported as done, though workers remember tokens.

There is one number in the database, which each revocation raises. A worker trusts what it remembers for LEASE_SECONDS
after it began to look at the number; then it looks again and, where it has changed, forgets everything. Who revokes
raises the number and waits for that long: afterwards no worker can still be trusting what it knew before. So a request
costs no round trip (one in LEASE_SECONDS does), no worker needs to be told, and one that is paused or cut off from the
database only forgets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from pymongo.errors import DuplicateKeyError

from fhir_server.store.database.mongo import Database, translated

LEASE_SECONDS = 0.5
_MARGIN_SECONDS = 0.05  # clocks of two machines may run at slightly different speeds
_COLLECTION = "oauth_state"
_ID = "revocations"


class Revocations:
    """The number of revocations, as one worker sees it."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = database.collection(_COLLECTION)
        self._clock = clock
        self._seen = -1
        self._looked = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def current(self) -> int | None:
        """Return the number: what was remembered under another must be forgotten.

        None where the database takes longer than the lease to tell it: then nothing may be remembered.
        """
        if not self._is_fresh():
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
            await asyncio.shield(self._looking)
        return self._seen if self._is_fresh() else None

    def _is_fresh(self) -> bool:
        return self._clock() - self._looked <= LEASE_SECONDS

    async def announce(self) -> None:
        """Make every worker forget its tokens, and return when all have; what is revoked must be so in the database."""
        raised = {"$inc": {"number": 1}}
        with translated:
            try:
                await self._state.update_one({"_id": _ID}, raised, upsert=True)
            except DuplicateKeyError:
                # Another made the document first; it is there now.
                await self._state.update_one({"_id": _ID}, raised)
        await asyncio.sleep(LEASE_SECONDS + _MARGIN_SECONDS)

    async def _look(self) -> None:
        began = self._clock()
        with translated:
            document = await self._state.find_one({"_id": _ID})
        self._seen = document["number"] if document else 0
        self._looked = began
