"""Access tokens as requests present them: looked up by their hash, and remembered while that is safe."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Generic, TypeVar

from fhir_server.auth.permission.bearer import BearerToken, LaunchContext
from fhir_server.auth.permission.scopes import parse_scopes
from fhir_server.auth.tokens.secrets import fingerprint
from fhir_server.store.accounts.revocations import Revocations
from fhir_server.store.database.mongo import Database, Document, translated

TOKENS = "oauth_tokens"
_MOST_REMEMBERED = 10_000
T = TypeVar("T")


class BearerTokens(Generic[T]):
    """Finds what access tokens stand for; `made` turns each into what is remembered of it, at its first use."""

    def __init__(self, database: Database, revocations: Revocations, made: Callable[[BearerToken], T]) -> None:
        self._tokens = database.collection(TOKENS)
        self._revocations = revocations
        self.made = made
        self._remembered: dict[str, tuple[datetime, T]] = {}
        self._under: int | None = None

    async def find(self, secret: str) -> T | None:
        """Return what was made of the live access token, or None where it is unknown, expired or revoked.

        A token that is for signing in only is none here.
        """
        number = await self._revocations.current()
        if number is None or number != self._under:
            self._remembered.clear()
            self._under = number
        name = fingerprint(secret)
        remembered = self._remembered.get(name)
        if remembered is None:
            remembered = await self._load(name, number)
        if remembered is None or remembered[0] <= datetime.now(UTC):
            return None
        return remembered[1]

    async def living(self, names: Collection[str]) -> set[str]:
        """Return those of the access tokens, named by their fingerprints, that have not been revoked."""
        with translated:
            tokens = await self._tokens.find({"_id": {"$in": list(names)}, "kind": "access"}, {"_id": 1}).to_list()
        return {each["_id"] for each in tokens}

    async def _load(self, name: str, number: int | None) -> tuple[datetime, T] | None:
        with translated:
            document = await self._tokens.find_one({"_id": name, "kind": "access", "sign_in_only": {"$ne": True}})
        if document is None:
            return None
        token = bearer_token(document)
        made = (token.expires, self.made(token))
        # Only under the number that was current before the token was read: a revocation may have come between.
        if number is not None and number == self._under:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[name] = made
        return made


def bearer_token(document: Document) -> BearerToken:
    """Return what a stored token, access or refresh, stands for."""
    return BearerToken(
        client_id=document["client"],
        scopes=parse_scopes(document["scopes"]),
        expires=document["expires"],
        issued=document["issued"],
        user_id=document["user"],
        username=document["username"],
        role=document["role"],
        fhir_user=document["fhir_user"],
        context=LaunchContext(document["patient"], document["encounter"], document["extra"]),
        grant=document["grant"],
        sign_in_only=document.get("sign_in_only", False),
        provider=document.get("provider"),
    )


def token_document(secret: str, kind: str, token: BearerToken) -> Document:
    """Return the document under which a token is stored: by the hash of its secret."""
    return {"_id": fingerprint(secret), "kind": kind, **meaning_document(token)}


def meaning_document(token: BearerToken) -> Document:
    """Return what a token stands for as `bearer_token` reads it, without anything that it could be used by."""
    return {
        "client": token.client_id,
        "scopes": str(token.scopes),
        "expires": token.expires,
        "issued": token.issued,
        "user": token.user_id,
        "username": token.username,
        "role": token.role,
        "fhir_user": token.fhir_user,
        "patient": token.context.patient,
        "encounter": token.context.encounter,
        "extra": token.context.extra,
        "grant": token.grant,
        "sign_in_only": token.sign_in_only,
        "provider": token.provider,
    }
