"""Signing in: browser sessions, failed attempts, launch values of an EHR, and client assertions that were seen.

All expire by themselves. A session's cookie and a launch value are stored as hashes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from fhir_server.auth.accounts.throttle import WINDOW, Count
from fhir_server.auth.permission.bearer import LaunchContext
from fhir_server.auth.tokens.secrets import LAUNCH_LIFETIME, SESSION_LIFETIME, fingerprint, new_secret
from fhir_server.store.database.mongo import Database, Document, translated

SESSIONS = "oauth_sessions"
FAILURES = "oauth_failures"
LAUNCHES = "oauth_launches"
ASSERTIONS = "oauth_assertions"
_MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A user who is signed in with a browser; `id` is not the cookie, only its hash."""

    id: str
    user_id: str
    signed_in: datetime
    proof: Proof
    device: str = ""
    """What the browser said that it is."""


@dataclass(frozen=True, slots=True)
class Proof:
    """How a user proved who it is: with a provider where `sign_in` names that one's sign-in, and in which class.

    https://openid.net/specs/openid-connect-core-1_0.html#IDToken
    """

    sign_in: str | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()
    leads_to: str | None = None
    """The origin of the provider where signing out here leads on to."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What an EHR prepared for one launch of one app by one of its users."""

    client_id: str
    user_id: str
    context: LaunchContext


class SessionStore:
    """Keeps the sessions of browsers."""

    def __init__(self, database: Database) -> None:
        self._sessions = database.collection(SESSIONS)

    async def begin(self, user_id: str, proof: Proof, *, signed_in: datetime | None = None, device: str = "") -> str:
        """Store a new session and return its cookie; `signed_in` is when the user gave the proof, if not now."""
        cookie, now = new_secret(), datetime.now(UTC)
        document = {
            "_id": fingerprint(cookie),
            "user": user_id,
            "signed_in": signed_in or now,
            "sign_in": proof.sign_in,
            "acr": proof.acr,
            "amr": list(proof.amr),
            "leads_to": proof.leads_to,
            "device": device,
            "expires": now + SESSION_LIFETIME,
        }
        with translated:
            await self._sessions.insert_one(document)
        return cookie

    async def find(self, cookie: str) -> BrowserSession | None:
        """Return the live session of the cookie."""
        with translated:
            document = await self._sessions.find_one(
                {"_id": fingerprint(cookie), "expires": {"$gt": datetime.now(UTC)}}
            )
        return _session(document) if document else None

    async def of_user(self, user_id: str) -> list[BrowserSession]:
        """Return the user's live sessions, the latest first."""
        condition = {"user": user_id, "expires": {"$gt": datetime.now(UTC)}}
        with translated:
            documents = await self._sessions.find(condition).sort("signed_in", -1).limit(_MOST_SHOWN).to_list()
        return [_session(document) for document in documents]

    async def end_resting_on(self, sign_ins: Sequence[str]) -> None:
        """End the sessions that began with these sign-ins with providers."""
        with translated:
            await self._sessions.delete_many({"sign_in": {"$in": list(sign_ins)}})

    async def rest_on(self, sign_ins: Sequence[str]) -> set[str]:
        """Return those of the sign-ins with providers that a live session rests on."""
        condition = {"sign_in": {"$in": list(sign_ins)}, "expires": {"$gt": datetime.now(UTC)}}
        with translated:
            return set(await self._sessions.distinct("sign_in", condition))

    async def end(self, session: str) -> None:
        """End the session; it is looked up at each use, so this holds at once."""
        with translated:
            await self._sessions.delete_one({"_id": session})

    async def end_all(self, user_id: str) -> list[str]:
        """End all sessions of a user and return their ids."""
        with translated:
            documents = await self._sessions.find({"user": user_id}, {"_id": 1}).to_list()
            await self._sessions.delete_many({"user": user_id})
        return [session["_id"] for session in documents]


def _session(document: Document) -> BrowserSession:
    proof = Proof(
        document.get("sign_in"), document.get("acr"), tuple(document.get("amr", ())), document.get("leads_to")
    )
    return BrowserSession(document["_id"], document["user"], document["signed_in"], proof, document.get("device", ""))


