"""Accounts of the app's users: opening, finding, changing and closing one.

The account holds what FHIR must not: the names that one signs in with and the password. Everything else is the Patient.
"""

from __future__ import annotations

import uuid
from typing import Any

from starlette.requests import Request

from fhir_server.auth import throttle
from fhir_server.auth.passwords import hash_password, verify_password
from fhir_server.auth.users import User as Account
from fhir_server.auth.users import folded
from fhir_server.engine.account_status import is_active
from fhir_server.errors import FhirError
from fhir_server.hospital.accounts.passwords import weakness
from fhir_server.hospital.api import fields
from fhir_server.hospital.api.problem import Problem, invalid
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.client_address import client_address
from mappings.accounts import users
from mappings.accounts.users import User


def address_of(request: Request) -> str:
    """Return the network address that a request came from."""
    return client_address(request.scope).text


def email_name(email: str) -> str:
    """Return the name under which an address signs in."""
    return f"email:{folded(email)}"


def names_of(email: str | None, phone: str | None) -> list[str]:
    """Return the names that an address and a number sign in under."""
    return [*([email_name(email)] if email else []), *([f"phone:{phone}"] if phone else [])]


def require_strong(password: str, row: User, field: str) -> None:
    """Raise Problem for a password that is easily guessed."""
    personal = [row.first_name, row.last_name, row.email, (row.email or "").partition("@")[0]]
    weak = weakness(password, personal)
    if weak:
        raise invalid(field, weak)


async def claim_names(server: FacadeServer, account_id: str, email: str | None, phone: str | None) -> None:
    """Reserve the names for an account; raises Problem where one is another's, and then reserves none."""
    for code, name in (("email_taken", names_of(email, None)), ("phone_taken", names_of(None, phone))):
        if name and not await server.names.claim(name[0], account_id):
            await server.names.release(account_id, names_of(email, phone))
            raise Problem(code)


async def open_account(server: FacadeServer, row: User, password: str) -> tuple[Account, dict[str, Any]]:
    """Store a new user and return the account with its Patient; raises Problem where a name is taken."""
    account_id = uuid.uuid4().hex
    await claim_names(server, account_id, row.email, row.phone)
    names = names_of(row.email, row.phone)
    try:
        patient = await server.fhir().create(users.to_fhir(row)[0])
        hashed = await hash_password(password)
        account = Account(account_id, row.email or account_id, "patient", f"Patient/{row.id}", hashed)
        await server.accounts.users.add(account)
    except FhirError as error:
        await server.names.release(account_id, names)
        if error.status == 409:
            raise Problem("email_taken") from error
        raise
    await server.names.keep(account_id, names)
    return account, patient


async def sign_in(server: FacadeServer, username: str, password: str, address: str) -> Account:
    """Return the account of that name and password; raises Problem, after the same time whether there is one or not."""
    # However it is written: a number with other blanks would else be another name, with guesses of its own.
    counts = throttle.counts((_login_name(username) or "").partition(":")[2] or folded(username), address, None)
    wait = await server.accounts.attempts.begin(counts)
    if wait:
        raise Problem("too_many_attempts", headers={"Retry-After": str(wait)})
    account = await find(server, username)
    if account is not None:
        seen().by_user(account)
    right = await verify_password(password, account.password_hash if account else None)
    if not right or account is None:
        raise Problem("invalid_credentials")
    await server.accounts.attempts.forgive(counts)
    if account.disabled or not await is_active(server.services, account.fhir_user):
        raise Problem("account_inactive")
    return account


async def confirm(server: FacadeServer, account_id: str | None, password: str, address: str) -> Account:
    """Return the account of who is signed in and knows the password; raises Problem, after five failures for a while.

    Else a stolen token would be a place to guess at without end.
    """
    counts = throttle.counts(f"confirm {account_id}", address, None)
    wait = await server.accounts.attempts.begin(counts)
    if wait:
        raise Problem("too_many_attempts", headers={"Retry-After": str(wait)})
    account = await server.accounts.users.find(account_id or "")
    if not await verify_password(password, account.password_hash if account else None) or account is None:
        raise Problem("invalid_credentials")
    await server.accounts.attempts.forgive(counts)
    return account


async def find(server: FacadeServer, username: str) -> Account | None:
    """Return the account that signs in under an address, a phone number, or a name that the operator gave."""
    name = _login_name(username)
    account_id = await server.names.find(name) if name else None
    if account_id is not None:
        return await server.accounts.users.find(account_id)
    found = await server.accounts.users.find_by_name(username)
    # An address that was given up must not sign in any more, though the account was opened with it.
    return None if found is not None and name and await _has_names(server, found) else found


async def _has_names(server: FacadeServer, account: Account) -> bool:
    return account.role == "patient" and await server.names.any_of(account.id)


def _login_name(username: str) -> str | None:
    try:
        return email_name(fields.email(username)) if "@" in username else f"phone:{fields.phone(username)}"
    except ValueError:
        return None


async def close_sessions(server: FacadeServer, account_id: str, *, but: str | None = None) -> None:
    """End all that was granted by the user, in the app and elsewhere, on every worker; one grant may stay."""
    await server.accounts.sessions.end_all(account_id)
    if but is None:
        await server.accounts.grants.revoke_user(account_id)
        return
    for app in await server.accounts.grants.apps_of(account_id):
        if app.id != but:
            await server.accounts.grants.revoke_grant(app.id)
