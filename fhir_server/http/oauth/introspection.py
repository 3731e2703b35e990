"""Introspection (RFC 7662) and revocation (RFC 7009) of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.permission.bearer import BearerToken
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.answers import NO_STORE, OAuthError, answer, endpoint
from fhir_server.http.oauth.client_authentication import authenticate
from fhir_server.http.oauth.forms import form
from fhir_server.http.oauth.server import AuthorizationServer, server_of


@endpoint
async def introspect(request: Request) -> Response:
    """Answer what a token stands for, to a client that proves itself or to the bearer of a token.

    A backend client learns of all tokens, any other only of its own.
    """
    server, parameters = server_of(request), await form(request)
    client_id, sees_all = await _caller(server, request, parameters)
    if "token" not in parameters:
        raise OAuthError("invalid_request", "The request needs a token.")
    token = await server.store.grants.live_token(parameters["token"])
    _see(token)
    if token is None or not (sees_all or token[1].client_id == client_id):
        return answer({"active": False})
    return answer(_described(server, *token))


def _see(token_of_kind: tuple[str, BearerToken] | None) -> None:
    if token_of_kind is not None:
        kind, token = token_of_kind
        seen().about(token=kind, of_client=token.client_id, of_user=token.user_id, patient=token.context.patient)


async def _caller(server: AuthorizationServer, request: Request, parameters: Mapping[str, str]) -> tuple[str, bool]:
    authorization = request.headers.get("authorization", "")
    if authorization[:7].lower() == "bearer ":
        token = await server.store.grants.live_token(authorization[7:].strip())
        if token is None or token[0] != "access":
            challenge = {"WWW-Authenticate": 'Bearer realm="oauth", error="invalid_token"'}
            raise OAuthError("invalid_token", "The access token is unknown or has expired.", 401, challenge)
        seen().by_token(token[1])
        return token[1].client_id, token[1].user_id is None
    client = await authenticate(server, request, parameters, server.url("/oauth/introspect"))
    if client.is_public:
        raise OAuthError("invalid_client", "Introspection needs a client that proves who it is, or a token.", 401)
    return client.id, "client_credentials" in client.grant_types


def _described(server: AuthorizationServer, kind: str, token: BearerToken) -> dict[str, Any]:
    described: dict[str, Any] = {
        "active": True,
        "scope": str(token.scopes),
        "client_id": token.client_id,
        "exp": int(token.expires.timestamp()),
        "iat": int(token.issued.timestamp()),
        "iss": server.issuer,
        "aud": server.url("/oauth/userinfo") if token.sign_in_only else server.base_url,
        "sub": token.subject,
    }
    if kind == "access":
        described |= {"token_type": "Bearer"}
    if token.username is not None:
        described["username"] = token.username
    if token.fhir_user is not None and "fhirUser" in token.scopes:
        described["fhirUser"] = f"{server.base_url}/{token.fhir_user}"
    return described | token.context.response()


@endpoint
async def revoke(request: Request) -> Response:
    """End a token of the client, and with a refresh token, a spent one too, all that came of its grant; no other's."""
    server, parameters = server_of(request), await form(request)
    client = await authenticate(server, request, parameters, server.url("/oauth/revoke"))
    if "token" not in parameters:
        raise OAuthError("invalid_request", "The request needs a token.")
    live = await server.store.grants.live_token(parameters["token"], spent=True)
    _see(live)
    if live is not None and live[1].client_id == client.id:
        kind, token = live
        if kind == "refresh" and token.grant is not None:
            await server.store.grants.revoke_grant(token.grant)
        else:
            await server.store.grants.revoke_token(parameters["token"])
    return Response(status_code=200, headers=dict(NO_STORE))