class AttemptStore:
    """Counts attempts to sign in, before it is known whether they fail, so that parallel ones cannot slip through."""

    def __init__(self, database: Database) -> None:
        self._failures = database.collection(FAILURES)

    async def begin(self, counts: Sequence[Count]) -> int:
        """Count an attempt and return 0, or return the seconds to wait; a refused attempt is not counted."""
        return max([await self._begin(count) for count in counts])

    async def _begin(self, count: Count) -> int:
        now = datetime.now(UTC)
        over = {"$subtract": [{"$ifNull": ["$failures", 0]}, count.free]}
        seconds = {"$cond": [{"$lt": [over, 0]}, 0, {"$min": [{"$pow": [2, {"$min": [over, 10]}]}, 600]}]}
        due = {"$lte": [{"$add": [{"$ifNull": ["$last", now]}, {"$multiply": [seconds, 1000]}]}, now]}
        allowed = {"$or": [{"$lt": [over, 0]}, due]}
        counted = {
            "failures": {"$cond": [allowed, {"$add": [{"$ifNull": ["$failures", 0]}, 1]}, "$failures"]},
            "last": {"$cond": [allowed, now, "$last"]},
            "expires": {"$cond": [allowed, now + WINDOW, "$expires"]},
        }
        with translated:
            try:
                before = await self._counted(count.key, counted)
            except DuplicateKeyError:
                # A parallel attempt made the document first; it is there now.
                before = await self._counted(count.key, counted)
        if before is None:
            return 0
        wait = count.wait(before["failures"])
        if wait == 0:
            return 0  # a parallel attempt may have counted at a later time than ours began
        until = before["last"] + timedelta(seconds=wait)
        return max(0, -int((now - until) // timedelta(seconds=1))) if until > now else 0

    async def _counted(self, key: str, change: Document) -> Document | None:
        return await self._failures.find_one_and_update(
            {"_id": key}, [{"$set": change}], upsert=True, return_document=ReturnDocument.BEFORE
        )

    async def forgive(self, counts: Sequence[Count]) -> None:
        """Take back the count of an attempt that succeeded, and forget the failures at its own place."""
        with translated:
            await self._failures.delete_one({"_id": counts[0].key})
            await self._failures.update_many(
                {"_id": {"$in": [count.key for count in counts[1:]]}, "failures": {"$gt": 0}},
                {"$inc": {"failures": -1}},
            )


class LaunchStore:
    """Keeps launch values until they are used or have expired."""

    def __init__(self, database: Database) -> None:
        self._launches = database.collection(LAUNCHES)

    async def add(self, launch: Launch) -> str:
        """Store a launch and return its value."""
        value = new_secret()
        document = {
            "_id": fingerprint(value),
            "client": launch.client_id,
            "user": launch.user_id,
            "patient": launch.context.patient,
            "encounter": launch.context.encounter,
            "extra": launch.context.extra,
            "expires": datetime.now(UTC) + LAUNCH_LIFETIME,
        }
        with translated:
            await self._launches.insert_one(document)
        return value

    async def find(self, value: str) -> Launch | None:
        """Return the launch, which stays usable."""
        with translated:
            document = await self._launches.find_one({"_id": fingerprint(value), "expires": {"$gt": datetime.now(UTC)}})
        if document is None:
            return None
        context = LaunchContext(document["patient"], document["encounter"], document["extra"])
        return Launch(document["client"], document["user"], context)

    async def use(self, value: str) -> bool:
        """Use the launch up; return False where it was used before."""
        with translated:
            return (await self._launches.delete_one({"_id": fingerprint(value)})).deleted_count == 1


class AssertionStore:
    """Remembers the assertions of clients for as long as each could be sent again."""

    def __init__(self, database: Database) -> None:
        self._assertions = database.collection(ASSERTIONS)

    async def accept(self, client_id: str, jti: str, expires: float) -> bool:
        """Return whether this is the assertion's first use."""
        document = {"_id": fingerprint(f"{client_id} {jti}"), "expires": datetime.fromtimestamp(expires, UTC)}
        with translated:
            try:
                await self._assertions.insert_one(document)
            except DuplicateKeyError:
                return False
        return True
