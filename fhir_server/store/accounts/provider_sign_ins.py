"""Who has signed in with an outside provider: whose account each subject is, and each sign-in as long as it holds.

What a provider gave for a sign-in (its id_token and refresh token) is sealed; states and links are stored as hashes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.errors import DuplicateKeyError

from fhir_server.auth.tokens.sealed import seal, unseal
from fhir_server.auth.tokens.secrets import REFRESH_LIFETIME, REQUEST_LIFETIME, fingerprint, new_identifier, new_secret
from fhir_server.store.database.mongo import Database, Document, translated

IDENTITIES = "oauth_identities"
PENDING = "oauth_provider_pending"
SIGN_INS = "oauth_provider_sign_ins"
ENDED = "oauth_provider_ended"
_ENDED_REMEMBERED = timedelta(hours=24)
"""How long a provider's tokens of an ended session are refused: longer than any should live."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A subject of an issuer, and the account that it is here."""

    issuer: str
    subject: str
    user_id: str
    provider: str
    linked: datetime


class IdentityStore:
    """Keeps whose account each subject of each issuer is: one account, for ever."""

    def __init__(self, database: Database) -> None:
        self._identities = database.collection(IDENTITIES)

    async def find(self, issuer: str, subject: str) -> Identity | None:
        """Return the identity of that issuer and subject, which are compared as they are."""
        with translated:
            document = await self._identities.find_one({"_id": _name(issuer, subject)})
        return _identity(document) if document else None

    async def add(self, identity: Identity) -> bool:
        """Store a new identity; return False where the subject has an account, or the account a subject there."""
        document = {
            "_id": _name(identity.issuer, identity.subject),
            "issuer": identity.issuer,
            "subject": identity.subject,
            "user": identity.user_id,
            "provider": identity.provider,
            "linked": identity.linked,
        }
        with translated:
            try:
                await self._identities.insert_one(document)
            except DuplicateKeyError:
                return False
        return True

    async def of_user(self, user_id: str) -> list[Identity]:
        """Return the identities that are an account."""
        with translated:
            documents = await self._identities.find({"user": user_id}).sort("linked").to_list()
        return [_identity(document) for document in documents]


@dataclass(frozen=True, slots=True)
class Pending:
    """What a browser has begun and must come back with: only this browser, and only once."""

    provider: str
    browser: str
    """The fingerprint of its cookie."""
    data: dict[str, Any] = field(default_factory=dict)


class PendingStore:
    """Keeps what is under way with providers for as long as a user may take."""

    def __init__(self, database: Database, key: Callable[[], bytes]) -> None:
        self._pending = database.collection(PENDING)
        self._key = key

    async def add(self, pending: Pending) -> str:
        """Store what is under way and return the secret that it is found by."""
        secret = new_secret()
        name = fingerprint(secret)
        document = {
            "_id": name,
            "provider": pending.provider,
            "browser": pending.browser,
            "sealed": seal(json.dumps(pending.data).encode(), self._key(), name),
            "expires": datetime.now(UTC) + REQUEST_LIFETIME,
        }
        with translated:
            await self._pending.insert_one(document)
        return secret

    async def find(self, secret: str) -> Pending | None:
        """Return what is under way, which stays."""
        with translated:
            return self._read(await self._pending.find_one({"_id": fingerprint(secret)}))

    async def take(self, secret: str) -> Pending | None:
        """Return what is under way, and never again."""
        with translated:
            return self._read(await self._pending.find_one_and_delete({"_id": fingerprint(secret)}))

    def _read(self, document: Document | None) -> Pending | None:
        if document is None or document["expires"] <= datetime.now(UTC):
            return None
        data = unseal(document["sealed"], self._key(), document["_id"])
        return Pending(document["provider"], document["browser"], json.loads(data)) if data is not None else None


@dataclass(frozen=True, slots=True)
class ProviderSignIn:
    """A user's sign-in with a provider, for as long as sessions and grants rest on it."""

    id: str
    user_id: str
    provider: str
    issuer: str
    subject: str
    sid: str | None
    id_token: str
    refresh_token: str | None
    checked: datetime


