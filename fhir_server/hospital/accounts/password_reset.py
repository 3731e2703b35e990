"""A forgotten password: a mail with a secret, and a new password for it.

Whether an address has an account is not told: the answer is the same, and the mail is sent after it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts import throttle
from fhir_server.auth.accounts.login_names import email_name
from fhir_server.engine import sign_in
from fhir_server.hospital.accounts import accounts
from fhir_server.hospital.accounts.account_mail import mail
from fhir_server.hospital.api.caller import Server
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fields import Body, Email, Password
from fhir_server.hospital.api.problem import Problem
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.http.audit.audit_context import seen
from mappings.accounts import users
from mappings.accounts.users import User
from translations.negotiation import choose_language

router = APIRouter(prefix="/user/password", tags=["user"])


class Forgotten(Body):
    """The address of the account."""

    email: Email


class Reset(Body):
    """The secret from the mail, and the password that is to be."""

    token: Annotated[str, Field(min_length=1, max_length=200)]
    new_password: Password


@router.post(
    "/forgot", status_code=202, response_class=Response, responses=errors("validation_failed", "too_many_attempts")
)
async def forgot(body: Forgotten, request: Request, server: Server, later: BackgroundTasks) -> Response:
    """Have a secret for a new password mailed to the address, if there is an account with it."""
    counts = throttle.counts(f"forgot {email_name(body.email)}", accounts.address_of(request), None)
    await accounts.limited(server, counts)
    later.add_task(_mail, server, body.email, request.headers.get("accept-language"))
    return Response(status_code=202, background=later)


async def _mail(server: FacadeServer, email: str, accept_language: str | None) -> None:
    name = email_name(email)
    account_id = await server.names.find(name)
    account = await server.accounts.users.find(account_id) if account_id else None
    if account is None or server.send_mail is None:
        return
    row = await _row(server, account.id)
    language = choose_language(accept_language, row.language if row else None)
    secret = await server.resets.begin(account.id)
    await mail(server, accounts.spelled(name, account, row), "reset", language, secret)


async def _row(server: FacadeServer, account_id: str) -> User | None:
    account = await server.accounts.users.find(account_id)
    patient = await server.fhir().read("Patient", account.patient) if account and account.patient else None
    return users.from_fhir(patient) if patient else None


@router.post("/reset", status_code=204, responses=errors("invalid_token", "validation_failed"))
async def reset(body: Reset, server: Server) -> Response:
    """Set a new password with the secret that was mailed, and end all of the user's sessions."""
    account_id = await server.resets.user_of(body.token)
    if account_id is None:
        raise Problem("invalid_token")
    seen().user = account_id
    row = await _row(server, account_id)
    await accounts.require_strong(body.new_password, row or User(id=account_id), "new_password")
    if not await server.resets.use(body.token):
        raise Problem("invalid_token")
    await server.confirmations.forget(account_id)
    await sign_in.set_password(server.services, server.accounts, account_id, body.new_password)
    return Response(status_code=204)
