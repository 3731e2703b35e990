"""Signing out with a provider: there, at the wish of who signs out here; and here, at the provider's word.

https://openid.net/specs/openid-connect-rpinitiated-1_0.html, https://openid.net/specs/openid-connect-backchannel-1_0.html
"""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.clients.redirects import with_parameters
from fhir_server.auth.outbound import Refused
from fhir_server.auth.tokens.signed import NotProven
from fhir_server.engine.providers.endings import end_sign_ins
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.answers import NO_STORE, OAuthError, endpoint
from fhir_server.http.oauth.forms import form
from fhir_server.http.oauth.server import AuthorizationServer, server_of
from fhir_server.store.accounts.sign_in import BrowserSession

_SIGNED_OUT = "/oauth/signed_out"
_REMEMBERED_SECONDS = 1200


async def sign_out_url(server: AuthorizationServer, session: BrowserSession | None, wish: str) -> str | None:
    """Return where the browser is led so that the user is signed out with the provider, too; None where it cannot be.

    `wish` comes back sealed, to the page that leads on.
    """
    if session is None or session.proof.sign_in is None:
        return None
    sign_in = await server.store.provider_sign_ins.find(session.proof.sign_in)
    provider = await server.providers.find(sign_in.provider) if sign_in else None
    if sign_in is None or provider is None:
        return None
    try:
        metadata = await server.providers.party.discovery.of(provider)
    except Refused:
        return None
    if metadata.end_session_endpoint is None:
        return None
    parameters = {
        "id_token_hint": sign_in.id_token,
        "client_id": provider.client_id,
        "post_logout_redirect_uri": server.url(_SIGNED_OUT),
        "state": wish,
    }
    return with_parameters(metadata.end_session_endpoint, parameters)


@endpoint
async def back_channel_logout(request: Request) -> Response:
    """End what a provider's logout token names: sessions, grants and tokens, on every worker when this answers."""
    server, parameters = server_of(request), await form(request)
    provider = await server.providers.find(request.path_params["provider"])
    if provider is None or "logout_token" not in parameters:
        raise OAuthError("invalid_request", "There is no logout token of a provider.")
    seen().about(provider=provider.id)
    try:
        signed_out = await server.providers.party.signed_out(provider, parameters["logout_token"])
    except NotProven as error:
        raise OAuthError("invalid_request", f"The logout token is refused: {error}.") from error
    except Refused as error:
        raise OAuthError("temporarily_unavailable", "The provider's keys cannot be had.", 503) from error
    if not await server.store.assertions.accept(provider.issuer, signed_out.jti, time.time() + _REMEMBERED_SECONDS):
        raise OAuthError("invalid_request", "The logout token was used before.")
    seen().about(subject=signed_out.subject)
    named = provider.issuer, signed_out.subject, signed_out.sid
    await server.store.provider_sign_ins.note_ended(*named)
    await end_sign_ins(server.store, await server.store.provider_sign_ins.named(*named))
    await server.store.revocations.announce()
    return Response(status_code=200, headers=dict(NO_STORE))
