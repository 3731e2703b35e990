"""Grants: what a user allowed an app. A grant's code is exchanged for tokens, which all end when the grant is revoked.

Codes and refresh tokens are used up atomically, so of two parallel exchanges one wins. Tokens are stored in a
transaction that also touches the grant, the user and the client they depend on, so none is issued beside a revocation.

A refresh token that is used up is followed by one that is computed from it. So an app that uses it twice within a
leeway, as one with two tabs does, gets the same successor twice: a grant has one refresh token at a time that works,
and a spent one that comes later has been stolen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from pymongo import UpdateOne

from fhir_server.auth.permission.bearer import BearerToken
from fhir_server.auth.permission.scopes import Scopes, parse_scopes
from fhir_server.auth.tokens.secrets import CODE_LIFETIME, fingerprint, new_identifier, new_secret, successor
from fhir_server.store.accounts.accounts import CLIENTS, UNUSED_UNTIL, USERS
from fhir_server.store.accounts.bearer_tokens import TOKENS, bearer_token, token_document
from fhir_server.store.accounts.revocations import Revocations
from fhir_server.store.accounts.sign_in import Proof
from fhir_server.store.database.mongo import Database, Document, Session, translated

GRANTS = "oauth_grants"
CODES = "oauth_codes"
_REPLAY_WATCH = timedelta(hours=1)
"""How long a used code is kept, so that its second use is noticed."""


class Replayed(Exception):
    """A code or refresh token was used a second time, so somebody has stolen it: its grant is revoked."""


class Withdrawn(Exception):
    """What the token would depend on is gone: the grant, the user or the client."""


@dataclass(frozen=True, slots=True)
class Code:
    """What an authorization code was issued for."""

    token: BearerToken
    redirect_uri: str
    challenge: str
    nonce: str | None
    signed_in: int | None
    proof: Proof = field(default_factory=Proof)


@dataclass(frozen=True, slots=True)
class GrantedApp:
    """A grant as its user sees it."""

    id: str
    client_id: str
    scopes: Scopes
    patient: str | None
    granted: datetime
    used: datetime


class GrantStore:
    """Keeps grants, their codes and their tokens."""

    def __init__(self, database: Database, revocations: Revocations) -> None:
        self._database = database
        self._grants = database.collection(GRANTS)
        self._codes = database.collection(CODES)
        self._tokens = database.collection(TOKENS)
        self._revocations = revocations

    async def add(self, code: Code, *, session: str | None, expires: datetime) -> str:
        """Store a grant and return its code; `session` is that of the user's browser, where the grant ends with it."""
        secret, grant, now = new_secret(), new_identifier(), datetime.now(UTC)
        token = code.token
        document = {
            "_id": grant,
            "client": token.client_id,
            "user": token.user_id,
            "scopes": str(token.scopes),
            "patient": token.context.patient,
            "session": session,
            "sign_in": code.proof.sign_in,
            "granted": now,
            "used": None,
            "revoked": False,
            "expires": expires,
        }
        stored = token_document(secret, "code", replace(token, grant=grant, expires=now + CODE_LIFETIME))
        stored |= {
            "redirect_uri": code.redirect_uri,
            "challenge": code.challenge,
            "nonce": code.nonce,
            "signed_in": code.signed_in,
            "proof": [code.proof.sign_in, code.proof.acr, list(code.proof.amr)],
            "redeemed": False,
            "forget": now + _REPLAY_WATCH,
        }
        with translated:
            await self._grants.insert_one(document)
            await self._codes.insert_one(stored)
        return secret

    async def redeem(self, secret: str) -> Code | None:
        """Use a code up and return what it was issued for, or None; raises Replayed where it was used before."""
        name = {"_id": fingerprint(secret)}
        with translated:
            code = await self._codes.find_one_and_update({**name, "redeemed": False}, {"$set": {"redeemed": True}})
            if code is None:
                await self._revoke_replayed(await self._codes.find_one(name))
                return None
        if code["expires"] <= datetime.now(UTC):
            return None
        sign_in, acr, amr = code.get("proof") or (None, None, ())
        proof = Proof(sign_in, acr, tuple(amr))
        token = bearer_token(code)
        return Code(token, code["redirect_uri"], code["challenge"], code["nonce"], code["signed_in"], proof)

    async def withdraw_code(self, secret: str) -> None:
        """Make a code worthless."""
        with translated:
            await self._codes.delete_one({"_id": fingerprint(secret)})

    async def refresh(self, secret: str, leeway: float = 0) -> BearerToken | None:
        """Return what a refresh token stands for that works now; raises Replayed for one that was used up before.

        Within `leeway` seconds of its first use it still works.
        """
        with translated:
            token = await self._tokens.find_one({"_id": fingerprint(secret), "kind": "refresh"})
        if token is None or token["expires"] <= datetime.now(UTC):
            return None
        if not _is_usable(token, leeway):
            await self._revoke_replayed(token)
        return bearer_token(token)

    async def rotate(self, secret: str, key: bytes, leeway: float = 0) -> str:
        """Use a refresh token up and return its successor under the key, which is then to be issued.

        Within `leeway` seconds of its first use that is the one that works now. Raises Replayed where another was
        faster, or used it longer ago; Withdrawn where it is gone.
        """
        while True:
            name, following = fingerprint(secret), successor(secret, key)
            with translated:
                fresh = await self._tokens.find_one_and_update(
                    {"_id": name, "kind": "refresh", "rotated": None}, {"$set": {"rotated": datetime.now(UTC)}}
                )
                if fresh is not None:
                    return following
                token = await self._tokens.find_one({"_id": name, "kind": "refresh"})
                ahead = await self._tokens.find_one({"_id": fingerprint(following)})
            if token is None:
                raise Withdrawn
            if not _is_usable(token, leeway):
                await self._revoke_replayed(token)
            if ahead is None or not ahead.get("rotated"):
                return following
            secret = following  # which has been used up by now as well

    async def issue(self, tokens: Sequence[tuple[str, str, BearerToken]]) -> None:
        """Store tokens, each as its secret, kind and meaning; raises Withdrawn where one may exist no longer.

        One that is there already, as a successor may be, stays as it is.
        """
        documents = [token_document(*token) for token in tokens]
        stored = [UpdateOne({"_id": each.pop("_id")}, {"$setOnInsert": each}, upsert=True) for each in documents]
        token = tokens[0][2]

        async def store(session: Session) -> None:
            if not await self._touch(token, session):
                raise Withdrawn
            await self._tokens.bulk_write(stored, session=session)

        await self._database.transaction(store)

    async def _touch(self, token: BearerToken, session: Session) -> bool:
        # Written and not only read: that is what makes a revocation at the same time conflict with this transaction.
        use = {"$set": {"used": datetime.now(UTC)}, "$unset": {UNUSED_UNTIL: ""}}
        for name, condition in _anchors(token):
            changed = await self._database.collection(name).update_one(condition, use, session=session)
            if changed.matched_count == 0:
                return False
        return True

    async def apps_of(self, user_id: str) -> list[GrantedApp]:
        """Return the user's live grants that were ever used, the latest first."""
        condition = {"user": user_id, "revoked": False, "used": {"$ne": None}, "expires": {"$gt": datetime.now(UTC)}}
        with translated:
            grants = await self._grants.find(condition).sort("granted", -1).to_list()
        return [_app(grant) for grant in grants]

    async def live_token(self, secret: str, *, spent: bool = False) -> tuple[str, BearerToken] | None:
        """Return the kind and meaning of an access or refresh token that works now, or None.

        With `spent`, a refresh token that was used up counts, too.
        """
        with translated:
            token = await self._tokens.find_one({"_id": fingerprint(secret)})
        if token is None or token["expires"] <= datetime.now(UTC) or (token.get("rotated") and not spent):
            return None
        return token["kind"], bearer_token(token)

    async def revoke_token(self, secret: str) -> None:
        """End one access token."""
        with translated:
            await self._tokens.delete_one({"_id": fingerprint(secret)})
        await self._revocations.announce()

    async def revoke_grant(self, grant: str, user_id: str | None = None) -> None:
        """End a grant (where `user_id` is given, only if it is that user's) with all its tokens, on every worker."""
        await self._revoke({"_id": grant} | ({"user": user_id} if user_id else {}))

    async def revoke_user(self, user_id: str, *, but: str | None = None) -> None:
        """End all that was granted by a user, codes that are under way included; one grant may stay."""
        await self._revoke({"user": user_id} | ({"_id": {"$ne": but}} if but else {}))

    async def forget(self, user_id: str) -> None:
        """Remove what tells of a user's grants; they must have been revoked before."""
        with translated:
            await self._codes.delete_many({"user": user_id})
            await self._grants.delete_many({"user": user_id})

    async def revoke_session(self, session: str) -> None:
        """End the grants that live only as long as the user's session."""
        await self._revoke({"session": session})

    async def revoke_resting_on(self, sign_ins: Sequence[str]) -> None:
        """End the grants that were given in sessions that began with these sign-ins with providers."""
        await self._revoke({"sign_in": {"$in": list(sign_ins)}})

    async def rest_on(self, sign_ins: Sequence[str]) -> set[str]:
        """Return those of the sign-ins with providers that a live grant rests on."""
        condition = {"sign_in": {"$in": list(sign_ins)}, "revoked": False, "expires": {"$gt": datetime.now(UTC)}}
        with translated:
            return set(await self._grants.distinct("sign_in", condition))

    async def revoke_client(self, client_id: str) -> None:
        """End all that a client holds, for users or for itself."""
        await self._revoke({"client": client_id}, {"client": client_id})

    async def _revoke(self, condition: Document, tokens: Document | None = None) -> None:
        with translated:
            documents = await self._grants.find({**condition, "revoked": False}, {"_id": 1}).to_list()
            grants = [grant["_id"] for grant in documents]
            if not grants and tokens is None:
                return
            await self._grants.update_many({"_id": {"$in": grants}}, {"$set": {"revoked": True}})
            await self._tokens.delete_many(tokens or {"grant": {"$in": grants}})
        await self._revocations.announce()

    async def _revoke_replayed(self, token: Document | None) -> None:
        if token is not None:
            await self.revoke_grant(token["grant"])
            raise Replayed


