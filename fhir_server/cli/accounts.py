"""Managing users, clients and keys, for the command line: on the database of a running server, or on one at rest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fhir_server.auth.accounts import one_time_codes
from fhir_server.auth.accounts import user as users
from fhir_server.auth.accounts.password_policy import TEXTS, weakness
from fhir_server.auth.accounts.passwords import hash_password
from fhir_server.auth.accounts.user import Role, User
from fhir_server.auth.clients import client as clients
from fhir_server.auth.clients.client import Authentication, Client
from fhir_server.auth.tokens.secrets import fingerprint, new_identifier, new_secret
from fhir_server.cli.operator_audit import audited
from fhir_server.engine import sign_in
from fhir_server.engine.access import Access
from fhir_server.engine.context import Context, Request, Services
from fhir_server.engine.engine import handle
from fhir_server.engine.second_factor.factors import SecondFactors
from fhir_server.errors import FhirError
from fhir_server.services import authorization_store, base_url, services
from fhir_server.settings import Settings
from fhir_server.store.accounts.oauth import OAuthStore
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongod import database_url

T = TypeVar("T")
Work = Callable[[Services, OAuthStore[Access]], Awaitable[T]]
Described = dict[str, Any]

DEFAULT_SCOPES = (
    "openid fhirUser launch launch/patient launch/encounter offline_access online_access patient/*.cruds user/*.cruds"
)


def run(settings: Settings, work: Work[T]) -> T:
    """Return what the work does with the database of the settings; raises StartupError with what is wrong."""

    async def connected(url: str) -> T:
        async with services(settings.model_copy(update={"database_url": url})) as shared:
            return await work(shared, await authorization_store(shared))

    with database_url(settings) as url:
        try:
            return asyncio.run(connected(url))
        except FhirError as error:
            raise StartupError("; ".join(issue.diagnostics for issue in error.issues)) from error


def audited_work(event: str, work: Work[T], **details: str | None) -> Work[T]:
    """Return the work, which is told in the audit trail."""

    async def worked(shared: Services, store: OAuthStore[Access]) -> T:
        return await audited(shared, base_url(shared.settings), event, partial(work, shared, store), **details)

    return worked


# --- Users -------------------------------------------------------------------------------------------------------


def add_user(
    username: str, password: str, role: Role, fhir_user: str | None, *, create_patient: bool
) -> Work[Described]:
    """Return the work that adds a user, and the Patient that the user is where that is asked for."""

    async def work(shared: Services, store: OAuthStore[Access]) -> Described:
        _require_password(password, username)
        reference = "Patient/new" if create_patient else fhir_user
        users.require_valid(username, role, reference)
        if await sign_in.find(store, username) is not None:
            raise StartupError(f"There is a user {username!r} already.")
        if create_patient:
            reference = await _new_patient(shared, username)
        made = User(new_identifier(), username, role, reference, await hash_password(password))
        await store.users.add(made)
        return described_user(made)

    return audited_work("user-added", work, role=role)


async def _new_patient(shared: Services, username: str) -> str:
    resource = {"resourceType": "Patient", "active": True, "name": [{"text": username}]}
    context = Context(shared, base_url(shared.settings))
    made = await handle(context, Request("POST", "Patient", resource=resource))
    return str(made.location).partition("/_history")[0]


def _require_password(password: str, username: str) -> None:
    weak = weakness(password, [username, username.partition("@")[0]])
    if weak:
        raise StartupError(TEXTS[weak])


def described_user(user: User) -> Described:
    """Return what is told of a user."""
    return {
        "id": user.id,
        "username": user.username,
        "role": user.role,
        "fhirUser": user.fhir_user,
        "disabled": user.disabled,
    }


async def list_users(shared: Services, store: OAuthStore[Access]) -> list[Described]:
    """Return all users."""
    return [described_user(user) for user in await store.users.all()]


def disable_user(username: str) -> Work[Described]:
    """Return the work that ends all that a user holds and keeps the user out; done on every worker when it returns."""

    async def work(shared: Services, store: OAuthStore[Access]) -> Described:
        user = await _user(store, username)
        await store.users.change(user.id, disabled=True)
        await sign_in.end_all(store, user.id)
        return described_user(replace(user, disabled=True))

    return audited_work("user-disabled", work)


def change_password(username: str, password: str) -> Work[Described]:
    """Return the work that changes a password; all that the user granted or began with the old one ends."""

    async def work(shared: Services, store: OAuthStore[Access]) -> Described:
        _require_password(password, username)
        user = await _user(store, username)
        await sign_in.set_password(shared, store, user.id, password)
        return described_user(user)

    return audited_work("password-changed", work)


def set_second_factor(username: str, *, remove: bool) -> Work[Described]:
    """Return the work that gives an account a second factor, told here and nowhere again, or takes it away.

    What the user began and granted before ends.
    """

    async def work(shared: Services, store: OAuthStore[Access]) -> Described:
        user = await _user(store, username)
        described = described_user(user)
        if remove:
            if not await store.second_factors.remove(user.id):
                raise StartupError(f"The user {username!r} has no second factor.")
        else:
            secret, codes = await SecondFactors(shared.settings, store).enrol_unproven(user)
            described |= {"uri": one_time_codes.uri(secret, user.username, base_url(shared.settings))}
            described |= {"recovery_codes": codes}
        await sign_in.end_all(store, user.id)
        return described

    return audited_work("second-factor-removed" if remove else "second-factor-set", work)


async def _user(store: OAuthStore[Access], username: str) -> User:
    user = await sign_in.find(store, username)
    if user is None:
        raise StartupError(f"There is no user {username!r}.")
    return user


# --- Clients -----------------------------------------------------------------------------------------------------


def add_client(
    name: str,
    scope: str | None,
    *,
    secret: bool,
    redirect_uris: list[str],
    jwks: Path | None,
    jwks_uri: str | None,
    launch_url: str | None,
    post_logout_redirect_uris: Sequence[str] = (),
) -> Work[Described]:
    """Return the work that registers a client; its secret, where it gets one, is told here and nowhere again."""

    async def work(shared: Services, store: OAuthStore[Access]) -> Described:
        made_secret = new_secret() if secret else None
        client = Client(
            id=new_identifier(),
            name=name,
            authentication=_authentication(secret=secret, keys=jwks is not None or jwks_uri is not None),
            scopes=clients.require_scopes(DEFAULT_SCOPES if scope is None else scope),
            redirect_uris=tuple(redirect_uris),
            secret_fingerprint=fingerprint(made_secret) if made_secret else None,
            jwks=_key_set(jwks) if jwks else None,
            jwks_uri=jwks_uri,
            launch_url=launch_url,
            post_logout_redirect_uris=tuple(post_logout_redirect_uris),
        )
        clients.require_valid(client)
        await store.clients.add(client)
        return described_client(client) | ({"client_secret": made_secret} if made_secret else {})

    return audited_work("client-registration", work, name=name, scope=scope)


def _authentication(*, secret: bool, keys: bool) -> Authentication:
    if secret and keys:
        raise StartupError("A client has a secret or keys, not both.")
    return "client_secret_basic" if secret else "private_key_jwt" if keys else "none"


def _key_set(path: Path) -> dict[str, Any]:
    try:
        key_set = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StartupError(f"{path} is not a JWKS: {error}") from error
    if not isinstance(key_set, dict):
        raise StartupError(f"{path} is not a JWKS.")
    return key_set


def described_client(client: Client) -> Described:
    """Return what is told of a client."""
    described: Described = {
        "client_id": client.id,
        "client_name": client.name,
        "token_endpoint_auth_method": client.authentication,
        "grant_types": list(client.grant_types),
        "scope": str(client.scopes),
        "redirect_uris": list(client.redirect_uris),
        "jwks_uri": client.jwks_uri,
        "launch_url": client.launch_url,
        "post_logout_redirect_uris": list(client.post_logout_redirect_uris) or None,
        "self_registered": client.self_registered or None,
    }
    return {name: value for name, value in described.items() if value is not None}


async def list_clients(shared: Services, store: OAuthStore[Access]) -> list[Described]:
    """Return all clients."""
    return [described_client(client) for client in await store.clients.all()]


def remove_client(client_id: str) -> Work[None]:
    """Return the work that removes a client with all that it holds; done on every worker when it returns."""

    async def work(shared: Services, store: OAuthStore[Access]) -> None:
        if not await store.clients.remove(client_id):
            raise StartupError(f"There is no client {client_id!r}.")
        await store.grants.revoke_client(client_id)

    return audited_work("client-removed", work, client=client_id)


# --- Keys --------------------------------------------------------------------------------------------------------


async def rotate_keys(shared: Services, store: OAuthStore[Access]) -> Described:
    """Make a new signing key; what the one before signed stays valid, and no access token is touched."""
    return {"kid": (await audited(shared, base_url(shared.settings), "key-rotated", store.keys.rotate)).id}
