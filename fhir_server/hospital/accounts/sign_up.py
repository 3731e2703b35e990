"""Endpoint 1, signing up, and its confirmation.

Where mail is configured the answer is the same whoever has an account already: an account is opened by a code that is
mailed, and an address that has one is told that somebody tried.
"""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fhir_server.auth.accounts import throttle
from fhir_server.auth.accounts.login_names import email_name, names_of
from fhir_server.auth.accounts.passwords import hash_password
from fhir_server.hospital.accounts import accounts, sessions
from fhir_server.hospital.accounts.account_mail import mail
from fhir_server.hospital.accounts.sessions import Tokens
from fhir_server.hospital.api.answers import UserAnswer, user_answer
from fhir_server.hospital.api.caller import Server
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fields import BirthDate, Body, Email, Language, Name, Password, Phone, Zone
from fhir_server.hospital.api.problem import Problem
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.http.device import set_device
from mappings.accounts.users import Gender, User
from translations.negotiation import choose_language

router = APIRouter(prefix="/user", tags=["user"])


class SignUp(Body):
    """Who signs up."""

    first_name: Name
    last_name: Name
    email: Email
    phone: Phone
    password: Password
    date_of_birth: BirthDate | None = None
    gender: Gender | None = None
    timezone: Zone | None = None
    language: Language | None = None


class SignedIn(Tokens):
    """A user with a new pair of tokens."""

    user: UserAnswer


class ConfirmationSent(BaseModel):
    """A code was mailed, if to nobody but the holder of an account."""

    confirmation: str = "sent"


class Confirmation(Body):
    """The code from the mail."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


@router.post(
    "/signup",
    status_code=201,
    response_model=SignedIn,
    responses={
        202: {"model": ConfirmationSent, "description": "A code was mailed; where mail is configured."},
        **errors("email_taken", "phone_taken", "validation_failed", "too_many_attempts"),
    },
)
async def sign_up(
    body: SignUp, request: Request, response: Response, server: Server, later: BackgroundTasks
) -> SignedIn | Response:
    """Open an account and sign in; where mail is configured, once the address is confirmed."""
    row = User(id=str(uuid.uuid4()), **body.model_dump(exclude={"password"}))
    await accounts.require_strong(body.password, row, "password")
    address = accounts.address_of(request)
    if address is not None:
        await accounts.limited(server, throttle.sign_ups(address, server.settings.max_sign_ups))
    hashed = await hash_password(body.password)
    if server.send_mail is not None:
        later.add_task(_mail, server, row, hashed, request.headers.get("accept-language"))
        return JSONResponse(ConfirmationSent().model_dump(), 202, background=later)
    account, patient = await accounts.open_account(server, row, hashed)
    tokens = await sessions.begin(server.accounts, account)
    set_device(response, server.accounts.sealing_key, account, secure=server.is_secure)
    return SignedIn(user=await user_answer(server.fhir(), patient), **tokens.model_dump())


async def _mail(server: FacadeServer, row: User, hashed: str, accept_language: str | None) -> None:
    """Mail the code, or that there is an account: after the answer, so that its time tells nothing either."""
    assert row.email is not None, "it is required"
    language = choose_language(accept_language, row.language)
    if await server.names.is_taken(email_name(row.email)):
        await mail(server, row.email, "sign-up-tried", language)
        return
    what = {"row": row.model_dump(mode="json", exclude_none=True), "password": hashed}
    secret = await server.confirmations.begin("sign-up", row.id, what)
    await mail(server, row.email, "sign-up", language, secret)


@router.post("/signup/confirm", status_code=201, responses=errors("invalid_token", "email_taken", "validation_failed"))
async def confirm_sign_up(body: Confirmation, response: Response, server: Server) -> SignedIn:
    """Open the account that the mailed code is for, and sign in.

    A phone number that is another account's signs in there alone, which is not told; here it only tells how to call.
    """
    used = await server.confirmations.use("sign-up", body.token)
    if used is None:
        raise Problem("invalid_token")
    row, account_id = User(**used[1]["row"]), uuid.uuid4().hex
    await accounts.claim_names(server, account_id, row.email, None)
    names = names_of(row.email, None)
    names += [name for name in names_of(None, row.phone) if await server.names.claim(name, account_id)]
    account, patient = await accounts.store_account(
        server, account_id, row, used[1]["password"], names, confirmed=email_name(row.email or "")
    )
    tokens = await sessions.begin(server.accounts, account)
    set_device(response, server.accounts.sealing_key, account, secure=server.is_secure)
    return SignedIn(user=await user_answer(server.fhir(), patient), **tokens.model_dump())
