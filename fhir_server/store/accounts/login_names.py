"""Names that users of the app sign in with: an email address and a phone number, each of one user only.

A name is claimed before the user's Patient exists, and kept once it does; a claim that is never kept expires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pymongo import DeleteMany, UpdateOne
from pymongo.errors import DuplicateKeyError

from fhir_server.store.accounts.accounts import USERS
from fhir_server.store.accounts.provider_sign_ins import IDENTITIES, SIGN_INS
from fhir_server.store.accounts.second_factors import SECOND_FACTORS
from fhir_server.store.database.mongo import Database, Session, translated

LOGIN_NAMES = "login_names"
_CLAIM_LIFETIME = timedelta(minutes=10)


class LoginNames:
    """Claims, keeps and finds names."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names = database.collection(LOGIN_NAMES)

    async def prepare(self) -> None:
        """Make the indexes."""
        with translated:
            await asyncio.gather(
                self._names.create_index("expires", expireAfterSeconds=0), self._names.create_index("user")
            )

    async def claim(self, name: str, user_id: str) -> bool:
        """Reserve a name for the user for a while; return False where it is another's."""
        if await self._is_username(name.partition(":")[2], user_id):
            return False
        document = {"_id": name, "user": user_id, "expires": datetime.now(UTC) + _CLAIM_LIFETIME}
        with translated:
            try:
                await self._names.insert_one(document)
            except DuplicateKeyError:
                owner = await self._names.find_one({"_id": name})
                return owner is not None and owner["user"] == user_id
        return True

    async def _is_username(self, text: str, user_id: str) -> bool:
        """Return whether another account signs in with it as the name that the operator gave."""
        with translated:
            holder = await self._database.collection(USERS).find_one({"name": text, "_id": {"$ne": user_id}})
        if holder is None:
            return False
        return holder["role"] != "patient" or not await self.any_of(holder["_id"])

    async def keep(self, user_id: str, names: list[str], *, confirmed: str | None = None) -> None:
        """Make these the user's names, and no others; `confirmed` is one that a mailed code was for."""
        with translated:
            await self._names.update_many({"_id": {"$in": names}, "user": user_id}, {"$unset": {"expires": ""}})
            await self._names.update_one({"_id": confirmed, "user": user_id}, {"$set": {"confirmed": True}})
            await self._names.delete_many({"user": user_id, "_id": {"$nin": names}})

    async def is_confirmed(self, name: str, user_id: str) -> bool:
        """Return whether the user has shown that mails to the name arrive."""
        with translated:
            return await self._names.find_one({"_id": name, "user": user_id, "confirmed": True}) is not None

    async def owners(self, names: Sequence[str]) -> dict[str, str]:
        """Return the ids of the users who have these names, or have claimed them."""
        with translated:
            documents = await self._names.find({"_id": {"$in": list(names)}}).to_list()
        return {document["_id"]: document["user"] for document in documents}

    async def assign(self, names: Mapping[str, str], session: Session | None = None) -> None:
        """Give names, each nobody's or its user's already, to users for good, and take what else those users had."""
        changes: list[UpdateOne | DeleteMany] = [
            UpdateOne({"_id": name}, {"$set": {"user": user_id}, "$unset": {"expires": ""}}, upsert=True)
            for name, user_id in names.items()
        ]
        changes.append(DeleteMany({"user": {"$in": list(set(names.values()))}, "_id": {"$nin": list(names)}}))
        with translated:
            if names:
                await self._names.bulk_write(changes, session=session)

    async def release(self, user_id: str, names: list[str]) -> None:
        """Give up names that were claimed and not kept."""
        with translated:
            await self._names.delete_many({"_id": {"$in": names}, "user": user_id, "expires": {"$exists": True}})

    async def forget(self, user_id: str) -> None:
        """Remove the user's names, identities elsewhere, second factor and account; revoke what was granted besides."""
        with translated:
            await self._names.delete_many({"user": user_id})
            for name in (IDENTITIES, SIGN_INS):
                await self._database.collection(name).delete_many({"user": user_id})
            for name in (SECOND_FACTORS, USERS):
                await self._database.collection(name).delete_one({"_id": user_id})

    async def names_of(self, user_id: str) -> list[str]:
        """Return the names that the user signs in with."""
        with translated:
            documents = await self._names.find({"user": user_id, "expires": {"$exists": False}}).to_list()
        return sorted(document["_id"] for document in documents)

    async def is_taken(self, name: str, by_another_than: str = "") -> bool:
        """Return whether somebody else signs in with the name, or has claimed it."""
        with translated:
            other = await self._names.find_one({"_id": name, "user": {"$ne": by_another_than}})
        return other is not None or await self._is_username(name.partition(":")[2], by_another_than)

    async def any_of(self, user_id: str) -> bool:
        """Return whether the user has any name here."""
        with translated:
            return await self._names.find_one({"user": user_id, "expires": {"$exists": False}}) is not None

    async def find(self, name: str) -> str | None:
        """Return the id of the user who signs in with that name; who has only claimed it does not yet."""
        with translated:
            document = await self._names.find_one({"_id": name, "expires": {"$exists": False}})
        return document["user"] if document else None
