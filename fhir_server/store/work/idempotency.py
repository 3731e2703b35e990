"""Answers kept under Idempotency-Keys, so that a request sent twice has one effect and one answer.

https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.errors import DuplicateKeyError

from fhir_server.store.database.mongo import Database, translated

_COLLECTION = "idempotency_keys"
_KEPT = timedelta(days=1)
_ABANDONED = timedelta(seconds=60)
"""A request that has run for longer was lost with its worker; the next one takes over."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a key: the body it came with, and the answer once there is one."""

    body: str
    status: int | None
    answer: Any


class IdempotencyKeys:
    """Keeps answers for a day."""

    def __init__(self, database: Database) -> None:
        self._keys = database.collection(_COLLECTION)

    async def prepare(self) -> None:
        """Make the index."""
        with translated:
            await self._keys.create_index("expires", expireAfterSeconds=0)

    async def begin(self, key: str, body: str) -> Kept | None:
        """Return None to the one request that is to run under the key, and to the others what is known of it."""
        now = datetime.now(UTC)
        document = {"_id": key, "body": body, "began": now, "status": None, "answer": None, "expires": now + _KEPT}
        with translated:
            try:
                await self._keys.insert_one(document)
            except DuplicateKeyError:
                return await self._earlier_answer(key, body, now)
        return None

    async def _earlier_answer(self, key: str, body: str, now: datetime) -> Kept | None:
        abandoned = {"_id": key, "body": body, "status": None, "began": {"$lt": now - _ABANDONED}}
        with translated:
            if (await self._keys.update_one(abandoned, {"$set": {"began": now}})).modified_count:
                return None
            document = await self._keys.find_one({"_id": key})
        return Kept(document["body"], document["status"], document["answer"]) if document else Kept(body, None, None)

    async def keep(self, key: str, status: int, answer: Any) -> None:
        """Keep the answer for who asks again."""
        with translated:
            await self._keys.update_one({"_id": key}, {"$set": {"status": status, "answer": answer}})

    async def drop(self, key: str) -> None:
        """Forget a request that had no effect, so that it can be sent again."""
        with translated:
            await self._keys.delete_one({"_id": key, "status": None})
