"""Dynamic client registration, where the setting allows it. https://www.rfc-editor.org/rfc/rfc7591"""

from __future__ import annotations

import json
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts.throttle import registrations
from fhir_server.auth.clients.client import AUTHENTICATIONS, Authentication, Client, require_scopes, require_valid
from fhir_server.auth.permission.scopes import Scopes, parse_scopes
from fhir_server.auth.tokens.secrets import fingerprint, new_identifier, new_secret
from fhir_server.errors import FhirError
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.client_address import client_address
from fhir_server.http.oauth.answers import OAuthError, answer, endpoint
from fhir_server.http.oauth.forms import body_of
from fhir_server.http.oauth.server import AuthorizationServer, server_of

DEFAULT_SCOPES = "openid fhirUser launch launch/patient launch/encounter offline_access online_access patient/*.rs"
_LARGEST_SCOPES = parse_scopes(f"{DEFAULT_SCOPES} patient/*.cruds user/*.cruds profile email")
"""A client that nobody vouches for acts for users only, never for itself."""


@endpoint
async def register(request: Request) -> Response:
    """Register the client that the body describes; answers 201 with its id, and its secret where it has one."""
    server = server_of(request)
    if not server.services.settings.dynamic_registration:
        raise OAuthError("access_denied", "Clients are registered by the operator of this server.", 403)
    metadata = await _metadata(request)
    secret = new_secret() if _authentication(metadata) == "client_secret_basic" else None
    try:
        client = _client(metadata, secret)
        require_valid(client)
    except FhirError as error:
        code = error.issues[0].code
        allowed = ("invalid_redirect_uri", "invalid_client_metadata")
        name = code if code in allowed else "invalid_client_metadata"
        raise OAuthError(name, error.issues[0].diagnostics) from error
    await _count(request)
    await _add(server, client)
    seen().about(client=client.id, scope=client.scopes)
    return answer(_registered(client, secret), 201)


async def _count(request: Request) -> None:
    """Count a registration that is in order; raises OAuthError where there were too many from its address."""
    server, address = server_of(request), client_address(request.scope).text
    wait = await server.store.attempts.begin(registrations(address, server.services.settings.max_registrations))
    if wait:
        text = "Too many apps have been registered from this address (max_registrations)."
        raise OAuthError("temporarily_unavailable", text, 429, {"Retry-After": str(wait)})


async def _add(server: AuthorizationServer, client: Client) -> None:
    """Store the client, to be removed again if nobody uses it; raises OAuthError where too many wait for that."""
    settings = server.services.settings
    if not await server.store.clients.add_unused(client, settings.unused_client_life, settings.max_unused_clients):
        text = "Too many apps were registered within the last hour that nobody has used (max_unused_clients)."
        raise OAuthError("temporarily_unavailable", text, 429, {"Retry-After": "3600"})


async def _metadata(request: Request) -> dict[str, Any]:
    try:
        metadata = json.loads(await body_of(request))
    except (ValueError, RecursionError) as error:
        raise OAuthError("invalid_client_metadata", "The body is not JSON.") from error
    if not isinstance(metadata, dict):
        raise OAuthError("invalid_client_metadata", "The body is not a JSON object.")
    return metadata


def _authentication(metadata: dict[str, Any]) -> Authentication:
    method = metadata.get("token_endpoint_auth_method", "client_secret_basic")
    for supported in AUTHENTICATIONS:
        if method == supported or (method == "client_secret_post" and supported == "client_secret_basic"):
            return supported
    raise OAuthError("invalid_client_metadata", f"token_endpoint_auth_method is one of {', '.join(AUTHENTICATIONS)}.")


def _client(metadata: dict[str, Any], secret: str | None) -> Client:
    jwks = metadata.get("jwks")
    if jwks is not None and not isinstance(jwks, dict):
        raise OAuthError("invalid_client_metadata", "jwks is a JSON object.")
    return Client(
        id=new_identifier(),
        name=_text(metadata, "client_name") or "",
        authentication=_authentication(metadata),
        scopes=_scopes(_text(metadata, "scope")),
        redirect_uris=_redirect_uris(metadata, "redirect_uris"),
        post_logout_redirect_uris=(
            _redirect_uris(metadata, "post_logout_redirect_uris") if "post_logout_redirect_uris" in metadata else ()
        ),
        secret_fingerprint=fingerprint(secret) if secret else None,
        jwks=jwks,
        jwks_uri=_text(metadata, "jwks_uri"),
        launch_url=_text(metadata, "initiate_login_uri"),
        self_registered=True,
    )


def _text(metadata: dict[str, Any], name: str) -> str | None:
    value = metadata.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > 4000):
        raise OAuthError("invalid_client_metadata", f"{name} is a text.")
    return value


def _redirect_uris(metadata: dict[str, Any], name: str) -> tuple[str, ...]:
    uris = metadata.get(name)
    if not isinstance(uris, list) or not uris or not all(isinstance(uri, str) for uri in uris):
        raise OAuthError("invalid_redirect_uri", f"{name} is a list of at least one URI.")
    return tuple(uris)


def _scopes(text: str | None) -> Scopes:
    scopes = require_scopes(text or DEFAULT_SCOPES)
    allowed = scopes.narrowed_to(_LARGEST_SCOPES)
    if not allowed.resources and not allowed.plain:
        raise OAuthError("invalid_client_metadata", "None of the scopes is open to a client that registers itself.")
    return allowed


def _registered(client: Client, secret: str | None) -> dict[str, Any]:
    described = {
        "client_id": client.id,
        "client_id_issued_at": int(time.time()),
        "client_name": client.name,
        "redirect_uris": list(client.redirect_uris),
        "post_logout_redirect_uris": list(client.post_logout_redirect_uris) or None,
        "grant_types": list(client.grant_types),
        "response_types": ["code"],
        "token_endpoint_auth_method": client.authentication,
        "scope": str(client.scopes),
        "jwks": client.jwks,
        "jwks_uri": client.jwks_uri,
        "initiate_login_uri": client.launch_url,
    }
    if secret is not None:
        described |= {"client_secret": secret, "client_secret_expires_at": 0}
    return {name: value for name, value in described.items() if value is not None}
