"""Secrets that let somebody who can read the account's mail set a new password: each once, for half an hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fhir_server.auth.tokens.secrets import fingerprint, new_secret
from fhir_server.store.database.mongo import Database, translated

_COLLECTION = "password_resets"
LIFETIME = timedelta(minutes=30)


class PasswordResets:
    """Makes and takes such secrets; the database knows only their hashes."""

    def __init__(self, database: Database) -> None:
        self._resets = database.collection(_COLLECTION)

    async def prepare(self) -> None:
        """Make the index."""
        with translated:
            await self._resets.create_index("expires", expireAfterSeconds=0)

    async def begin(self, user_id: str) -> str:
        """Return a new secret for the user; those before it no longer work."""
        secret = new_secret()
        document = {"_id": fingerprint(secret), "user": user_id, "expires": datetime.now(UTC) + LIFETIME}
        with translated:
            await self._resets.delete_many({"user": user_id})
            await self._resets.insert_one(document)
        return secret

    async def forget(self, user_id: str) -> None:
        """Make the user's secret worthless."""
        with translated:
            await self._resets.delete_many({"user": user_id})

    async def user_of(self, secret: str) -> str | None:
        """Return the id of the user whom a live secret is for."""
        live = {"_id": fingerprint(secret), "expires": {"$gt": datetime.now(UTC)}}
        with translated:
            document = await self._resets.find_one(live)
        return document["user"] if document else None

    async def use(self, secret: str) -> bool:
        """Use the secret up; return False where it was used before."""
        with translated:
            return (await self._resets.delete_one({"_id": fingerprint(secret)})).deleted_count == 1
