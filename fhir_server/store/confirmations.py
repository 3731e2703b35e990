"""What waits until somebody who can read an address confirms it: a sign-up, or a changed address.

Each has a secret that is mailed and works once; the database knows only its hash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from fhir_server.auth.tokens.secrets import fingerprint, new_secret
from fhir_server.store.database.mongo import Database, translated

Kind: TypeAlias = Literal["sign-up", "contact"]
_COLLECTION = "confirmations"
LIFETIME = timedelta(hours=24)


class Confirmations:
    """Keeps what is to be confirmed."""

    def __init__(self, database: Database) -> None:
        self._waiting = database.collection(_COLLECTION)

    async def prepare(self) -> None:
        """Make the indexes."""
        with translated:
            await asyncio.gather(
                self._waiting.create_index("expires", expireAfterSeconds=0), self._waiting.create_index("user")
            )

    async def begin(self, kind: Kind, user_id: str, what: Mapping[str, Any]) -> str:
        """Keep what is to be confirmed for a user, in place of what the user began before; return its secret."""
        secret = new_secret()
        document = {
            "_id": fingerprint(secret),
            "kind": kind,
            "user": user_id,
            "what": dict(what),
            "expires": datetime.now(UTC) + LIFETIME,
        }
        with translated:
            await self._waiting.delete_many({"user": user_id, "kind": kind})
            await self._waiting.insert_one(document)
        return secret

    async def use(self, kind: Kind, secret: str) -> tuple[str, dict[str, Any]] | None:
        """Use a secret up and return the user's id and what is confirmed, or None where there is no such secret."""
        live = {"_id": fingerprint(secret), "kind": kind, "expires": {"$gt": datetime.now(UTC)}}
        with translated:
            document = await self._waiting.find_one_and_delete(live)
        return (document["user"], document["what"]) if document else None

    async def forget(self, user_id: str) -> None:
        """Drop what waits for a user's confirmation."""
        with translated:
            await self._waiting.delete_many({"user": user_id})
