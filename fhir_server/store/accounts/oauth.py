"""Everything that authorization keeps in the database, with its indexes; all but users and used clients expires."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from fhir_server.auth.permission.bearer import BearerToken
from fhir_server.settings import Settings
from fhir_server.store.accounts.accounts import CLIENTS, UNUSED_UNTIL, USERS, ClientStore, UserStore
from fhir_server.store.accounts.bearer_tokens import TOKENS, BearerTokens
from fhir_server.store.accounts.grants import CODES, GRANTS, GrantStore
from fhir_server.store.accounts.login_names import LoginNames
from fhir_server.store.accounts.provider_sign_ins import (
    ENDED,
    IDENTITIES,
    PENDING,
    SIGN_INS,
    IdentityStore,
    PendingStore,
    ProviderSignInStore,
)
from fhir_server.store.accounts.providers import ProviderStore
from fhir_server.store.accounts.revocations import Revocations
from fhir_server.store.accounts.second_factors import SecondFactorStore
from fhir_server.store.accounts.sign_in import (
    ASSERTIONS,
    FAILURES,
    LAUNCHES,
    SESSIONS,
    AssertionStore,
    AttemptStore,
    LaunchStore,
    SessionStore,
)
from fhir_server.store.accounts.signing_keys import KEYS, SigningKeyStore
from fhir_server.store.database.mongo import Database, Document, translated
from fhir_server.store.database.secrets import secret

T = TypeVar("T")


def _expiring(field: str = "expires") -> Document:
    return {"name": f"{field}_ttl", "key": {field: 1}, "expireAfterSeconds": 0}


def _by(*fields: str) -> Document:
    return {"name": "_".join(fields), "key": dict.fromkeys(fields, 1)}


_INDEXES: dict[str, list[Document]] = {
    USERS: [{**_by("name"), "unique": True}, _by("fhir_user")],
    CLIENTS: [_by("name"), _expiring(UNUSED_UNTIL)],
    GRANTS: [_expiring(), _by("user"), _by("client"), _by("session"), _by("sign_in")],
    CODES: [_expiring("forget")],
    TOKENS: [_expiring(), _by("grant"), _by("client")],
    SESSIONS: [_expiring(), _by("user"), _by("sign_in")],
    IDENTITIES: [_by("user"), {**_by("issuer", "user"), "unique": True}],
    PENDING: [_expiring()],
    ENDED: [_expiring()],
    SIGN_INS: [
        _expiring(),
        _by("user"),
        _by("provider"),
        _by("issuer", "subject"),
        _by("issuer", "sid"),
        _by("checked"),
    ],
    FAILURES: [_expiring()],
    LAUNCHES: [_expiring()],
    ASSERTIONS: [_expiring()],
    KEYS: [_expiring("forget")],
}


class OAuthStore(Generic[T]):
    """The stores of authorization; make one with `open`. `T` is what a worker remembers of an access token."""

    def __init__(
        self, database: Database, settings: Settings, made: Callable[[BearerToken], T], sealing_key: bytes
    ) -> None:
        self.users = UserStore(database)
        self.names = LoginNames(database)
        self.clients = ClientStore(database)
        self.sessions = SessionStore(database)
        self.attempts = AttemptStore(database)
        self.launches = LaunchStore(database)
        self.assertions = AssertionStore(database)
        self.keys = SigningKeyStore(database, settings)
        self.providers = ProviderStore(database, self._provider_key)
        self.second_factors = SecondFactorStore(database, lambda: self.keys.derived_key("second factors"))
        self.identities = IdentityStore(database)
        self.pending = PendingStore(database, self._provider_key)
        self.provider_sign_ins = ProviderSignInStore(database, self._provider_key)
        self.revocations = Revocations(database)
        self.grants = GrantStore(database, self.revocations)
        self.tokens = BearerTokens(database, self.revocations, made)
        self.sealing_key = sealing_key
        """Seals what a browser carries from page to page."""

    def recovery_key(self) -> bytes:
        """Return the key under which recovery codes are fingerprinted."""
        return self.keys.derived_key("recovery codes")

    def _provider_key(self) -> bytes:
        return self.keys.derived_key("identity providers")

    @classmethod
    async def open(cls, database: Database, settings: Settings, made: Callable[[BearerToken], T]) -> OAuthStore[T]:
        """Return the stores, with their collections and indexes made."""
        with translated:
            await asyncio.gather(
                *(
                    database.raw.command({"createIndexes": name, "indexes": indexes})
                    for name, indexes in _INDEXES.items()
                )
            )
        await LoginNames(database).prepare()
        await ClientStore(database).prepare(settings.unused_client_life)
        return cls(database, settings, made, await secret(database, "oauth-pages"))
