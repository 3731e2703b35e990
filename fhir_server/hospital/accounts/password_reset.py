"""A forgotten password: a mail with a secret, and a new password for it.

Whether an address has an account is not told: the answer is the same, and the mail is sent after it.
"""

from __future__ import annotations

import uuid
from typing import Annotated

import structlog
from fastapi import APIRouter, BackgroundTasks
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth import throttle
from fhir_server.auth.passwords import hash_password
from fhir_server.hospital.accounts import accounts
from fhir_server.hospital.api.caller import Server
from fhir_server.hospital.api.fields import Body, Email, Password
from fhir_server.hospital.api.openapi import errors
from fhir_server.hospital.api.problem import Problem
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.hospital.notifications.smtp import Mail, MailDelayed, MailRefused
from fhir_server.http.audit.audit_context import seen
from mappings.accounts import users
from mappings.accounts.users import User
from mappings.notifications.messages import Language, choose_language

router = APIRouter(prefix="/user/password", tags=["user"])
log = structlog.get_logger(__name__)

_SUBJECTS: dict[Language, str] = {"en": "Your new password", "es": "Su nueva contraseña"}
_TEXTS: dict[Language, str] = {
    "en": "With this code you can choose a new password within 30 minutes:\n\n{secret}\n\n"
    "If you did not ask for it, ignore this message; nothing has changed.",
    "es": "Con este código puede elegir una nueva contraseña durante 30 minutos:\n\n{secret}\n\n"
    "Si no lo ha pedido, ignore este mensaje; nada ha cambiado.",
}


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
    counts = throttle.counts(f"forgot {body.email}", accounts.address_of(request), None)
    wait = await server.accounts.attempts.begin(counts)
    if wait:
        raise Problem("too_many_attempts", headers={"Retry-After": str(wait)})
    later.add_task(_mail, server, body.email, request.headers.get("accept-language"))
    return Response(status_code=202, background=later)


async def _mail(server: FacadeServer, email: str, accept_language: str | None) -> None:
    account_id = await server.names.find(accounts.email_name(email))
    if account_id is None or server.send_mail is None:
        return
    row = await _row(server, account_id)
    language = choose_language(accept_language, row.language if row else None)
    secret = await server.resets.begin(account_id)
    text = _TEXTS[language].format(secret=secret)
    try:
        await server.send_mail(Mail(uuid.uuid4().hex, email, _SUBJECTS[language], text, language))
    except (MailDelayed, MailRefused) as error:
        log.warning("reset.not_mailed", kind=type(error).__name__)


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
    accounts.require_strong(body.new_password, row or User(id=account_id), "new_password")
    hashed = await hash_password(body.new_password)
    if not await server.resets.use(body.token):
        raise Problem("invalid_token")
    await server.accounts.users.change(account_id, password_hash=hashed)
    await accounts.close_sessions(server, account_id)
    return Response(status_code=204)
