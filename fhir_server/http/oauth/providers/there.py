"""The way to a provider: a browser is sent there with what it must bring back, which only it can, and only once."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts import throttle
from fhir_server.auth.outbound import Refused
from fhir_server.auth.providers.provider import Provider
from fhir_server.auth.providers.relying_party import Wish
from fhir_server.auth.tokens.secrets import fingerprint, new_secret
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.client_address import client_address
from fhir_server.http.oauth.authorization import Authorization, Refusal
from fhir_server.http.oauth.forms import query
from fhir_server.http.oauth.pages.browser import Browser, browser_of, set_session
from fhir_server.http.oauth.pages.rendering import page, redirect
from fhir_server.http.oauth.pages.session import authorization_of
from fhir_server.http.oauth.pages.sign_in import sign_in_page
from fhir_server.http.oauth.server import AuthorizationServer, server_of
from fhir_server.store.accounts.provider_sign_ins import Pending

_LONGEST_AGE = 10**9


async def provider_of(request: Request) -> Provider:
    """Return the provider of the path; raises Refusal."""
    provider = await server_of(request).providers.find(request.path_params["provider"])
    if provider is None or not provider.sign_in:
        raise Refusal("unknown_provider")
    return provider


def callback_url(server: AuthorizationServer, provider: Provider) -> str:
    """Return where the provider leads back to: each one somewhere else, so that none can answer for another."""
    return server.url(f"/oauth/providers/{provider.id}/callback")


@page
async def begin(request: Request) -> Response:
    """Lead the browser to the provider."""
    server, provider = server_of(request), await provider_of(request)
    sealed = query(request).get("request")
    authorization, browser = authorization_of(server, sealed), await browser_of(request)
    wait = await _counted(request)
    if wait:
        return await sign_in_page(request, browser, authorization, status=429, message="wait", seconds=wait)
    try:
        url = await _url(server, provider, authorization, browser, sealed)
    except Refused as error:
        seen().refused(f"The provider cannot be asked: {error}.")
        return await sign_in_page(request, browser, authorization, status=503, message="provider_silent")
    response = redirect(url)
    if browser.is_new:
        set_session(response, server, browser.cookie)
    return response


async def _counted(request: Request) -> int:
    """Count a sign-in that begins, and return the seconds to wait where there were too many."""
    server, address = server_of(request), client_address(request.scope)
    if not address.is_client:
        return 0
    free = server.services.settings.max_provider_sign_ins
    return await server.store.attempts.begin(throttle.provider_sign_ins(address.text, free))


async def _url(
    server: AuthorizationServer,
    provider: Provider,
    authorization: Authorization | None,
    browser: Browser,
    sealed: str | None,
) -> str:
    nonce, verifier = new_secret(), new_secret()
    await server.providers.party.discovery.of(provider)  # first, so that nothing is kept for one that is away
    data = {"nonce": nonce, "verifier": verifier, "request": sealed, "begun": time.time()}
    state = await server.store.pending.add(Pending(provider.id, fingerprint(browser.cookie), data))
    wish = Wish(callback_url(server, provider), state, nonce, verifier)
    if authorization is not None:
        wish = _as_asked(wish, authorization)
    return await server.providers.party.authorization_url(provider, wish)


def _as_asked(wish: Wish, authorization: Authorization) -> Wish:
    """Return the wish with what the app asks of the user's proof."""
    since = authorization.signed_in_since
    age = int(max(0.0, time.time() - since)) if since else None
    return Wish(
        wish.redirect_uri,
        wish.state,
        wish.nonce,
        wish.verifier,
        prompt="login" if authorization.anew else None,
        max_age=None if age is None or age > _LONGEST_AGE else age,
        acr_values=authorization.acr_values or None,
        login_hint=authorization.login_hint or None,
        ui_locales=authorization.language,
    )
