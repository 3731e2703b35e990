"""What the authorization server tells of itself: SMART and OpenID configuration, public keys, its style.

https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fhir_server.auth.clients.assertions import ALGORITHMS
from fhir_server.auth.endpoints import endpoints
from fhir_server.auth.tokens.keys import ALGORITHM
from fhir_server.engine.providers.authorization_server import smart_configuration_of
from fhir_server.http.oauth.answers import OAuthError, endpoint
from fhir_server.http.oauth.authorization import PROMPTS
from fhir_server.http.oauth.claims import CLAIMS
from fhir_server.http.oauth.server import server_of
from translations.catalogue import LANGUAGES

CAPABILITIES = (
    "launch-standalone",
    "launch-ehr",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
SCOPES = (
    "openid",
    "fhirUser",
    "profile",
    "email",
    "launch",
    "launch/patient",
    "launch/encounter",
    "offline_access",
    "online_access",
    "patient/*.cruds",
    "user/*.cruds",
    "system/*.cruds",
    "patient/*.read",
    "patient/*.rs",
    "user/*.rs",
    "system/*.rs",
    "patient/Patient.rs",
    "patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|encounter-diagnosis",
    "patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|problem-list-item",
    "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
    "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs",
)


def _shared(request: Request) -> dict[str, Any]:
    server = server_of(request)
    return {
        "issuer": server.issuer,
        "jwks_uri": server.url("/oauth/jwks"),
        **endpoints(server.base_url, registration=server.services.settings.dynamic_registration),
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        # https://www.rfc-editor.org/rfc/rfc9207#section-3
        "authorization_response_iss_parameter_supported": True,
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": list(SCOPES),
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
            "none",
        ],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "ui_locales_supported": list(LANGUAGES),
    }


@endpoint
async def smart_configuration(request: Request) -> Response:
    """Answer with the SMART configuration, whatever Accept asks for: this server's, or that of the outside one."""
    server = server_of(request)
    outside = await smart_configuration_of(server.services, server.providers)
    if outside is not None:
        return JSONResponse(outside)
    return JSONResponse(_shared(request) | {"capabilities": list(CAPABILITIES)})


@endpoint
async def openid_configuration(request: Request) -> Response:
    """Answer with the OpenID Provider configuration. https://openid.net/specs/openid-connect-discovery-1_0.html."""
    outside = await smart_configuration_of(server_of(request).services, server_of(request).providers)
    if outside is not None:
        raise OAuthError("not_found", f"The issuer is {outside['issuer']}, which tells of itself.", 404)
    claims = {
        "userinfo_endpoint": server_of(request).url("/oauth/userinfo"),
        "end_session_endpoint": server_of(request).url("/oauth/end_session"),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", *CLAIMS],
        "prompt_values_supported": sorted(PROMPTS),
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
    return JSONResponse(_shared(request) | claims)


@endpoint
async def configuration_of_path(request: Request) -> Response:
    """Answer with the configuration of the issuer whose path stands behind the well-known one, if that is ours.

    https://www.rfc-editor.org/rfc/rfc8414#section-3.1
    """
    if request.path_params["path"].rstrip("/") != urlsplit(server_of(request).issuer).path.strip("/"):
        raise OAuthError("not_found", "There is no issuer of that path.", 404)
    return await openid_configuration(request)


@endpoint
async def jwks(request: Request) -> Response:
    """Answer with the public keys that id_tokens are signed with."""
    keys = await server_of(request).store.keys.published()
    return JSONResponse({"keys": keys}, headers={"Cache-Control": "max-age=300"})


@endpoint
async def style(request: Request) -> Response:
    """Answer with the look that apps may take over (smart_style_url)."""
    look = {
        "color_background": "#f6f8fa",
        "color_error": "#a4133c",
        "color_highlight": "#0b5cad",
        "color_modal_backdrop": "#20262e",
        "color_success": "#1b6e3c",
        "color_text": "#1b1f24",
        "dim_border_radius": "6px",
        "dim_font_size": "16px",
        "dim_spacing_size": "20px",
        "font_family_body": "system-ui, sans-serif",
        "font_family_heading": "system-ui, sans-serif",
    }
    return JSONResponse(look, headers={"Cache-Control": "max-age=3600"})
