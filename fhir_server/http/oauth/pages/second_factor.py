"""The pages of the second factor: its code after the password, and its enrolment.

Between the pages nobody is signed in: what the password has proven waits in the database, for this browser alone.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import segno
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts import one_time_codes
from fhir_server.auth.accounts.user import User
from fhir_server.auth.tokens.secrets import fingerprint
from fhir_server.engine.second_factor.factors import SecondFactors, WrongCode
from fhir_server.engine.sign_in import NotSignedIn
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.client_address import client_address
from fhir_server.http.device import set_device
from fhir_server.http.oauth.authorization import MULTI_FACTOR, Refusal
from fhir_server.http.oauth.forms import form
from fhir_server.http.oauth.pages.browser import Browser, browser_of, is_own_origin, set_session
from fhir_server.http.oauth.pages.rendering import page, redirect, render
from fhir_server.http.oauth.pages.session import authorization_of, begin_session
from fhir_server.http.oauth.server import server_of
from fhir_server.store.accounts.provider_sign_ins import Pending
from fhir_server.store.accounts.sign_in import Proof

PATH, ENROLMENT = "/oauth/second_factor", "/oauth/second_factor/enrolment"
TWO_FACTORS = Proof(acr=MULTI_FACTOR, amr=("pwd", "otp", "mfa"))
"""https://www.rfc-editor.org/rfc/rfc8176#section-2"""
_PASSWORD_PROVEN = "password proven"  # noqa: S105 - what a waiting sign-in is called


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A sign-in whose password has been proven."""

    secret: str
    user: User
    data: dict[str, Any]


async def next_page(
    request: Request, browser: Browser, user: User, sealed: str | None, *, because: str = ""
) -> Response | None:
    """Return the answer that leads whoever has proven the password to the second factor; None where there is none."""
    server = server_of(request)
    factors = SecondFactors(server.services.settings, server.store)
    is_set = await factors.is_set(user)
    if not is_set and not factors.is_required(user):
        return None
    data: dict[str, Any] = {"user": user.id, "password": fingerprint(user.password_hash), "request": sealed}
    if not is_set:
        data["totp"] = one_time_codes.new_secret()
    secret = await server.store.pending.add(Pending(_PASSWORD_PROVEN, fingerprint(browser.cookie), data))
    seen().refused("The second factor is still to be proven." if is_set else "A second factor is still to be enrolled.")
    response = redirect(f"{PATH if is_set else ENROLMENT}?{urlencode({'request': secret})}")
    if browser.is_new:
        set_session(response, server, browser.cookie)
    return response


async def _waiting(request: Request, browser: Browser, secret: str) -> _Waiting:
    """Return the sign-in of this browser that waits; raises Refusal where there is none, or the account has changed."""
    server = server_of(request)
    pending = await server.store.pending.find(secret)
    if pending is None or pending.provider != _PASSWORD_PROVEN:
        raise Refusal("expired")
    if browser.is_new or not hmac.compare_digest(pending.browser, fingerprint(browser.cookie)):
        raise Refusal("foreign_form")
    user = await server.store.users.find(pending.data["user"])
    if user is None or user.disabled or fingerprint(user.password_hash) != pending.data["password"]:
        raise Refusal("expired")
    return _Waiting(secret, user, pending.data)


@page
async def show_second_factor(request: Request) -> Response:
    """Ask for the code."""
    browser, secret = await browser_of(request), request.query_params.get("request", "")
    await _waiting(request, browser, secret)
    return _second_factor_page(request, browser, secret)


def _second_factor_page(
    request: Request, browser: Browser, secret: str, *, status: int = 200, message: str = "", seconds: int = 0
) -> Response:
    response = render(
        request, "second_factor", browser=browser, sealed=secret, status=status, message=message, seconds=seconds
    )
    if seconds:
        response.headers["Retry-After"] = str(seconds)
    return response


async def lacks_second_factor(request: Request, user: User, code: str) -> tuple[int, bool]:
    """Return the seconds to wait, and whether the code fails to prove the second factor of an account that has one."""
    server, address = server_of(request), client_address(request.scope)
    factors = SecondFactors(server.services.settings, server.store)
    if not await factors.is_set(user):
        return 0, False
    try:
        method = await factors.prove(user, code, address.text if address.is_client else None)
    except NotSignedIn as error:
        seen().reason = "Too many attempts." if error.wait else "The code is wrong."
        return error.wait, True
    seen().about(second_factor=method)
    return 0, False


@page
async def prove_second_factor(request: Request) -> Response:
    """Sign in whoever's code is right."""
    fields, browser = await form(request), await browser_of(request)
    waiting = await _sent(request, browser, fields)
    wait, wrong = await lacks_second_factor(request, waiting.user, fields.get("code", ""))
    if wrong:
        status, message = (429, "wait") if wait else (401, "wrong_code")
        return _second_factor_page(request, browser, waiting.secret, status=status, message=message, seconds=wait)
    return await _let_in(request, browser, waiting)


