"""The routes of the authorization server."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_server.http.oauth.discovery import (
    configuration_of_path,
    jwks,
    openid_configuration,
    smart_configuration,
    style,
)
from fhir_server.http.oauth.introspection import introspect, revoke
from fhir_server.http.oauth.launches import prepare
from fhir_server.http.oauth.pages.apps import revoke_app, show_apps
from fhir_server.http.oauth.pages.consent import authorize, consent, show_consent
from fhir_server.http.oauth.pages.encounters import pick_encounter, show_encounters
from fhir_server.http.oauth.pages.patients import pick, show_picker
from fhir_server.http.oauth.pages.second_factor import enrol, prove_second_factor, show_enrolment, show_second_factor
from fhir_server.http.oauth.pages.sessions import end_sessions, show_sessions
from fhir_server.http.oauth.pages.sign_in import show_sign_in, sign_in
from fhir_server.http.oauth.pages.sign_out import (
    end_session_endpoint,
    show_sign_out,
    sign_out,
    sign_out_now,
    signed_out,
)
from fhir_server.http.oauth.providers.back import callback
from fhir_server.http.oauth.providers.link import link, show_link
from fhir_server.http.oauth.providers.signing_out import back_channel_logout
from fhir_server.http.oauth.providers.there import begin
from fhir_server.http.oauth.registration import register
from fhir_server.http.oauth.token import token
from fhir_server.http.oauth.userinfo import userinfo

_SHEET = (Path(__file__).parent / "templates" / "style.css").read_bytes()


async def sheet(request: Request) -> Response:
    """Answer with the style sheet of the pages."""
    return Response(_SHEET, media_type="text/css", headers={"Cache-Control": "max-age=3600"})


def discovery(prefix: str) -> list[Route]:
    """Return the routes at which a FHIR base, whose path is `prefix`, tells of its authorization server."""
    return [
        Route(f"{prefix}/.well-known/smart-configuration", smart_configuration, methods=["GET"]),
        Route(f"{prefix}/.well-known/openid-configuration", openid_configuration, methods=["GET"]),
        # https://www.rfc-editor.org/rfc/rfc8414#section-3.1: what is well known of an issuer with a path.
        Route("/.well-known/oauth-authorization-server/{path:path}", configuration_of_path, methods=["GET"]),
        Route("/.well-known/openid-configuration/{path:path}", configuration_of_path, methods=["GET"]),
        # The root is no issuer, and strict clients refuse what they find there; others are told where the issuer is.
        Route("/.well-known/oauth-authorization-server", openid_configuration, methods=["GET"]),
        Route("/.well-known/openid-configuration", openid_configuration, methods=["GET"]),
    ]


_PAGES = [
    Route("/oauth/style.css", sheet),
    Route("/oauth/authorize", authorize, methods=["GET", "POST"]),
    Route("/oauth/login", show_sign_in, methods=["GET"]),
    Route("/oauth/login", sign_in, methods=["POST"]),
    Route("/oauth/second_factor", show_second_factor, methods=["GET"]),
    Route("/oauth/second_factor", prove_second_factor, methods=["POST"]),
    Route("/oauth/second_factor/enrolment", show_enrolment, methods=["GET"]),
    Route("/oauth/second_factor/enrolment", enrol, methods=["POST"]),
    Route("/oauth/providers/{provider}", begin, methods=["GET"]),
    Route("/oauth/providers/{provider}/callback", callback, methods=["GET"]),
    Route("/oauth/link", show_link, methods=["GET"]),
    Route("/oauth/link", link, methods=["POST"]),
    Route("/oauth/signed_out", signed_out, methods=["GET"]),
    Route("/oauth/end_session", end_session_endpoint, methods=["GET", "POST"]),
    Route("/oauth/logout", show_sign_out, methods=["GET"]),
    Route("/oauth/logout", sign_out, methods=["POST"]),
    Route("/oauth/logout/now", sign_out_now, methods=["GET"]),
    Route("/oauth/patient", show_picker, methods=["GET"]),
    Route("/oauth/patient", pick, methods=["POST"]),
    Route("/oauth/encounter", show_encounters, methods=["GET"]),
    Route("/oauth/encounter", pick_encounter, methods=["POST"]),
    Route("/oauth/consent", show_consent, methods=["GET"]),
    Route("/oauth/consent", consent, methods=["POST"]),
    Route("/oauth/apps", show_apps, methods=["GET"]),
    Route("/oauth/apps", revoke_app, methods=["POST"]),
    Route("/oauth/sessions", show_sessions, methods=["GET"]),
    Route("/oauth/sessions", end_sessions, methods=["POST"]),
    Route("/oauth/sessions/all", end_sessions, methods=["POST"]),
]
_ENDPOINTS = [
    Route("/oauth/jwks", jwks, methods=["GET"]),
    Route("/oauth/style.json", style, methods=["GET"]),
    Route("/oauth/token", token, methods=["POST"]),
    Route("/oauth/introspect", introspect, methods=["POST"]),
    Route("/oauth/revoke", revoke, methods=["POST"]),
    Route("/oauth/register", register, methods=["POST"]),
    Route("/oauth/userinfo", userinfo, methods=["GET", "POST"]),
    Route("/oauth/launch", prepare, methods=["POST"]),
    Route("/oauth/providers/{provider}/back_channel_logout", back_channel_logout, methods=["POST"]),
]
PAGES = frozenset(route.path for route in _PAGES)
"""The paths of what is shown to people, and is nothing for the scripts of other origins."""


def routes() -> list[Route]:
    """Return the routes of the authorization server itself."""
    return [*_PAGES, *_ENDPOINTS]
