"""Signing in: the one place that finds an account by name, counts failures, verifies the password and decides.

The app, the pages of the authorization server, the command line and imports all ask here, so that a name which one of
them takes is taken by all, and one that was given up signs in nowhere.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from fhir_server.auth.accounts import throttle
from fhir_server.auth.accounts.login_names import counted_name, email_name, login_name
from fhir_server.auth.accounts.passwords import hash_password, verify_password
from fhir_server.auth.accounts.user import User
from fhir_server.engine.account_status import is_active
from fhir_server.engine.context import Services
from fhir_server.store.accounts.oauth import OAuthStore

Reason: TypeAlias = Literal["invalid_credentials", "account_inactive", "too_many_attempts"]


class NotSignedIn(Exception):
    """The sign-in is refused; `account` is the one that the name belongs to, `wait` how many seconds to wait."""

    def __init__(self, reason: Reason, account: User | None = None, wait: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.account = account
        self.wait = wait


async def find(store: OAuthStore[Any], username: str) -> User | None:
    """Return the account that signs in under an address, a phone number, or a name that the operator gave."""
    name = login_name(username)
    account_id = await store.names.find(name) if name else None
    if account_id is not None:
        return await store.users.find(account_id)
    account = await store.users.find_by_name(username)
    # An address that was given up must not sign in any more, though the account was opened with it.
    return None if account is not None and name and await has_given_up(store, account) else account


async def has_given_up(store: OAuthStore[Any], account: User) -> bool:
    """Return whether the account signs in with other names than the address or number that it was opened with."""
    return account.role == "patient" and await store.names.any_of(account.id)


async def own_address(store: OAuthStore[Any], account: User) -> tuple[str, bool] | None:
    """Return the email address that an account signs in with, and whether its holder has confirmed it; or None."""
    name = next((each for each in await store.names.names_of(account.id) if each.startswith("email:")), None)
    written = account.username if "@" in account.username else ""
    if name is None:
        named = login_name(written)
        return (written, False) if named and not await has_given_up(store, account) else None
    address = written if written and email_name(written) == name else name.partition(":")[2]
    return address, await store.names.is_confirmed(name, account.id)


async def sign_in(
    services: Services,
    store: OAuthStore[Any],
    username: str,
    password: str,
    *,
    address: str | None,
    account: User | None,
    device: str | None,
) -> User:
    """Return the account of that name and password; raises NotSignedIn, after the same time whether there is one.

    `account` is what `find` returned for the name, and `device` names a device that has signed in to it before;
    `address` is the client's own, or None where it is not known.
    """
    counts = throttle.counts(counted_name(username), address, device)
    wait = await store.attempts.begin(counts)
    if wait:
        raise NotSignedIn("too_many_attempts", account, wait)
    if not await verify_password(password, account.password_hash if account else None) or account is None:
        raise NotSignedIn("invalid_credentials", account)
    await store.attempts.forgive(counts)
    if account.disabled or not await is_active(services, account.fhir_user):
        raise NotSignedIn("account_inactive", account)
    if not may_use_password(services, account):
        raise NotSignedIn("invalid_credentials", account)
    return account


def may_use_password(services: Services, account: User) -> bool:
    """Return whether the account's holder may sign in by a password of this server, as the settings say."""
    allowed = services.settings.password_sign_in
    return allowed == "all" or (allowed == "patients" and account.role == "patient")


async def confirm(store: OAuthStore[Any], account_id: str | None, password: str, address: str | None) -> User:
    """Return the account of who is signed in and knows the password; raises NotSignedIn.

    Failures count under the account, else a stolen token would be a place to guess at without end.
    """
    counts = throttle.counts(f"confirm {account_id}", address, None)
    wait = await store.attempts.begin(counts)
    if wait:
        raise NotSignedIn("too_many_attempts", None, wait)
    account = await store.users.find(account_id or "")
    if not await verify_password(password, account.password_hash if account else None) or account is None:
        raise NotSignedIn("invalid_credentials", account)
    await store.attempts.forgive(counts)
    return account


async def is_unchanged(store: OAuthStore[Any], account: User) -> bool:
    """Return whether the account is as it was verified: asked once a session is stored, which a change would end.

    Else a sign-in with the old password that is under way would outlive the change.
    """
    now = await store.users.find(account.id)
    return (
        now is not None and not now.disabled and (now.password_hash, now.role) == (account.password_hash, account.role)
    )


async def set_password(
    services: Services, store: OAuthStore[Any], account_id: str, password: str, *, but: str | None = None
) -> None:
    """Change the password and end all that was granted before, on every worker; the grant `but` may stay.

    Codes under way, grants that were never used, browsers' sessions and mailed codes end with it.
    """
    await store.users.change(account_id, password_hash=await hash_password(password))
    await services.stores.password_resets.forget(account_id)
    await end_all(store, account_id, but=but)


async def end_all(store: OAuthStore[Any], account_id: str, *, but: str | None = None) -> None:
    """End all that was granted by the user, in the app and elsewhere, on every worker; one grant may stay."""
    await store.sessions.end_all(account_id)
    await store.grants.revoke_user(account_id, but=but)
