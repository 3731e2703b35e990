"""The second factors of accounts: an authenticator's secret, sealed, and the fingerprints of recovery codes.

Each code counts once: a step of time, or a recovery code, is used up by the change that takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fhir_server.auth.tokens.sealed import seal, unseal
from fhir_server.store.database.mongo import Database, Document, translated

SECOND_FACTORS = "oauth_second_factors"


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """The second factor of an account; `secret` is None where the key that sealed it is another."""

    user_id: str
    secret: str | None
    recovery_codes_left: int
    enrolled: datetime


class SecondFactorStore:
    """Keeps second factors; `key` gives what their secrets are sealed under."""

    def __init__(self, database: Database, key: Callable[[], bytes]) -> None:
        self._factors = database.collection(SECOND_FACTORS)
        self._key = key

    async def find(self, user_id: str) -> SecondFactor | None:
        """Return the second factor of an account."""
        with translated:
            document = await self._factors.find_one({"_id": user_id})
        return self._read(document) if document else None

    async def put(self, user_id: str, secret: str, step: int, recovery: Sequence[str]) -> None:
        """Store a second factor, in place of one before; its code of that step has been used."""
        document: Document = {
            "secret": seal(secret.encode(), self._key(), user_id),
            "step": step,
            "recovery": list(recovery),
            "enrolled": datetime.now(UTC),
        }
        with translated:
            await self._factors.replace_one({"_id": user_id}, document, upsert=True)

    async def use_step(self, user_id: str, step: int) -> bool:
        """Use up a step of time, with all before it; return False where it was used before."""
        with translated:
            changed = await self._factors.update_one({"_id": user_id, "step": {"$lt": step}}, {"$set": {"step": step}})
        return changed.modified_count == 1

    async def use_recovery(self, user_id: str, recovery: str) -> bool:
        """Use up a recovery code; return False where there is none such."""
        with translated:
            changed = await self._factors.update_one(
                {"_id": user_id, "recovery": recovery}, {"$pull": {"recovery": recovery}}
            )
        return changed.modified_count == 1

    async def remove(self, user_id: str) -> bool:
        """Remove the second factor of an account, and return whether it had one."""
        with translated:
            return (await self._factors.delete_one({"_id": user_id})).deleted_count == 1

    def _read(self, document: Document) -> SecondFactor:
        secret = unseal(document["secret"], self._key(), document["_id"])
        return SecondFactor(
            document["_id"],
            secret.decode() if secret is not None else None,
            len(document["recovery"]),
            document["enrolled"],
        )
