"""Access tokens of outside issuers: verified or asked about, and turned into the access that they give here.

What a token says is kept for as long as it may be, what it gives as long as nothing was revoked here; so a token that
was seen before costs no more than one of this server's own. One that proves nothing is remembered for a moment as that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from fhir_server.auth.accounts.user import Role
from fhir_server.auth.outbound import Refused
from fhir_server.auth.permission.access import grantable
from fhir_server.auth.permission.bearer import BearerToken, LaunchContext
from fhir_server.auth.permission.scopes import EHR_LAUNCH, Scopes
from fhir_server.auth.providers.access_tokens import TYPES, OutsideToken, read_claims
from fhir_server.auth.providers.person import claim, person_of
from fhir_server.auth.providers.provider import Provider, TokenMapping
from fhir_server.auth.tokens import signed
from fhir_server.auth.tokens.secrets import fingerprint
from fhir_server.auth.tokens.signed import NotProven
from fhir_server.engine.access import Access
from fhir_server.engine.account_status import is_active
from fhir_server.engine.providers.accounts import Accounts
from fhir_server.engine.providers.connected import Providers
from fhir_server.errors import Unavailable

_VERIFIED_SECONDS = 300.0
"""After this a signature is verified again, by the keys of then."""
_REFUSED_SECONDS = 5.0
_MOST_KEPT = 10_000
_QUESTIONS_AT_ONCE = 16
_LONGEST_OPAQUE = 4096
_ROLES: Mapping[str, Role] = {"Patient": "patient", "Practitioner": "practitioner", "PractitionerRole": "practitioner"}
"""The role of who is vouched for as a resource, unless the provider's groups say another."""

log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A token of a provider; without one, what was sent proves nothing."""

    provider: Provider | None = None
    token: OutsideToken | None = None


@dataclass(frozen=True, slots=True)
class _User:
    id: str
    username: str
    role: Role | None
    fhir_user: str | None

    @property
    def patient(self) -> str | None:
        kind, _, resource_id = (self.fhir_user or "").partition("/")
        return resource_id if kind == "Patient" else None


class _Kept(Generic[T]):
    """Values by name, each until a time; all are forgotten when there are too many."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[float, T]] = {}

    def get(self, name: str) -> T | None:
        kept = self._values.get(name)
        return kept[1] if kept is not None and time.time() < kept[0] else None

    def put(self, name: str, value: T, until: float) -> None:
        if len(self._values) >= _MOST_KEPT:
            self._values.clear()
        self._values[name] = until, value

    def clear(self) -> None:
        self._values.clear()


