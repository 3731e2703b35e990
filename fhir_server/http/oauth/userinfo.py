"""The userinfo endpoint of OpenID Connect. https://openid.net/specs/openid-connect-core-1_0.html#UserInfo."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.answers import OAuthError, answer, endpoint
from fhir_server.http.oauth.claims import claims_of
from fhir_server.http.oauth.server import server_of


@endpoint
async def userinfo(request: Request) -> Response:
    """Answer who the user of the access token is."""
    server = server_of(request)
    authorization = request.headers.get("authorization", "")
    secret = authorization[7:].strip() if authorization[:7].lower() == "bearer " else ""
    live = await server.store.grants.live_token(secret) if secret else None
    if live is None or live[0] != "access":
        error = ', error="invalid_token"' if secret else ""
        challenge = {"WWW-Authenticate": f'Bearer realm="oauth"{error}'}
        raise OAuthError("invalid_token", "The access token is missing, unknown or expired.", 401, challenge)
    token = live[1]
    seen().by_token(token)
    if token.user_id is None or "openid" not in token.scopes:
        challenge = {"WWW-Authenticate": 'Bearer realm="oauth", error="insufficient_scope", scope="openid"'}
        raise OAuthError("insufficient_scope", "The token lacks the scope openid.", 403, challenge)
    return answer({"sub": token.subject} | await claims_of(server, token))