async def is_in_force(database: Database, token: BearerToken) -> bool:
    """Return whether what a token was given for still stands: its client, its user and its grant."""
    with translated:
        for name, condition in _anchors(token):
            if await database.collection(name).find_one(condition, {"_id": 1}) is None:
                return False
    return True


def _anchors(token: BearerToken) -> list[tuple[str, Document]]:
    # A provider's clients are not registered here, and neither is a user whom it vouches for without an account.
    anchors: list[tuple[str, Document]] = [] if token.provider else [(CLIENTS, {"_id": token.client_id})]
    if token.user_id is not None and not (token.provider and token.user_id.startswith(f"{token.provider}:")):
        anchors.append((USERS, {"_id": token.user_id, "disabled": False}))
    if token.grant is not None:
        anchors.append((GRANTS, {"_id": token.grant, "revoked": False}))
    return anchors


def _is_usable(token: Document, leeway: float) -> bool:
    """Return whether a refresh token is unused, or was used so shortly ago that it may be the same client once more."""
    rotated = token.get("rotated")
    if not isinstance(rotated, datetime):
        return not rotated  # an earlier build did not say when
    return datetime.now(UTC) - rotated < timedelta(seconds=leeway) if leeway > 0 else False


def _app(grant: Document) -> GrantedApp:
    return GrantedApp(
        grant["_id"], grant["client"], parse_scopes(grant["scopes"]), grant["patient"], grant["granted"], grant["used"]
    )
