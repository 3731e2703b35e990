"""Connecting a provider's subject with an account here: its owner signs in to it once, in the same browser."""

from __future__ import annotations

import hmac
from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts.login_names import LONGEST
from fhir_server.auth.providers.provider import Provider
from fhir_server.auth.providers.relying_party import SignedIn
from fhir_server.auth.tokens.secrets import fingerprint
from fhir_server.engine.providers.accounts import NotLetIn
from fhir_server.errors import Conflict
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.authorization import Refusal
from fhir_server.http.oauth.forms import form
from fhir_server.http.oauth.pages.browser import Browser, browser_of, is_own_origin, set_session
from fhir_server.http.oauth.pages.rendering import page, redirect, render
from fhir_server.http.oauth.pages.second_factor import lacks_second_factor
from fhir_server.http.oauth.pages.session import authorization_of
from fhir_server.http.oauth.pages.sign_in import sign_in_page, verified_user
from fhir_server.http.oauth.providers.entering import enter
from fhir_server.http.oauth.server import server_of
from fhir_server.store.accounts.provider_sign_ins import Pending

PATH = "/oauth/link"


async def offer_link(
    request: Request, browser: Browser, provider: Provider, signed_in: SignedIn, sealed: str | None
) -> Response:
    """Return the answer that leads to the page, where this browser alone can go on."""
    server = server_of(request)
    data = {"signed_in": asdict(signed_in), "request": sealed}
    secret = await server.store.pending.add(Pending(provider.id, fingerprint(browser.cookie), data))
    response = redirect(f"{PATH}?{urlencode({'request': secret})}")
    if browser.is_new:
        set_session(response, server, browser.cookie)
    return response


@page
async def show_link(request: Request) -> Response:
    """Show the form."""
    browser, secret = await browser_of(request), request.query_params.get("request", "")
    provider, _ = await _pending(request, browser, secret)
    return _link_page(request, browser, provider, secret)


@page
async def link(request: Request) -> Response:
    """Connect the account whose name and password are sent, and sign in to it."""
    server, fields, browser = server_of(request), await form(request), await browser_of(request)
    if not is_own_origin(request) or not browser.sent(fields.get("csrf")):
        raise Refusal("foreign_form")
    secret = fields.get("request", "")
    provider, data = await _pending(request, browser, secret)
    seen().about(provider=provider.id, linked=provider.id)
    authorization = authorization_of(server, data["request"])
    username = fields.get("username", "")[: LONGEST + 1]
    wrong = False
    user, wait = await verified_user(request, username, fields.get("password", ""))
    if user is not None:
        wait, wrong = await lacks_second_factor(request, user, fields.get("code", ""))
    if user is None or wrong:
        status, message = (429, "wait") if wait else (401, "wrong" if user is None else "wrong_code")
        return _link_page(
            request, browser, provider, secret, status=status, message=message, seconds=wait, username=username
        )
    signed_in = SignedIn(**data["signed_in"])
    try:
        user = await server.accounts.link(provider, signed_in.subject, signed_in.claims, user)
    except Conflict:
        seen().refused("The account or the subject is linked already.")
        return _link_page(request, browser, provider, secret, status=409, message="link_taken", username=username)
    except NotLetIn as refused:
        seen().refused(refused.reason)
        return await sign_in_page(request, browser, authorization, status=403, message="not_let_in")
    await server.store.pending.take(secret)
    return await enter(request, browser, provider, authorization, user=user, signed_in=signed_in)


async def _pending(request: Request, browser: Browser, secret: str) -> tuple[Provider, dict[str, Any]]:
    """Return the provider and what this browser has to link; raises Refusal."""
    server = server_of(request)
    pending = await server.store.pending.find(secret)
    if pending is None or "signed_in" not in pending.data:
        raise Refusal("expired")
    if browser.is_new or not hmac.compare_digest(pending.browser, fingerprint(browser.cookie)):
        raise Refusal("foreign_form")
    provider = await server.providers.find(pending.provider)
    if provider is None:
        raise Refusal("unknown_provider")
    return provider, pending.data


def _link_page(
    request: Request,
    browser: Browser,
    provider: Provider,
    secret: str,
    *,
    status: int = 200,
    message: str = "",
    seconds: int = 0,
    username: str = "",
) -> Response:
    response = render(
        request,
        "link",
        browser=browser,
        status=status,
        sealed=secret,
        provider=provider.name,
        message=message,
        seconds=seconds,
        username=username,
    )
    if seconds:
        response.headers["Retry-After"] = str(seconds)
    return response
