"""The page where users sign in."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts.login_names import LONGEST
from fhir_server.auth.accounts.user import User
from fhir_server.engine import sign_in as signing_in
from fhir_server.engine.sign_in import NotSignedIn
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.client_address import client_address
from fhir_server.http.device import device_of, set_device
from fhir_server.http.oauth.authorization import Authorization, Refusal, unsealed
from fhir_server.http.oauth.forms import form
from fhir_server.http.oauth.pages.browser import Browser, browser_of, is_own_origin, set_session
from fhir_server.http.oauth.pages.rendering import page, redirect, render
from fhir_server.http.oauth.server import AuthorizationServer, server_of

APPS = "/oauth/apps"
_WRONG = "The name or the password is wrong, or the account is not active."


@page
async def show_sign_in(request: Request) -> Response:
    """Show the form, or lead on who is signed in already."""
    server = server_of(request)
    authorization = _authorization(server, request.query_params.get("request"))
    browser = await browser_of(request)
    if browser.user is not None and _is_enough(authorization, browser):
        return redirect(_next(server, authorization))
    return await _form(request, browser, authorization, username=authorization.login_hint if authorization else "")


def _authorization(server: AuthorizationServer, sealed: str | None) -> Authorization | None:
    return unsealed(server, sealed) if sealed else None


def _is_enough(authorization: Authorization | None, browser: Browser) -> bool:
    return authorization is None or authorization.is_answered_by(browser.user, browser.session)


def _next(server: AuthorizationServer, authorization: Authorization | None) -> str:
    if authorization is None:
        return APPS
    return "/oauth/consent?" + urlencode({"request": authorization.sealed(server)})


async def _form(
    request: Request,
    browser: Browser,
    authorization: Authorization | None,
    *,
    status: int = 200,
    message: str = "",
    seconds: int = 0,
    username: str = "",
) -> Response:
    client = await server_of(request).store.clients.find(authorization.client_id) if authorization else None
    response = render(
        request,
        "sign_in",
        browser=browser,
        authorization=authorization,
        status=status,
        app=client.name if client else None,
        message=message,
        seconds=seconds,
        username=username,
    )
    if seconds:
        response.headers["Retry-After"] = str(seconds)
    return response


@page
async def sign_in(request: Request) -> Response:
    """Sign the user in and lead on; the browser gets a new session, so that one planted before is worth nothing."""
    server, fields = server_of(request), await form(request)
    authorization = _authorization(server, fields.get("request"))
    browser = await browser_of(request)
    if not is_own_origin(request):
        raise Refusal("foreign_form")
    if not browser.sent(fields.get("csrf")):
        return await _form(request, browser, authorization, status=400, message="form_expired")
    username = fields.get("username", "")[: LONGEST + 1]
    user, wait = await _user(request, username, fields.get("password", ""))
    if user is None:
        status, message = (429, "wait") if wait else (401, "wrong")
        return await _form(
            request, browser, authorization, status=status, message=message, seconds=wait, username=username
        )
    if browser.session is not None:
        await server.store.sessions.end(browser.session.id)
    if authorization is not None and authorization.user_id not in (None, user.id):
        other = {"error": "login_required", "error_description": "Another user than the app's signed in."}
        response = redirect(authorization.answer_url(server, **other))
    else:
        response = redirect(_next(server, authorization))
    cookie = await server.store.sessions.begin(user.id)
    if not await signing_in.is_unchanged(server.store, user):
        await server.store.sessions.end_all(user.id)
        return await _form(request, browser, authorization, status=401, message="wrong", username=username)
    set_session(response, server, cookie)
    set_device(response, server.store.sealing_key, user, secure=server.is_secure)
    return response


async def _user(request: Request, username: str, password: str) -> tuple[User | None, int]:
    """Return the user whose name and password these are, or None and the seconds to wait after too many tries."""
    server = server_of(request)
    account = await signing_in.find(server.store, username)
    if account is not None:
        # Only what is an account's name is told: people type passwords in the wrong field.
        seen().by_user(account)
    address = client_address(request.scope)
    try:
        user = await signing_in.sign_in(
            server.services,
            server.store,
            username,
            password,
            address=address.text if address.is_client else None,
            account=account,
            device=device_of(request, server.store.sealing_key, account),
        )
    except NotSignedIn as error:
        seen().reason = "Too many attempts." if error.wait else _WRONG
        return None, error.wait
    return user, 0
