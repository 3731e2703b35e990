"""Signing out: on a page of this server, or at the wish of an app that the user is signed in to.

https://openid.net/specs/openid-connect-rpinitiated-1_0.html
An app whose id_token names the signed-in user is believed; whoever else sends a browser here, the user is asked. Only a
URI that the app registered for it is ever led to.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.clients.client import Client
from fhir_server.auth.clients.redirects import is_registered, with_parameters
from fhir_server.auth.tokens.id_tokens import read_id_token
from fhir_server.auth.tokens.secrets import REQUEST_LIFETIME
from fhir_server.engine.search.page_token import seal, unseal
from fhir_server.errors import BadRequest
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.authorization import Refusal
from fhir_server.http.oauth.forms import form, query
from fhir_server.http.oauth.pages.browser import Browser, browser_of, end_session, is_own_origin
from fhir_server.http.oauth.pages.rendering import page, redirect, render
from fhir_server.http.oauth.providers.signing_out import sign_out_url
from fhir_server.http.oauth.server import AuthorizationServer, server_of

_LONGEST_STATE = 4000
_OWN_PAGE = "/oauth/apps"


@dataclass(frozen=True, slots=True)
class SignOut:
    """A checked wish of an app; `subject` is the user whom its id_token names, None without one that counts."""

    client_id: str | None = None
    redirect_uri: str | None = None
    state: str | None = None
    subject: str | None = None
    language: str | None = None
    expires: float = 0

    def sealed(self, server: AuthorizationServer) -> str:
        """Return the wish as a text that only this server can read or make."""
        return seal(server.store.sealing_key, {"sign_out": asdict(self)})

    def next_url(self) -> str | None:
        """Return where the browser is led afterwards."""
        if self.redirect_uri is None or self.state is None:
            return self.redirect_uri
        return with_parameters(self.redirect_uri, {"state": self.state})


def _unsealed(server: AuthorizationServer, text: str | None) -> SignOut:
    if not text:
        return SignOut()
    try:
        wish = SignOut(**unseal(server.store.sealing_key, text)["sign_out"])
    except (BadRequest, TypeError, LookupError) as error:
        raise Refusal("expired") from error
    if wish.expires < time.time():
        raise Refusal("expired")
    return wish


@page
async def end_session_endpoint(request: Request) -> Response:
    """Take an app's wish, by GET or POST, and lead the browser on to where its session is looked at.

    A form that another site sends brings no cookie; the redirect that answers it does.
    """
    server = server_of(request)
    parameters = query(request) if request.method == "GET" else await form(request)
    wish = await _checked(server, parameters)
    return redirect("/oauth/logout?" + urlencode({"request": wish.sealed(server)}))


async def _checked(server: AuthorizationServer, parameters: Mapping[str, str]) -> SignOut:
    hint = parameters.get("id_token_hint")
    named = read_id_token(hint, await server.store.keys.verifying(), server.issuer) if hint else None
    client_id, subject = named or (None, None)
    if client_id is not None and parameters.get("client_id", client_id) != client_id:
        raise Refusal("bad_request")
    client = await _client(server, client_id or parameters.get("client_id"))
    uri = parameters.get("post_logout_redirect_uri")
    if uri is not None and (client is None or not is_registered(uri, client.post_logout_redirect_uris)):
        raise Refusal("unknown_return")
    if len(parameters.get("state", "")) > _LONGEST_STATE:
        raise Refusal("bad_request")
    return SignOut(
        client.id if client else None,
        uri,
        parameters.get("state"),
        subject,
        parameters.get("ui_locales"),
        _expires(),
    )


async def _client(server: AuthorizationServer, client_id: str | None) -> Client | None:
    if client_id is None:
        return None
    client = await server.store.clients.find(client_id)
    if client is None:
        raise Refusal("unknown_client")
    return client


@page
async def show_sign_out(request: Request) -> Response:
    """Ask the user; lead on where there is nothing to ask: nobody is signed in, or the app proved whom it means."""
    server, browser = server_of(request), await browser_of(request)
    sealed = request.query_params.get("request", "")
    wish = _unsealed(server, sealed)
    if browser.user is None:
        return _led_on(request, wish)
    if wish.subject == browser.user.id:
        return redirect("/oauth/logout/now?" + urlencode({"request": sealed}))
    client = await _client(server, wish.client_id)
    return render(
        request,
        "sign_out",
        browser=browser,
        asked_language=wish.language,
        sealed=sealed,
        leads_to=wish.redirect_uri,
        app=client.name if client else None,
    )


@page
async def sign_out_now(request: Request) -> Response:
    """End the session of the user whom the app's id_token named; anybody else is asked."""
    server, browser = server_of(request), await browser_of(request)
    sealed = request.query_params.get("request", "")
    wish = _unsealed(server, sealed)
    seen().client = wish.client_id or ""
    if browser.user is not None and wish.subject != browser.user.id:
        seen().refused("The user who is signed in is another one.")
        return redirect("/oauth/logout?" + urlencode({"request": sealed}))
    return await _ended(request, browser, wish)


@page
async def sign_out(request: Request) -> Response:
    """Carry out the user's decision on a page of this server: end the session, and lead back to the app that asked."""
    server, fields, browser = server_of(request), await form(request), await browser_of(request)
    if not is_own_origin(request) or not browser.sent(fields.get("csrf")):
        raise Refusal("foreign_form")
    wish = _unsealed(server, fields.get("request"))
    seen().client = wish.client_id or ""
    if "stay" in fields:
        seen().refused("The user did not want it.")
        return redirect(_OWN_PAGE)
    return await _ended(request, browser, wish)


async def _ended(request: Request, browser: Browser, wish: SignOut) -> Response:
    """End the session, and with it what was granted only for as long as it lasts; lead on, by way of the provider."""
    server = server_of(request)
    store, wish = server.store, replace(wish, expires=wish.expires or _expires())
    away = await sign_out_url(server, browser.session, wish.sealed(server))
    if browser.user is not None:
        seen().by_user(browser.user)
    if browser.session is not None:
        await store.sessions.end(browser.session.id)
        await store.grants.revoke_session(browser.session.id)
    response = redirect(away) if away else _led_on(request, wish)
    end_session(response)
    return response


@page
async def signed_out(request: Request) -> Response:
    """Lead on a browser that comes back from the provider where its user was signed out, too."""
    return _led_on(request, _unsealed(server_of(request), request.query_params.get("state")))


def _expires() -> float:
    return time.time() + REQUEST_LIFETIME.total_seconds()


def _led_on(request: Request, wish: SignOut) -> Response:
    url = wish.next_url()
    return redirect(url) if url else render(request, "signed_out", asked_language=wish.language)
