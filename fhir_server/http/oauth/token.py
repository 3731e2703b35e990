"""The token endpoint: codes, refresh tokens and client credentials become access tokens.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#obtain-access-token
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.clients.client import Client
from fhir_server.auth.clients.pkce import verifies
from fhir_server.auth.permission.bearer import BearerToken
from fhir_server.auth.permission.scopes import EHR_LAUNCH, Scopes, parse_scopes
from fhir_server.auth.tokens.id_tokens import sign_id_token
from fhir_server.auth.tokens.secrets import (
    ACCESS_LIFETIME,
    BACKEND_LIFETIME,
    REFRESH_LIFETIME,
    SESSION_LIFETIME,
    new_secret,
)
from fhir_server.engine.account_status import is_active
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.answers import OAuthError, answer, endpoint
from fhir_server.http.oauth.claims import claims_of
from fhir_server.http.oauth.client_authentication import authenticate
from fhir_server.http.oauth.forms import form
from fhir_server.http.oauth.server import AuthorizationServer, server_of
from fhir_server.store.accounts.grants import Code, Replayed, Withdrawn

GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")


@endpoint
async def token(request: Request) -> Response:
    """Answer with an access token, and what belongs to it; raises OAuthError."""
    if request.url.query:
        raise OAuthError("invalid_request", "Parameters of a token request stand in its body, not in the URL.")
    server, parameters = server_of(request), await form(request)
    grant_type = parameters.get("grant_type")
    if grant_type is None:
        raise OAuthError("invalid_request", "The request needs a grant_type.")
    if grant_type not in GRANT_TYPES:
        raise OAuthError("unsupported_grant_type", f"The grant_type is one of {', '.join(GRANT_TYPES)}.")
    seen().about(grant_type=grant_type)
    try:
        client = await _client(server, request, parameters)
        if grant_type not in client.grant_types:
            raise OAuthError("unauthorized_client", f"The client may not use {grant_type}.")
        if grant_type == "authorization_code":
            return answer(await _exchange(server, client, parameters))
        if grant_type == "refresh_token":
            return answer(await _refresh(server, client, parameters))
        return answer(await _backend(server, client, parameters))
    except Replayed as error:
        raise OAuthError("invalid_grant", "It was used before; what was issued from it has been revoked.") from error
    except Withdrawn as error:
        raise OAuthError("invalid_grant", "It has been revoked.") from error


async def _client(server: AuthorizationServer, request: Request, parameters: Mapping[str, str]) -> Client:
    refreshing = parameters["grant_type"] == "refresh_token" and "refresh_token" in parameters
    named = {"client_id", "client_secret", "client_assertion", "client_assertion_type"} & parameters.keys()
    if refreshing and not named and "authorization" not in request.headers:
        # A public client that refreshes need not say who it is: the token tells.
        refreshed = await server.store.grants.refresh(parameters["refresh_token"], server.refresh_leeway)
        client = await server.store.clients.find(refreshed.client_id) if refreshed else None
        if client is None or not client.is_public:
            raise OAuthError("invalid_grant", "The refresh token is unknown, expired, or another client's.")
        return client
    return await authenticate(server, request, parameters, server.url("/oauth/token"))


async def _exchange(server: AuthorizationServer, client: Client, parameters: Mapping[str, str]) -> dict[str, Any]:
    for name in ("code", "redirect_uri", "code_verifier"):
        if name not in parameters:
            raise OAuthError("invalid_request", f"The request needs a {name}.")
    code = await server.store.grants.redeem(parameters["code"])
    if code is None or code.token.client_id != client.id or code.redirect_uri != parameters["redirect_uri"]:
        raise OAuthError("invalid_grant", "The code is unknown, expired, or was issued for another client or URI.")
    if not verifies(parameters["code_verifier"], code.challenge):
        raise OAuthError("invalid_grant", "The code_verifier does not fit the code_challenge.")
    issued = await _issue(server, code.token)
    if "openid" in code.token.scopes:
        issued["id_token"] = await _id_token(server, code)
    return issued


async def _id_token(server: AuthorizationServer, code: Code) -> str:
    return sign_id_token(
        await server.store.keys.current(),
        issuer=server.issuer,
        subject=code.token.subject,
        client_id=code.token.client_id,
        about_user=await claims_of(server, code.token),
        nonce=code.nonce,
        signed_in=code.signed_in,
        acr=code.proof.acr,
        amr=code.proof.amr,
    )


async def _refresh(server: AuthorizationServer, client: Client, parameters: Mapping[str, str]) -> dict[str, Any]:
    secret = parameters.get("refresh_token")
    if secret is None:
        raise OAuthError("invalid_request", "The request needs a refresh_token.")
    refreshed = await server.store.grants.refresh(secret, server.refresh_leeway)
    if refreshed is None or refreshed.client_id != client.id:
        raise OAuthError("invalid_grant", "The refresh token is unknown, expired, or another client's.")
    if not await is_active(server.services, refreshed.fhir_user):
        raise OAuthError("invalid_grant", "The user's account is not active.")
    scopes = _narrowed(refreshed.scopes, parameters.get("scope"))
    if client.is_public:
        following = await server.store.grants.rotate(secret, server.store.keys.refresh_key(), server.refresh_leeway)
        return await _issue(server, refreshed, scopes, successor=following)
    # A confidential client proves itself at each refresh, so its token need not change hands again.
    return await _issue(server, refreshed, scopes, refresh_token=secret)


def _narrowed(granted: Scopes, text: str | None) -> Scopes:
    if text is None:
        return granted
    scopes = parse_scopes(text)
    if not scopes or not scopes.within(granted):
        raise OAuthError("invalid_scope", "A refresh cannot widen what was granted.")
    return scopes


async def _issue(
    server: AuthorizationServer,
    granted: BearerToken,
    scopes: Scopes | None = None,
    *,
    refresh_token: str | None = None,
    successor: str | None = None,
) -> dict[str, Any]:
    """Store an access token with `scopes`, and where the grant allows it a refresh token with all that was granted.

    `refresh_token` is one that stays, `successor` the one to store in place of one that was used up.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    secret = new_secret()
    access = replace(granted, scopes=scopes or granted.scopes, issued=now, expires=now + ACCESS_LIFETIME)
    tokens = [(secret, "access", access)]
    lifetime = _refresh_lifetime(granted.scopes)
    if lifetime is not None and refresh_token is None:
        refresh_token = successor or new_secret()
        # What lives as long as the session began to live when it did; a rotated token gains nothing.
        begun = now if "offline_access" in granted.scopes else granted.issued
        tokens.append((refresh_token, "refresh", replace(granted, issued=begun, expires=begun + lifetime)))
    await server.store.grants.issue(tokens)
    issued = _response(secret, access, int(ACCESS_LIFETIME.total_seconds()))
    return issued | ({"refresh_token": refresh_token} if refresh_token else {})


