"""The demo clinic in a database: loaded once, its calendar kept in the future, and people of it to sign in as."""

from __future__ import annotations

import secrets
from datetime import UTC, date, datetime
from typing import NamedTuple

from fhir_server.auth.accounts.login_names import email_name
from fhir_server.auth.accounts.passwords import hash_password
from fhir_server.auth.accounts.user import Role, User
from fhir_server.auth.tokens.secrets import new_identifier
from fhir_server.engine.access import Access
from fhir_server.engine.context import Context, Request, Services
from fhir_server.engine.engine import handle
from fhir_server.hospital import demo
from fhir_server.services import authorization_store, base_url, services
from fhir_server.settings import Settings
from fhir_server.store.accounts.oauth import OAuthStore

_PEOPLE: tuple[tuple[Role, str, str], ...] = (
    ("patient", "mara.lindqvist@example.org", "Patient/mara-lindqvist"),
    ("practitioner", "ingrid.vasari@alder-health.example.org", "Practitioner/ingrid-vasari"),
)


class Login(NamedTuple):
    """What a person of the demo signs in with, at the facade and on the pages of the authorization server."""

    role: Role
    username: str
    password: str


async def load(settings: Settings) -> list[Login]:
    """Store what is missing of the clinic and return logins that are good until the next start."""
    async with services(settings) as shared:
        context = Context(shared, base_url(settings))
        # The clinic is loaded once, so that what a visitor changes stays; the days ahead are added at every start.
        loaded = await shared.resources.read("Organization", demo.ORGANIZATION)
        content = demo.bundle(date.today()) if loaded is None else demo.calendar(date.today())
        for resource in (content, demo.visit(datetime.now(UTC))):
            await handle(context, Request("POST", "", resource=resource))
        store = await authorization_store(shared)
        return [await _new_login(shared, store, *person) for person in _PEOPLE]


async def _new_login(shared: Services, store: OAuthStore[Access], role: Role, username: str, fhir_user: str) -> Login:
    """Give a person a password; a fixed one would be known to everybody who reads this."""
    login = Login(role, username, secrets.token_urlsafe(9))
    hashed = await hash_password(login.password)
    user = await store.users.find_by_name(username)
    if user is None:
        user = User(new_identifier(), username, role, fhir_user, hashed)
        await store.users.add(user)
    else:
        await store.users.change(user.id, password_hash=hashed)
    await store.names.assign({email_name(username): user.id})
    return login