async def _sent(request: Request, browser: Browser, fields: dict[str, str]) -> _Waiting:
    if not is_own_origin(request) or not browser.sent(fields.get("csrf")):
        raise Refusal("foreign_form")
    waiting = await _waiting(request, browser, fields.get("request", ""))
    seen().by_user(waiting.user)
    return waiting


async def _let_in(request: Request, browser: Browser, waiting: _Waiting) -> Response:
    server = server_of(request)
    if await server.store.pending.take(waiting.secret) is None:
        raise Refusal("expired")
    authorization = authorization_of(server, waiting.data["request"])
    response = await begin_session(request, browser, authorization, waiting.user, TWO_FACTORS)
    set_device(response, server.store.sealing_key, waiting.user, secure=server.is_secure)
    return response


@page
async def show_enrolment(request: Request) -> Response:
    """Show the secret, as a picture and as text, and ask for its first code."""
    browser, secret = await browser_of(request), request.query_params.get("request", "")
    return _enrolment(request, browser, await _to_be_enrolled(request, browser, secret))


async def _to_be_enrolled(request: Request, browser: Browser, secret: str) -> _Waiting:
    waiting = await _waiting(request, browser, secret)
    if "totp" not in waiting.data:
        raise Refusal("expired")
    return waiting


def _enrolment(
    request: Request, browser: Browser, waiting: _Waiting, *, status: int = 200, message: str = ""
) -> Response:
    secret = waiting.data["totp"]
    uri = one_time_codes.uri(secret, waiting.user.username, server_of(request).issuer)
    return render(
        request,
        "enrolment",
        browser=browser,
        sealed=waiting.secret,
        status=status,
        message=message,
        picture=Markup(segno.make(uri, error="m").svg_inline(scale=4, border=4, light="#fff")),  # noqa: S704 - made here
        secret=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
    )


@page
async def enrol(request: Request) -> Response:
    """Store the second factor whose code is sent, show its recovery codes, and sign in."""
    server, fields, browser = server_of(request), await form(request), await browser_of(request)
    if not is_own_origin(request) or not browser.sent(fields.get("csrf")):
        raise Refusal("foreign_form")
    waiting = await _to_be_enrolled(request, browser, fields.get("request", ""))
    seen().by_user(waiting.user)
    factors = SecondFactors(server.services.settings, server.store)
    if await factors.is_set(waiting.user):
        raise Refusal("expired")  # enrolled meanwhile, in another window: its code is asked for
    try:
        codes = await factors.enrol(waiting.user, waiting.data["totp"], fields.get("code", ""))
    except WrongCode:
        seen().reason = "The code is wrong."
        return _enrolment(request, browser, waiting, status=401, message="wrong_code")
    seen().about(second_factor="enrolled")
    led_on = await _let_in(request, browser, waiting)
    shown = render(request, "recovery_codes", browser=browser, codes=codes, leads_on=led_on.headers["location"])
    for cookie in led_on.headers.getlist("set-cookie"):
        shown.headers.append("set-cookie", cookie)
    return shown
