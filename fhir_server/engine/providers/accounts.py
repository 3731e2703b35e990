"""Which account somebody is who signed in with a provider, and what that account may do from now on.

Issuer and subject are the key, and nothing else: neither an address nor a name ever leads to an account. A subject who
has none here gets a new one by the operator's mapping, for a resource that has no account yet; whoever has one already
proves that first, by signing in to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from fhir_server.auth.accounts.user import LONGEST_USERNAME, Role, User
from fhir_server.auth.providers.person import Person, person_of
from fhir_server.auth.providers.provider import Provider
from fhir_server.engine import sign_in as signing_in
from fhir_server.engine.account_status import is_active
from fhir_server.engine.context import Services
from fhir_server.engine.providers.people import make_practitioner, the_one
from fhir_server.engine.providers.staffing import staff
from fhir_server.errors import Conflict
from fhir_server.store.accounts.oauth import OAuthStore
from fhir_server.store.accounts.provider_sign_ins import Identity

NO_PASSWORD = ""
"""What stands in place of the hash where there is no password: nothing matches it."""

Refusal: TypeAlias = Literal["no_role", "account_inactive"]


class NotLetIn(Exception):
    """The provider knows the user, and this server does not let that one in."""

    def __init__(self, reason: Refusal, account: User | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.account = account


class NoAccount(Exception):
    """The subject has no account here, and none is opened by the mapping; one that there is may be linked."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of one server, as providers' users come to them."""

    services: Services
    store: OAuthStore[Any]
    base_url: str

    async def of(self, provider: Provider, subject: str, claims: Mapping[str, Any]) -> User:
        """Return the account of who has just signed in, with what the claims give it; raises NotLetIn, NoAccount."""
        person = person_of(claims, provider.accounts)
        identity = await self.store.identities.find(provider.issuer, subject)
        if identity is None:
            user = await self._opened(provider, subject, person)
        else:
            user = await self._account(identity)
        return await self.follow(provider, user, person)

    async def _account(self, identity: Identity) -> User:
        user = await self.store.users.find(identity.user_id)
        if user is None:
            raise NotLetIn("account_inactive")
        return user

    async def follow(self, provider: Provider, user: User, person: Person) -> User:
        """Return the account with the role and the clinics that the provider says; raises NotLetIn.

        What rested on another role ends before this returns.
        """
        if user.disabled or not await is_active(self.services, user.fhir_user):
            raise NotLetIn("account_inactive", user)
        mapping = provider.accounts
        if user.role == "patient" or not mapping.roles:
            return user
        if mapping.clinics and (user.fhir_user or "").startswith("Practitioner/"):
            clinics = person.clinics if person.role is not None else frozenset()
            await staff(self.services, self.base_url, str(user.fhir_user), provider, clinics)
        if person.role is None:
            await signing_in.end_all(self.store, user.id)
            raise NotLetIn("no_role", user)
        if person.role != user.role:
            await self.store.users.change(user.id, role=person.role)
            await signing_in.end_all(self.store, user.id)
            return await self.store.users.find(user.id) or user
        return user

    async def link(self, provider: Provider, subject: str, claims: Mapping[str, Any], user: User) -> User:
        """Return the account, whose owner has just signed in, linked to the subject; raises NotLetIn, Conflict."""
        user = await self.follow(provider, user, person_of(claims, provider.accounts))
        await self._add(provider, subject, user)
        return user

    async def _add(self, provider: Provider, subject: str, user: User) -> None:
        identity = Identity(provider.issuer, subject, user.id, provider.id, datetime.now(UTC))
        if not await self.store.identities.add(identity):
            raise Conflict("The account or the subject is linked already.", code="duplicate")

    async def _opened(self, provider: Provider, subject: str, person: Person) -> User:
        """Return a new account by the mapping; raises NoAccount."""
        role, reference = await self._resource(provider, person)
        if reference is not None and await self.store.users.find_by_fhir_user(reference) is not None:
            raise NoAccount  # whoever has it proves that by signing in to it
        # One account for one resource, however many come for it at once.
        name = reference or f"{provider.issuer} {subject}"
        user_id = hashlib.sha256(f"provider account {name}".encode()).hexdigest()[:32]
        user = User(user_id, await self._username(provider, subject, person), role, reference, NO_PASSWORD)
        try:
            await self.store.users.add(user)
            await self._add(provider, subject, user)
        except Conflict as error:
            identity = await self.store.identities.find(provider.issuer, subject)
            same = await self.store.users.find(identity.user_id) if identity else None
            if same is None:
                raise NoAccount from error
            return same
        return user

    async def _resource(self, provider: Provider, person: Person) -> tuple[Role, str | None]:
        """Return the role and the resource of who has no account yet; raises NoAccount."""
        if person.role is not None:
            reference = await self._practitioner(provider, person)
            if reference is None and person.role != "admin":
                raise NoAccount
            return person.role, reference
        reference = await the_one(self.services, self.base_url, "Patient", person.patient)
        if reference is None:
            raise NoAccount
        return "patient", reference

    async def _practitioner(self, provider: Provider, person: Person) -> str | None:
        if person.practitioner is None:
            return None
        reference = await the_one(self.services, self.base_url, "Practitioner", person.practitioner)
        if reference is None and provider.accounts.create_practitioners:
            return await make_practitioner(self.services, self.base_url, person)
        return reference

    async def _username(self, provider: Provider, subject: str, person: Person) -> str:
        """Return a name to show, by which nobody signs in: the provider's id stands before it."""
        for name in filter(str.isprintable, filter(None, (person.username, subject))):
            username = f"{provider.id}:{name}"
            free = len(username) <= LONGEST_USERNAME and await self.store.users.find_by_name(username) is None
            if free:
                return username
        return f"{provider.id}:{hashlib.sha256(subject.encode()).hexdigest()[:40]}"
