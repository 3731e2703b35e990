"""The page where users sign in: by name and password, or with an outside provider."""

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
from fhir_server.http.oauth.authorization import Authorization, Refusal
from fhir_server.http.oauth.forms import form
from fhir_server.http.oauth.pages.browser import Browser, browser_of, is_own_origin
from fhir_server.http.oauth.pages.rendering import page, redirect, render
from fhir_server.http.oauth.pages.second_factor import next_page
from fhir_server.http.oauth.pages.session import authorization_of, begin_session, next_url
from fhir_server.http.oauth.server import AuthorizationServer, server_of
from fhir_server.store.accounts.sign_in import Proof

PASSWORD = Proof(amr=("pwd",))
"""https://www.rfc-editor.org/rfc/rfc8176#section-2"""
_WRONG = "The name or the password is wrong, or the account is not active."


@page
async def show_sign_in(request: Request) -> Response:
    """Show the form and the providers, or lead on who is signed in already, or where there is no choice."""
    server = server_of(request)
    authorization = authorization_of(server, request.query_params.get("request"))
    browser = await browser_of(request)
    if browser.user is not None and _is_enough(authorization, browser):
        return redirect(next_url(server, authorization))
    providers = await server.providers.of_sign_in()
    if len(providers) == 1 and not _by_password(server):
        return redirect(_begin_url(server, providers[0].id, authorization))
    return await sign_in_page(
        request, browser, authorization, username=authorization.login_hint if authorization else ""
    )


def _is_enough(authorization: Authorization | None, browser: Browser) -> bool:
    return authorization is None or authorization.is_answered_by(browser.user, browser.session)


def _by_password(server: AuthorizationServer) -> bool:
    return server.services.settings.password_sign_in in ("all", "patients")


def _begin_url(server: AuthorizationServer, provider: str, authorization: Authorization | None) -> str:
    carried = f"?{urlencode({'request': authorization.sealed(server)})}" if authorization else ""
    return f"/oauth/providers/{provider}{carried}"


async def sign_in_page(
    request: Request,
    browser: Browser,
    authorization: Authorization | None,
    *,
    status: int = 200,
    message: str = "",
    seconds: int = 0,
    username: str = "",
) -> Response:
    """Return the page, with a message where something did not work."""
    server = server_of(request)
    client = await server.store.clients.find(authorization.client_id) if authorization else None
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
        by_password=_by_password(server),
        providers=[
            (provider.name, _begin_url(server, provider.id, authorization))
            for provider in await server.providers.of_sign_in()
        ],
    )
    if seconds:
        response.headers["Retry-After"] = str(seconds)
    return response


@page
async def sign_in(request: Request) -> Response:
    """Sign the user in by name and password, and lead on."""
    server, fields = server_of(request), await form(request)
    authorization = authorization_of(server, fields.get("request"))
    browser = await browser_of(request)
    if not is_own_origin(request):
        raise Refusal("foreign_form")
    if not browser.sent(fields.get("csrf")):
        return await sign_in_page(request, browser, authorization, status=400, message="form_expired")
    username = fields.get("username", "")[: LONGEST + 1]
    user, wait = await verified_user(request, username, fields.get("password", ""))
    if user is None:
        status, message = (429, "wait") if wait else (401, "wrong")
        return await sign_in_page(
            request, browser, authorization, status=status, message=message, seconds=wait, username=username
        )
    led_on = await next_page(request, browser, user, fields.get("request"))
    if led_on is not None:
        return led_on
    response = await begin_session(request, browser, authorization, user, PASSWORD)
    set_device(response, server.store.sealing_key, user, secure=server.is_secure)
    return response


async def verified_user(request: Request, username: str, password: str) -> tuple[User | None, int]:
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
