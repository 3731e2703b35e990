"""The demo clinic in a database: loaded once, its calendar kept in the future, and a patient of it to sign in as."""

from __future__ import annotations

import secrets
from datetime import date
from typing import NamedTuple

from fhir_server import demo
from fhir_server.app import authorization_store, base_url, services
from fhir_server.auth.passwords import hash_password
from fhir_server.auth.tokens import new_identifier
from fhir_server.auth.users import User
from fhir_server.engine.context import Context, Request, Services
from fhir_server.engine.engine import handle
from fhir_server.http.facade.accounts import email_name
from fhir_server.settings import Settings
from fhir_server.store.login_names import LoginNames

_EMAIL, _PATIENT = "mara.lindqvist@example.org", "Patient/mara-lindqvist"


class Login(NamedTuple):
    """What the demo's patient signs in with, at the facade and on the pages of the authorization server."""

    username: str
    password: str


async def load(settings: Settings) -> Login:
    """Store what is missing of the clinic and return a login that is good until the next start."""
    async with services(settings) as shared:
        context = Context(shared, base_url(settings))
        # The clinic is loaded once, so that what a visitor changes stays; the days ahead are added at every start.
        loaded = await shared.resources.read("Organization", demo.ORGANIZATION)
        content = demo.bundle(date.today()) if loaded is None else demo.calendar(date.today())
        await handle(context, Request("POST", "", resource=content))
        return await _new_login(shared)


async def _new_login(shared: Services) -> Login:
    """Give the patient a password; a fixed one would be known to everybody who reads this."""
    login = Login(_EMAIL, secrets.token_urlsafe(9))
    hashed = await hash_password(login.password)
    store = await authorization_store(shared)
    user = await store.users.find_by_name(_EMAIL)
    if user is None:
        user = User(new_identifier(), _EMAIL, "patient", _PATIENT, hashed)
        await store.users.add(user)
    else:
        await store.users.change(user.id, password_hash=hashed)
    await LoginNames(shared.database).assign({email_name(_EMAIL): user.id})
    return login