def _refresh_lifetime(scopes: Scopes) -> Any:
    if "offline_access" in scopes:
        return REFRESH_LIFETIME
    return SESSION_LIFETIME if "online_access" in scopes else None


def _response(secret: str, access: BearerToken, seconds: int) -> dict[str, Any]:
    seen().by_token(access)
    seen().about(scope=access.scopes)
    return {
        "access_token": secret,
        "token_type": "Bearer",
        "expires_in": seconds,
        "scope": str(access.scopes),
        **access.context.response(),
    }


async def _backend(server: AuthorizationServer, client: Client, parameters: Mapping[str, str]) -> dict[str, Any]:
    # https://www.rfc-editor.org/rfc/rfc6749#section-3.3: without a scope the default, here all that is registered.
    requested = parse_scopes(parameters["scope"]) if "scope" in parameters else client.scopes
    allowed = requested.narrowed_to(client.scopes).without_level("patient", "user")
    scopes = Scopes(allowed.resources, tuple(name for name in allowed.plain if name == EHR_LAUNCH))
    if not scopes:
        raise OAuthError("invalid_scope", "None of the scopes is one that the client is registered for.")
    now, secret = datetime.now(UTC).replace(microsecond=0), new_secret()
    access = BearerToken(client.id, scopes, now + BACKEND_LIFETIME, now)
    await server.store.grants.issue([(secret, "access", access)])
    return _response(secret, access, int(BACKEND_LIFETIME.total_seconds()))
