"""The way back from a provider: the answer is checked against what this browser began, and the user is signed in.

https://openid.net/specs/openid-connect-core-1_0.html#AuthResponse, https://www.rfc-editor.org/rfc/rfc9207
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.outbound import Refused
from fhir_server.auth.providers.provider import Provider
from fhir_server.auth.providers.relying_party import SKEW, Ended, SignedIn, Wish
from fhir_server.auth.tokens.secrets import fingerprint
from fhir_server.auth.tokens.signed import NotProven
from fhir_server.engine.providers.accounts import NoAccount, NotLetIn
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.authorization import Authorization, Refusal
from fhir_server.http.oauth.forms import query
from fhir_server.http.oauth.pages.browser import Browser, browser_of
from fhir_server.http.oauth.pages.rendering import page
from fhir_server.http.oauth.pages.session import authorization_of
from fhir_server.http.oauth.pages.sign_in import sign_in_page
from fhir_server.http.oauth.providers.entering import enter
from fhir_server.http.oauth.providers.link import offer_link
from fhir_server.http.oauth.providers.there import callback_url, provider_of
from fhir_server.http.oauth.server import AuthorizationServer, server_of


class _Failed(Exception):
    """The answer signs nobody in; the user is told by a text, the trail by the reason."""

    def __init__(self, message: str, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.message = message
        self.reason = reason
        self.status = status


@page
async def callback(request: Request) -> Response:
    """Sign in whom the provider names, and lead on; whatever is wrong leads to the sign-in page, and tells why."""
    server, provider = server_of(request), await provider_of(request)
    parameters, browser = query(request), await browser_of(request)
    seen().about(provider=provider.id)
    begun = await _begun(server, provider, browser, parameters.get("state", ""))
    authorization = authorization_of(server, begun["request"])
    if authorization is not None:
        seen().client = authorization.client_id
    try:
        signed_in = await _signed_in(server, provider, parameters, begun)
        _require_fresh(authorization, signed_in)
        user = await server.accounts.of(provider, signed_in.subject, signed_in.claims)
    except _Failed as failed:
        seen().refused(failed.reason)
        return await sign_in_page(request, browser, authorization, status=failed.status, message=failed.message)
    except NotLetIn as refused:
        if refused.account is not None:
            seen().by_user(refused.account)
        seen().refused(refused.reason)
        return await sign_in_page(request, browser, authorization, status=403, message="not_let_in")
    except NoAccount:
        seen().refused("The subject has no account here.")
        return await offer_link(request, browser, provider, signed_in, begun["request"])
    return await enter(request, browser, provider, authorization, user=user, signed_in=signed_in)


async def _begun(server: AuthorizationServer, provider: Provider, browser: Browser, state: str) -> Mapping[str, Any]:
    """Return what this browser began with this provider, and never again; raises Refusal."""
    pending = await server.store.pending.take(state)
    if pending is None or "verifier" not in pending.data:
        raise Refusal("expired")
    own = hmac.compare_digest(pending.browser, fingerprint(browser.cookie))
    if pending.provider != provider.id or browser.is_new or not own:
        raise Refusal("foreign_form")
    return pending.data


async def _signed_in(
    server: AuthorizationServer, provider: Provider, parameters: Mapping[str, str], begun: Mapping[str, Any]
) -> SignedIn:
    try:
        metadata = await server.providers.party.discovery.of(provider)
        named = parameters.get("iss")
        if named != provider.issuer and (named is not None or metadata.names_itself):
            raise _Failed("provider_failed", "The answer is another issuer's.")
        if "error" in parameters:
            raise _Failed("provider_refused", f"The provider answers {parameters['error'][:60]!r}.")
        if "code" not in parameters:
            raise _Failed("provider_failed", "The answer has no code.")
        wish = Wish(callback_url(server, provider), "", begun["nonce"], begun["verifier"])
        return await server.providers.party.exchange(provider, wish, parameters["code"])
    except (Ended, NotProven) as error:
        raise _Failed(
            "provider_failed", f"The provider's answer proves nothing: {error or 'the code is refused'}."
        ) from error
    except Refused as error:
        raise _Failed("provider_silent", f"The provider cannot be asked: {error}.", 503) from error


def _require_fresh(authorization: Authorization | None, signed_in: SignedIn) -> None:
    """Raise _Failed unless the user has proven as lately who it is as the app wants."""
    if authorization is None or not authorization.signed_in_since:
        return
    if signed_in.auth_time is None or signed_in.auth_time < authorization.signed_in_since - SKEW:
        raise _Failed("provider_stale", "The provider does not say that the user signed in lately enough.")
