"""Letting in whom a provider has named: the session rests on the provider's sign-in, and ends with it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts.user import User
from fhir_server.auth.providers.discovery import origin_of
from fhir_server.auth.providers.provider import Provider
from fhir_server.auth.providers.relying_party import SignedIn
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.authorization import Authorization
from fhir_server.http.oauth.pages.browser import Browser
from fhir_server.http.oauth.pages.session import begin_session
from fhir_server.http.oauth.server import server_of
from fhir_server.store.accounts.sign_in import Proof


async def enter(
    request: Request,
    browser: Browser,
    provider: Provider,
    authorization: Authorization | None,
    *,
    user: User,
    signed_in: SignedIn,
) -> Response:
    """Return the answer that leads on the user, with a session that rests on the provider's sign-in."""
    server = server_of(request)
    seen().by_user(user)
    seen().about(role=user.role, subject=signed_in.subject)
    sign_in = await server.store.provider_sign_ins.add(
        user.id,
        provider.id,
        provider.issuer,
        signed_in.subject,
        sid=signed_in.sid,
        id_token=signed_in.id_token,
        refresh_token=signed_in.refresh_token,
    )
    metadata = await server.providers.party.discovery.of(provider)
    leads_to = origin_of(metadata.end_session_endpoint or "") or None
    proof = Proof(sign_in, signed_in.acr, signed_in.amr, leads_to)
    return await begin_session(
        request, browser, authorization, user, proof, signed_in=_moment(authorization, signed_in)
    )


def _moment(authorization: Authorization | None, signed_in: SignedIn) -> datetime:
    """Return when the user proved who it is: as the provider says, but not later than now."""
    now = time.time()
    moment = min(signed_in.auth_time if signed_in.auth_time is not None else now, now)
    # What was found fresh enough in spite of two clocks stays so.
    since = authorization.signed_in_since if authorization is not None else 0.0
    return datetime.fromtimestamp(max(moment, min(since, now), 0.0), UTC)
