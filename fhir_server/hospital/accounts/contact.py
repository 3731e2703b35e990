"""New sign-in addresses of an account: asked for with the password, valid once confirmed, told to the old address.

A phone number is confirmed by a code to the account's address, as the server sends no text messages. One that is
another account's goes on to sign in there alone, which is not told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.background import BackgroundTasks
from starlette.responses import Response

from fhir_server.auth.accounts.login_names import email_name, names_of
from fhir_server.auth.accounts.user import User as Account
from fhir_server.auth.tokens.secrets import fingerprint
from fhir_server.engine.account_status import is_active
from fhir_server.engine.sign_in import is_unchanged
from fhir_server.hospital.accounts import accounts
from fhir_server.hospital.accounts.account_mail import mail
from fhir_server.hospital.accounts.profile_change import change_patient
from fhir_server.hospital.accounts.sign_up import Confirmation
from fhir_server.hospital.api.caller import Server
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fhir import Fhir
from fhir_server.hospital.api.problem import Problem
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.http.audit.audit_context import seen
from mappings.accounts import users
from mappings.accounts.users import User
from translations.catalogue import Language
from translations.negotiation import choose_language

router = APIRouter(prefix="/user/contact", tags=["user"])


async def new_contacts(server: FacadeServer, account: Account, contacts: Mapping[str, Any]) -> dict[str, str]:
    """Return those of the addresses and numbers given that the account does not sign in with."""
    own = await accounts.own_names(server, account)
    named = {"email": names_of(contacts.get("email"), None), "phone": names_of(None, contacts.get("phone"))}
    return {kind: contacts[kind] for kind, names in named.items() if names and names[0] not in own}


async def begin_change(
    server: FacadeServer,
    account: Account,
    row: User,
    new: Mapping[str, str],
    *,
    language: Language,
    later: BackgroundTasks,
) -> bool:
    """Have a code mailed that confirms new contacts; return False where none can be, so that they count at once."""
    old = await accounts.own_address(server, account, row)
    if server.send_mail is None or (new.get("email") or old) is None:
        return False
    later.add_task(_mail, server, account, old, dict(new), language)
    return True


async def _mail(
    server: FacadeServer, account: Account, old: str | None, new: Mapping[str, str], language: Language
) -> None:
    email = new.get("email")
    if email is not None:
        await mail(server, old, "contact-asked", language)
        if await server.names.is_taken(email_name(email), account.id):
            await mail(server, email, "sign-up-tried", language)
            return
    what = {"new": new, "password": fingerprint(account.password_hash)}
    secret = await server.confirmations.begin("contact", account.id, what)
    await mail(server, email or old, "contact", language, secret)


@router.post(
    "/confirm", status_code=204, responses=errors("invalid_token", "email_taken", "conflict", "validation_failed")
)
async def confirm_contact(body: Confirmation, server: Server) -> Response:
    """Change the address or number that the mailed code is for; the account signs in with the new one from now on."""
    used = await server.confirmations.use("contact", body.token)
    account = await server.accounts.users.find(used[0]) if used else None
    if used is None or account is None or account.patient is None or account.disabled:
        raise Problem("invalid_token")
    # The code may have been made while the password changed: it is worth what the password was that asked for it.
    if used[1].get("password") != fingerprint(account.password_hash):
        raise Problem("invalid_token")
    if not await is_active(server.services, account.fhir_user):
        raise Problem("invalid_token")
    seen().by_user(account)
    new = used[1]["new"]
    await accounts.claim_names(server, account.id, new.get("email"), None)
    phone = new.get("phone")
    if phone is not None and not await server.names.claim(names_of(None, phone)[0], account.id):
        phone = None
    fhir: Fhir = server.fhir()
    patient = await fhir.read("Patient", account.patient)
    old = users.from_fhir(patient) if patient else None
    await change_patient(fhir, fhir, account.patient, new)
    names, notified = await accounts.own_names(server, account), await accounts.own_address(server, account, old)
    email = new.get("email")
    await accounts.change_names(server, account, email, phone, confirmed=email_name(email) if email else None)
    if not await is_unchanged(server.accounts, account):
        await _give_back(server, account, names, old)
        raise Problem("invalid_token")
    await server.services.stores.password_resets.forget(account.id)
    if old is not None:
        await mail(server, notified, "contact-changed", choose_language(None, old.language))
    return Response(status_code=204)


async def _give_back(server: FacadeServer, account: Account, names: list[str], old: User | None) -> None:
    """Undo a change whose password was changed meanwhile: else who knew the old one would own the account."""
    for name in names:
        await server.names.claim(name, account.id)
    await server.names.keep(account.id, names)
    changed = await server.accounts.users.find(account.id)
    if changed is not None and changed.username != account.username:
        await server.accounts.users.rename(account.id, account.username)
    if old is not None and account.patient is not None:
        fhir: Fhir = server.fhir()
        await change_patient(fhir, fhir, account.patient, {"email": old.email, "phone": old.phone})
