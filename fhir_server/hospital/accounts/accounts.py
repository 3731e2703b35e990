"""Accounts of the app's users: opening one, its names, and signing in to it.

The account holds what FHIR must not: the names that one signs in with and the password. Everything else is the Patient.
A name becomes an account's by sign-up or by confirmation alone, never by what is written into the Patient.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable
from typing import Any, TypeVar

from starlette.requests import Request

from fhir_server.auth.accounts import throttle
from fhir_server.auth.accounts.login_names import email_name, login_name, names_of
from fhir_server.auth.accounts.password_policy import weakness_of
from fhir_server.auth.accounts.user import User as Account
from fhir_server.auth.accounts.user import folded
from fhir_server.engine import sign_in as signing_in
from fhir_server.engine.sign_in import NotSignedIn
from fhir_server.errors import Conflict, FhirError
from fhir_server.hospital.api.problem import Problem, invalid
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.client_address import client_address
from fhir_server.http.device import device_of
from mappings.accounts import users
from mappings.accounts.users import User

T = TypeVar("T")


def address_of(request: Request) -> str | None:
    """Return the client's own network address, or None where it is not known."""
    address = client_address(request.scope)
    return address.text if address.is_client else None


async def limited(server: FacadeServer, counts: tuple[throttle.Count, ...]) -> None:
    """Count an attempt; raises Problem where there were too many."""
    wait = await server.accounts.attempts.begin(counts)
    if wait:
        raise Problem("too_many_attempts", headers={"Retry-After": str(wait)})


async def require_strong(password: str, row: User, field: str) -> None:
    """Raise Problem for a password that is easily guessed."""
    personal = [row.first_name, row.last_name, row.email, (row.email or "").partition("@")[0]]
    weak = await weakness_of(password, personal)
    if weak:
        raise invalid(field, weak)


async def claim_names(server: FacadeServer, account_id: str, email: str | None, phone: str | None) -> None:
    """Reserve the names for an account; raises Problem where one is another's, and then reserves none."""
    for code, name in (("email_taken", names_of(email, None)), ("phone_taken", names_of(None, phone))):
        if name and not await server.names.claim(name[0], account_id):
            await server.names.release(account_id, names_of(email, phone))
            raise Problem(code)


async def open_account(server: FacadeServer, row: User, password_hash: str) -> tuple[Account, dict[str, Any]]:
    """Store a new user and return the account with its Patient; raises Problem where a name is taken."""
    account_id = uuid.uuid4().hex
    await claim_names(server, account_id, row.email, row.phone)
    return await store_account(server, account_id, row, password_hash, names_of(row.email, row.phone))


async def store_account(
    server: FacadeServer,
    account_id: str,
    row: User,
    password_hash: str,
    names: list[str],
    *,
    confirmed: str | None = None,
) -> tuple[Account, dict[str, Any]]:
    """Store a new user who has claimed the names; `confirmed` is the one that a mailed code was for."""
    try:
        patient = await server.fhir().create(users.to_fhir(row)[0])
        username = await _username(server, row.email, account_id)
        account = Account(account_id, username, "patient", f"Patient/{row.id}", password_hash)
        await server.accounts.users.add(account)
    except FhirError as error:
        await server.names.release(account_id, names)
        if error.status == 409:
            raise Problem("email_taken") from error
        raise
    await server.names.keep(account_id, names, confirmed=confirmed)
    return account, patient


async def _username(server: FacadeServer, email: str | None, account_id: str) -> str:
    """Return the address as the username, unless an account that gave the address up still has it."""
    if email is None or await server.accounts.users.find_by_name(email) is not None:
        return account_id
    return email


async def own_names(server: FacadeServer, account: Account) -> list[str]:
    """Return the names that an account signs in with."""
    named = login_name(account.username)
    return await server.names.names_of(account.id) or ([named] if named else [])


def spelled(name: str, account: Account, row: User | None) -> str:
    """Return the address of that name as its holder wrote it, never as who asks did.

    One name stands for several spellings ("strasse" and "straße"), and these may be mailboxes of different people.
    """
    for address in (account.username, (row.email if row else None) or ""):
        if "@" in address and email_name(address) == name:
            return address
    return name.partition(":")[2]


async def own_address(server: FacadeServer, account: Account, row: User | None) -> str | None:
    """Return the address that the account signs in with, whatever FHIR says of the Patient; None without one."""
    names = [name for name in await own_names(server, account) if name.startswith("email:")]
    return spelled(names[0], account, row) if names else None


async def change_names(
    server: FacadeServer, account: Account, email: str | None, phone: str | None, *, confirmed: str | None = None
) -> None:
    """Make the claimed names the account's, in place of its others of the same kind."""
    new = names_of(email, phone)
    kinds = {name.partition(":")[0] for name in new}
    kept = [name for name in await own_names(server, account) if name.partition(":")[0] not in kinds]
    await server.names.keep(account.id, [*new, *kept], confirmed=confirmed)
    if email is not None and "@" in account.username and folded(email) != folded(account.username):
        try:
            await server.accounts.users.rename(account.id, email)
        except Conflict:
            await server.accounts.users.rename(account.id, account.id)


async def sign_in(server: FacadeServer, username: str, password: str, request: Request) -> Account:
    """Return the account of that name and password; raises Problem, after the same time whether there is one or not."""
    account = await signing_in.find(server.accounts, username)
    if account is not None:
        seen().by_user(account)
    device = device_of(request, server.accounts.sealing_key, account)
    signed_in = signing_in.sign_in(
        server.services,
        server.accounts,
        username,
        password,
        address=address_of(request),
        account=account,
        device=device,
    )
    return await _or_problem(signed_in)


async def confirm(server: FacadeServer, account_id: str | None, password: str, request: Request) -> Account:
    """Return the account of who is signed in and knows the password; raises Problem."""
    return await _or_problem(signing_in.confirm(server.accounts, account_id, password, address_of(request)))


async def _or_problem(verified: Awaitable[T]) -> T:
    try:
        return await verified
    except NotSignedIn as error:
        headers = {"Retry-After": str(error.wait)} if error.wait else {}
        raise Problem(error.reason, headers=headers) from error
