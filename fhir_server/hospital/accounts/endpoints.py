"""Endpoints 2 to 7: signing in and out, the profile and the password."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter
from pydantic import AfterValidator, Field
from starlette.background import BackgroundTasks
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fhir_server.auth.accounts.login_names import LONGEST
from fhir_server.auth.accounts.user import User as Account
from fhir_server.engine import sign_in as signing_in
from fhir_server.hospital.accounts import accounts, contact, second_factor, sessions
from fhir_server.hospital.accounts.profile_change import change_patient
from fhir_server.hospital.accounts.sessions import Tokens
from fhir_server.hospital.api.answers import UserAnswer, user_answer
from fhir_server.hospital.api.caller import AppCalled, Called, Caller, Server, require_own_app
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fields import BirthDate, Body, Email, Language, Name, Password, Phone, Zone
from fhir_server.hospital.api.problem import Problem
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.http.device import set_device
from mappings.accounts.users import Gender, User
from mappings.shared.rows import Url

router = APIRouter(prefix="/user", tags=["user"])
_PICTURE = re.compile(r"https://[^/?#@]+([/?#].*)?|data:image/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+={0,2}", re.I)
_LONGEST_PICTURE = 700_000


def _picture(url: str) -> str:
    # Whoever shows a profile follows it: nothing that runs, and no address that another network resolves otherwise.
    if len(url) > _LONGEST_PICTURE or not _PICTURE.fullmatch(url):
        raise ValueError("picture")
    return url


class Login(Body):
    """A name, which is an email address or a phone number, and the password."""

    username: Annotated[str, Field(max_length=LONGEST)]
    password: Password


class Renewal(Body):
    """The refresh token of the pair before."""

    refresh_token: Annotated[str, Field(max_length=200)]


class Profile(Body):
    """What of the profile changes; null takes a value away where one need not be there.

    A new email or phone needs `current_password`, and counts once it is confirmed.
    """

    first_name: Name | None = None
    last_name: Name | None = None
    email: Email | None = None
    phone: Phone | None = None
    profile_picture: Annotated[
        Annotated[Url, AfterValidator(_picture)] | None,
        Field(description="An https URL, or an image of at most 500 KB as a data: URL (png, jpeg, webp, gif)."),
    ] = None
    timezone: Zone | None = None
    language: Language | None = None
    date_of_birth: BirthDate | None = None
    gender: Gender | None = None
    current_password: Password | None = None


class NewPassword(Body):
    """The password that is, and the one that is to be."""

    current_password: Password
    new_password: Password


class LoggedIn(Tokens):
    """Login response; `user` is null for staff."""

    user: UserAnswer | None


class SecondFactorCode(Body):
    """What the login answered, and a code of the authenticator app, or a recovery code."""

    challenge: Annotated[str, Field(max_length=200)]
    code: Annotated[str, Field(max_length=40)]


@router.post(
    "/login",
    responses=errors(
        "invalid_credentials",
        "second_factor_required",
        "second_factor_missing",
        "account_inactive",
        "too_many_attempts",
    ),
)
async def login(body: Login, request: Request, response: Response, server: Server) -> LoggedIn:
    """Sign in; an account with a second factor is asked for its code."""
    account = await accounts.sign_in(server, body.username, body.password, request)
    await second_factor.require(server, account)
    return await _logged_in(server, account, response)


@router.post("/login/second-factor", responses=errors("invalid_credentials", "account_inactive", "too_many_attempts"))
async def login_with_second_factor(
    body: SecondFactorCode, request: Request, response: Response, server: Server
) -> LoggedIn:
    """Sign in by the code of the second factor, after the password."""
    account = await second_factor.proven(server, body.challenge, body.code, accounts.address_of(request))
    return await _logged_in(server, account, response)


async def _logged_in(server: FacadeServer, account: Account, response: Response) -> LoggedIn:
    tokens = await sessions.begin(server.accounts, account)
    set_device(response, server.accounts.sealing_key, account, secure=server.is_secure)
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


@router.put(
    "/profile",
    response_model=UserAnswer,
    responses=errors(
        "invalid_token",
        "invalid_credentials",
        "email_taken",
        "phone_taken",
        "validation_failed",
        "too_many_attempts",
    ),
)
async def change_profile(body: Profile, caller: Called, request: Request) -> Response:
    """Change the user; what the Patient holds besides stays.

    A new email or phone is answered as it was before until `POST /user/contact/confirm`, where mail is configured.
    """
    changes = body.model_dump(include=body.model_fields_set - {"current_password"})
    for required in ("first_name", "last_name", "email", "phone"):
        if required in changes and changes[required] is None:
            raise Problem("validation_failed", errors=[(required, "missing")])
    later = BackgroundTasks()
    if {"email", "phone"} & changes.keys():
        await _change_contacts(caller, body, changes, request, later)
    patient = await change_patient(caller.fhir, caller.acting, caller.patient_id, changes)
    answer = await user_answer(caller.fhir, patient)
    return JSONResponse(answer.model_dump(mode="json"), background=later)


async def _change_contacts(
    caller: Caller, body: Profile, changes: dict[str, object], request: Request, later: BackgroundTasks
) -> None:
    """Begin or make the change of what the account signs in with; what waits is taken out of `changes`."""
    require_own_app(caller)
    server = caller.server
    account = await server.accounts.users.find(caller.token.user_id or "")
    new = await contact.new_contacts(server, account, changes) if account else {}
    if account is None or not new:
        return
    if body.current_password is None:
        raise Problem("validation_failed", errors=[("current_password", "missing")])
    account = await accounts.confirm(server, account.id, body.current_password, request)
    row, language = await caller.user(), await caller.language()
    if await contact.begin_change(server, account, row, new, language=language, later=later):
        for kind in new:
            del changes[kind]
        return
    await accounts.claim_names(server, account.id, new.get("email"), new.get("phone"))
    await accounts.change_names(server, account, new.get("email"), new.get("phone"))


@router.put(
    "/password",
    status_code=204,
    responses=errors("invalid_token", "forbidden", "invalid_credentials", "too_many_attempts"),
)
async def change_password(body: NewPassword, caller: AppCalled, request: Request) -> Response:
    """Change the password and end all else that the user was signed in with or had granted."""
    server = caller.server
    account = await accounts.confirm(server, caller.token.user_id, body.current_password, request)
    row = await caller.user() if account.patient is not None else User(id=account.id, email=account.username)
    await accounts.require_strong(body.new_password, row, "new_password")
    await server.confirmations.forget(account.id)
    await signing_in.set_password(
        server.services, server.accounts, account.id, body.new_password, but=caller.token.grant
    )
    return Response(status_code=204)