class OutsideTokens:
    """Finds what access tokens of outside issuers give; one for each worker."""

    def __init__(self, accounts: Accounts, providers: Providers, made: Callable[[BearerToken], Access]) -> None:
        self.accounts = accounts
        self.providers = providers
        self._made = made
        self._answers: _Kept[_Outcome] = _Kept()
        self._access: _Kept[tuple[Access | None]] = _Kept()
        self._under: int | None = None
        self._asking: dict[str, asyncio.Task[_Outcome]] = {}
        self._turns = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

    async def find(self, secret: str) -> Access | None:
        """Return the access of a token; None where it is no token of an issuer whose tokens are taken, or not any more.

        Raises Unavailable where its issuer cannot be asked.
        """
        number = await self.accounts.store.revocations.current()
        if number is None or number != self._under:
            self._access.clear()
            self._under = number
        name = fingerprint(secret)
        kept = self._access.get(name)
        if kept is not None:
            return kept[0]
        outcome = self._answers.get(name) or await self._told_once(name, secret)
        if outcome.provider is None or outcome.token is None:
            return None
        access = await self._access_of(outcome.provider, outcome.token)
        if number is not None and number == self._under:
            # Not longer than what it rests on: an opaque token is asked about again.
            seconds = _kept_seconds(outcome.provider, secret)
            self._access.put(name, (access,), min(outcome.token.expires.timestamp(), time.time() + seconds))
        return access

    async def _told_once(self, name: str, secret: str) -> _Outcome:
        """Return what a token says; requests that bring the same one at once ask once."""
        asking = self._asking.get(name)
        if asking is None:
            asking = self._asking[name] = asyncio.create_task(self._decided(name, secret))
            asking.add_done_callback(lambda _: self._asking.pop(name, None))
        return await asyncio.shield(asking)

    async def _decided(self, name: str, secret: str) -> _Outcome:
        try:
            outcome = await (self._verified(secret) if signed.is_signed_form(secret) else self._introspected(secret))
        except NotProven:
            outcome = _Outcome()
        except Refused as error:
            log.warning("provider.unanswered", reason=str(error))
            raise Unavailable("The issuer of the access token cannot be asked now.") from error
        until = time.time() + _REFUSED_SECONDS
        if outcome.provider is not None and outcome.token is not None:
            until = min(outcome.token.expires.timestamp(), time.time() + _kept_seconds(outcome.provider, secret))
        self._answers.put(name, outcome, until)
        return outcome

    async def _verified(self, secret: str) -> _Outcome:
        token = signed.read(secret)
        for provider in await self.providers.all():
            if provider.tokens is not None and provider.issuer == token.issuer:
                claims = await self.providers.party.verified(provider, token, TYPES)
                if claims.get("iss") != provider.issuer:
                    raise NotProven("it is another issuer's")
                return _Outcome(provider, self._read(provider, provider.tokens, claims))
        return _Outcome()

    async def _introspected(self, secret: str) -> _Outcome:
        if not 0 < len(secret) <= _LONGEST_OPAQUE or not secret.isascii() or not secret.isprintable():
            return _Outcome()
        for provider in await self.providers.all():
            if provider.tokens is not None and provider.tokens.introspection:
                async with self._turns:
                    claims = await self.providers.party.introspected(provider, secret)
                if claims is not None:
                    return _Outcome(provider, self._read(provider, provider.tokens, claims))
        return _Outcome()

    def _read(self, provider: Provider, mapping: TokenMapping, claims: object) -> OutsideToken:
        assert isinstance(claims, dict)
        base = self.accounts.base_url
        return read_claims(claims, provider.issuer, mapping, mapping.audiences or (base, f"{base}/"))

    async def _access_of(self, provider: Provider, token: OutsideToken) -> Access | None:
        """Return the access that the token gives here now; None where it gives none any more."""
        mapping, store = provider.tokens, self.accounts.store
        assert mapping is not None
        if await store.provider_sign_ins.has_ended(provider.issuer, token.subject, token.sid, token.issued):
            return None
        if token.client in mapping.machine_clients:
            scopes = token.scopes.without_level("patient", "user")
            return self._made(_bearer(provider, token, None, scopes, LaunchContext()))
        user = await self._user(provider, mapping, token)
        if user is None:
            return None
        own = user.patient if user.role == "patient" else token.patient(mapping)
        scopes = grantable(token.scopes.without_level("system"), user.role)
        scopes = scopes if own else scopes.without_level("patient")
        context = LaunchContext(own, token.encounter(mapping) if own else None)
        return self._made(_bearer(provider, token, user, scopes, context))

    async def _user(self, provider: Provider, mapping: TokenMapping, token: OutsideToken) -> _User | None:
        """Return who the subject is: the account that it has here, else whom the provider vouches for."""
        store = self.accounts.store
        identity = await store.identities.find(provider.issuer, token.subject)
        if identity is None:
            return await self._vouched_for(provider, mapping, token)
        account = await store.users.find(identity.user_id)
        if account is None or account.disabled or not await self._is_active(account.fhir_user):
            return None
        role: Role | None = account.role
        if role != "patient" and _says_groups(provider, token):
            role = person_of(token.claims, provider.accounts).role
        return _User(account.id, account.username, role, account.fhir_user) if role else None

    async def _vouched_for(self, provider: Provider, mapping: TokenMapping, token: OutsideToken) -> _User | None:
        reference = token.fhir_user(mapping, self.accounts.base_url)
        if reference is None or not await self._is_there(reference):
            return None
        account = await self.accounts.store.users.find_by_fhir_user(reference)
        if account is not None and account.disabled:
            return None
        person = person_of(token.claims, provider.accounts)
        role = _ROLES.get(reference.partition("/")[0])
        if role == "practitioner" and provider.accounts.roles:
            if person.role is None:
                return None
            role = person.role
        name = f"{provider.id}:{person.username or token.subject}"
        return _User(f"{provider.id}:{token.subject}", name, role, reference)

    async def _is_active(self, reference: str | None) -> bool:
        return await is_active(self.accounts.services, reference)

    async def _is_there(self, reference: str) -> bool:
        resource_type, _, resource_id = reference.partition("/")
        version = await self.accounts.services.resources.read(resource_type, resource_id)
        return version is not None and await self._is_active(reference)


def _kept_seconds(provider: Provider, secret: str) -> float:
    if signed.is_signed_form(secret) or provider.tokens is None:
        return _VERIFIED_SECONDS
    return provider.tokens.introspection_seconds


def _says_groups(provider: Provider, token: OutsideToken) -> bool:
    return bool(provider.accounts.roles) and claim(token.claims, provider.accounts.groups_claim) is not None


def _bearer(
    provider: Provider, token: OutsideToken, user: _User | None, scopes: Scopes, context: LaunchContext
) -> BearerToken:
    return BearerToken(
        client_id=f"{provider.id}:{token.client}",
        scopes=scopes.without_plain(EHR_LAUNCH),
        expires=token.expires,
        issued=token.issued,
        user_id=user.id if user else None,
        username=user.username if user else None,
        role=user.role if user else None,
        fhir_user=user.fhir_user if user else None,
        context=context,
        provider=provider.id,
    )