class ProviderSignInStore:
    """Keeps the sign-ins with providers."""

    def __init__(self, database: Database, key: Callable[[], bytes]) -> None:
        self._sign_ins = database.collection(SIGN_INS)
        self._ended = database.collection(ENDED)
        self._key = key

    async def add(
        self, user_id: str, provider: str, issuer: str, subject: str, *, sid: str | None, id_token: str,
        refresh_token: str | None,
    ) -> str:  # fmt: skip
        """Store a sign-in and return its id."""
        name, now = new_identifier(), datetime.now(UTC)
        document = {
            "_id": name,
            "user": user_id,
            "provider": provider,
            "issuer": issuer,
            "subject": subject,
            "sid": sid,
            "tokens": self._sealed(name, id_token, refresh_token),
            "checked": now,
            "expires": now + REFRESH_LIFETIME,
        }
        with translated:
            await self._sign_ins.insert_one(document)
        return name

    async def find(self, sign_in: str) -> ProviderSignIn | None:
        """Return the sign-in of that id."""
        with translated:
            return self._read(await self._sign_ins.find_one({"_id": sign_in}))

    async def of_provider(self, provider: str) -> list[str]:
        """Return the ids of all sign-ins with a provider."""
        return await self._ids({"provider": provider})

    async def of_user(self, user_id: str) -> list[str]:
        """Return the ids of a user's sign-ins."""
        return await self._ids({"user": user_id})

    async def named(self, issuer: str, subject: str | None, sid: str | None) -> list[str]:
        """Return the ids of the sign-ins of a session of the issuer, of a subject, or of both."""
        condition: Document = {"issuer": issuer}
        if subject is not None:
            condition["subject"] = subject
        if sid is not None:
            condition["sid"] = sid
        return await self._ids(condition) if len(condition) > 1 else []

    async def due(self, before: datetime, most: int) -> list[ProviderSignIn]:
        """Return sign-ins that were last checked before then, the longest ago first."""
        with translated:
            documents = await self._sign_ins.find({"checked": {"$lt": before}}).sort("checked").limit(most).to_list()
        return [read for document in documents if (read := self._read(document)) is not None]

    async def checked(self, sign_in: ProviderSignIn, refresh_token: str | None) -> None:
        """Note that the sign-in holds, by what takes the place of its refresh token where something does."""
        now = datetime.now(UTC)
        change: Document = {"checked": now, "expires": now + REFRESH_LIFETIME}
        if refresh_token is not None:
            change["tokens"] = self._sealed(sign_in.id, sign_in.id_token, refresh_token)
        with translated:
            await self._sign_ins.update_one({"_id": sign_in.id}, {"$set": change})

    async def postpone(self, sign_in: ProviderSignIn, by: timedelta) -> None:
        """Let others be checked before this one, whose provider did not answer."""
        with translated:
            await self._sign_ins.update_one({"_id": sign_in.id}, {"$set": {"checked": sign_in.checked + by}})

    async def remove(self, sign_ins: Sequence[str]) -> None:
        """Forget sign-ins; what rests on them must be ended besides."""
        with translated:
            await self._sign_ins.delete_many({"_id": {"$in": list(sign_ins)}})

    async def note_ended(self, issuer: str, subject: str | None, sid: str | None) -> None:
        """Remember that a session of the issuer has ended, or all of a subject: its tokens of before count no more."""
        now = datetime.now(UTC)
        name = _name(issuer, f"sid {sid}" if sid is not None else f"sub {subject}")
        change = {"$set": {"ended": now, "expires": now + _ENDED_REMEMBERED}}
        with translated:
            await self._ended.update_one({"_id": name}, change, upsert=True)

    async def has_ended(self, issuer: str, subject: str, sid: str | None, issued: datetime) -> bool:
        """Return whether a token that was issued then is of a session that has ended since."""
        names = [_name(issuer, f"sub {subject}"), *([_name(issuer, f"sid {sid}")] if sid is not None else [])]
        condition = {"_id": {"$in": names}, "ended": {"$gte": issued}}
        with translated:
            return await self._ended.find_one(condition, {"_id": 1}) is not None

    async def _ids(self, condition: Document) -> list[str]:
        with translated:
            documents = await self._sign_ins.find(condition, {"_id": 1}).to_list()
        return [document["_id"] for document in documents]

    def _sealed(self, name: str, id_token: str, refresh_token: str | None) -> bytes:
        return seal(json.dumps([id_token, refresh_token]).encode(), self._key(), name)

    def _read(self, document: Document | None) -> ProviderSignIn | None:
        if document is None:
            return None
        tokens = unseal(document["tokens"], self._key(), document["_id"])
        id_token, refresh_token = json.loads(tokens) if tokens is not None else ("", None)
        return ProviderSignIn(
            document["_id"],
            document["user"],
            document["provider"],
            document["issuer"],
            document["subject"],
            document["sid"],
            id_token,
            refresh_token,
            document["checked"],
        )


def _name(issuer: str, subject: str) -> str:
    return hashlib.sha256(json.dumps([issuer, subject]).encode()).hexdigest()


def _identity(document: Document) -> Identity:
    return Identity(document["issuer"], document["subject"], document["user"], document["provider"], document["linked"])
