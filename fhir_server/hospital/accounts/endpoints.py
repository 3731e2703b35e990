"""Endpoints 1 to 7: signing up, in and out, the profile and the password."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.passwords import hash_password
from fhir_server.errors import PreconditionFailed
from fhir_server.hospital.accounts import accounts, sessions
from fhir_server.hospital.accounts.sessions import Tokens
from fhir_server.hospital.api.answers import UserAnswer, user_answer
from fhir_server.hospital.api.caller import Called, Caller, Server
from fhir_server.hospital.api.fields import BirthDate, Body, Email, Language, Name, Password, Phone, Zone
from fhir_server.hospital.api.openapi import errors
from fhir_server.hospital.api.problem import Problem
from mappings.accounts import users
from mappings.accounts.users import Gender, User
from mappings.shared.changes import changed
from mappings.shared.rows import Url

router = APIRouter(prefix="/user", tags=["user"])
_ATTEMPTS = 5


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


class Login(Body):
    """A name, which is an email address or a phone number, and the password."""

    username: Annotated[str, Field(max_length=254)]
    password: Password


class Renewal(Body):
    """The refresh token of the pair before."""

    refresh_token: Annotated[str, Field(max_length=200)]


class Profile(Body):
    """What of the profile changes; null takes a value away where one need not be there."""

    first_name: Name | None = None
    last_name: Name | None = None
    email: Email | None = None
    phone: Phone | None = None
    profile_picture: Url | None = None
    timezone: Zone | None = None
    language: Language | None = None
    date_of_birth: BirthDate | None = None
    gender: Gender | None = None


class NewPassword(Body):
    """The password that is, and the one that is to be."""

    current_password: Password
    new_password: Password


class SignedIn(Tokens):
    """A user with a new pair of tokens."""

    user: UserAnswer


class LoggedIn(Tokens):
    """A user, or a member of the staff, who is nobody's row of the users, with a new pair of tokens."""

    user: UserAnswer | None


@router.post("/signup", status_code=201, responses=errors("email_taken", "phone_taken", "validation_failed"))
async def sign_up(body: SignUp, server: Server) -> SignedIn:
    """Open an account and sign in."""
    row = User(id=str(uuid.uuid4()), **body.model_dump(exclude={"password"}))
    accounts.require_strong(body.password, row, "password")
    account, patient = await accounts.open_account(server, row, body.password)
    tokens = await sessions.begin(server.accounts, account)
    return SignedIn(user=await user_answer(server.fhir(), patient), **tokens.model_dump())


@router.post("/login", responses=errors("invalid_credentials", "account_inactive", "too_many_attempts"))
async def login(body: Login, request: Request, server: Server) -> LoggedIn:
    """Sign in."""
    account = await accounts.sign_in(server, body.username, body.password, accounts.address_of(request))
    tokens = await sessions.begin(server.accounts, account)
    fhir = server.fhir()
    patient = await fhir.read("Patient", account.patient) if account.patient else None
    return LoggedIn(user=await user_answer(fhir, patient) if patient else None, **tokens.model_dump())


@router.post("/token/refresh", responses=errors("invalid_token"))
async def refresh(body: Renewal, server: Server) -> Tokens:
    """Exchange a refresh token for a new pair; one that was spent before ends the session."""
    return await sessions.refresh(server.services, server.accounts, body.refresh_token)


@router.post("/logout", status_code=204, responses=errors("invalid_token"))
async def logout(caller: Called) -> Response:
    """End the session: its access and refresh tokens are dead on every worker."""
    if caller.token.grant is not None:
        await caller.server.accounts.grants.revoke_grant(caller.token.grant)
    return Response(status_code=204)


@router.get("/profile", responses=errors("invalid_token"))
async def profile(caller: Called) -> UserAnswer:
    """Return the user."""
    return await user_answer(caller.fhir, await caller.patient())


@router.put("/profile", responses=errors("invalid_token", "email_taken", "phone_taken", "validation_failed"))
async def change_profile(body: Profile, caller: Called) -> UserAnswer:
    """Change the user; what the Patient holds besides stays."""
    given = body.model_dump(include=body.model_fields_set)
    for required in ("first_name", "last_name", "email", "phone"):
        if required in given and given[required] is None:
            raise Problem("validation_failed", errors=[(required, "missing")])
    account_id = caller.token.user_id or ""
    await accounts.claim_names(caller.server, account_id, given.get("email"), given.get("phone"))
    patient = await _with_changes(caller, given)
    row = users.from_fhir(patient)
    await caller.server.names.keep(account_id, accounts.names_of(row.email, row.phone))
    return await user_answer(caller.fhir, patient)


async def _with_changes(caller: Caller, given: dict[str, Any]) -> dict[str, Any]:
    for _ in range(_ATTEMPTS):
        patient = await caller.fhir.read("Patient", caller.patient_id)
        if patient is None:
            raise Problem("not_found")
        row = users.from_fhir(patient)
        new = changed(patient, users.to_fhir(row)[0], users.to_fhir(row.model_copy(update=given))[0])
        if new == patient:
            return patient
        try:
            return await caller.acting.update(new)
        except PreconditionFailed:
            continue
    raise Problem("conflict")


@router.put("/password", status_code=204, responses=errors("invalid_credentials", "too_many_attempts"))
async def change_password(body: NewPassword, caller: Called, request: Request) -> Response:
    """Change the password and end the user's other sessions."""
    server = caller.server
    account = await accounts.confirm(server, caller.token.user_id, body.current_password, accounts.address_of(request))
    if account.patient is not None:
        accounts.require_strong(body.new_password, await caller.user(), "new_password")
    await server.accounts.users.change(account.id, password_hash=await hash_password(body.new_password))
    await accounts.close_sessions(server, account.id, but=caller.token.grant)
    return Response(status_code=204)
