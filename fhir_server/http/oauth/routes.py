"""The routes of the authorization server."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_server.http.oauth.discovery import jwks, openid_configuration, smart_configuration, style
from fhir_server.http.oauth.introspection import introspect, revoke
from fhir_server.http.oauth.launches import prepare
from fhir_server.http.oauth.pages.apps import revoke_app, show_apps
from fhir_server.http.oauth.pages.consent import authorize, consent, show_consent
from fhir_server.http.oauth.pages.encounters import pick_encounter, show_encounters
from fhir_server.http.oauth.pages.patients import pick, show_picker
from fhir_server.http.oauth.pages.sign_in import show_sign_in, sign_in, sign_out
from fhir_server.http.oauth.registration import register
from fhir_server.http.oauth.token import token
from fhir_server.http.oauth.userinfo import userinfo

_SHEET = (Path(__file__).parent / "templates" / "style.css").read_bytes()


async def sheet(request: Request) -> Response:
    """Answer with the style sheet of the pages."""
    return Response(_SHEET, media_type="text/css", headers={"Cache-Control": "max-age=3600"})


_READ, _ASK = ["GET", "OPTIONS"], ["POST", "OPTIONS"]


def discovery(prefix: str) -> list[Route]:
    """Return the routes at which a FHIR base, whose path is `prefix`, tells of its authorization server."""
    return [
        Route(f"{prefix}/.well-known/smart-configuration", smart_configuration, methods=_READ),
        Route(f"{prefix}/.well-known/openid-configuration", openid_configuration, methods=_READ),
    ]


def routes() -> list[Route]:
    """Return the routes of the authorization server itself."""
    return [
        Route("/.well-known/openid-configuration", openid_configuration, methods=_READ),
        Route("/.well-known/oauth-authorization-server", openid_configuration, methods=_READ),
        Route("/oauth/jwks", jwks, methods=_READ),
        Route("/oauth/style.json", style, methods=_READ),
        Route("/oauth/style.css", sheet),
        Route("/oauth/authorize", authorize, methods=["GET", "POST"]),
        Route("/oauth/login", show_sign_in, methods=["GET"]),
        Route("/oauth/login", sign_in, methods=["POST"]),
        Route("/oauth/logout", sign_out, methods=["POST"]),
        Route("/oauth/patient", show_picker, methods=["GET"]),
        Route("/oauth/patient", pick, methods=["POST"]),
        Route("/oauth/encounter", show_encounters, methods=["GET"]),
        Route("/oauth/encounter", pick_encounter, methods=["POST"]),
        Route("/oauth/consent", show_consent, methods=["GET"]),
        Route("/oauth/consent", consent, methods=["POST"]),
        Route("/oauth/apps", show_apps, methods=["GET"]),
        Route("/oauth/apps", revoke_app, methods=["POST"]),
        Route("/oauth/token", token, methods=_ASK),
        Route("/oauth/introspect", introspect, methods=_ASK),
        Route("/oauth/revoke", revoke, methods=_ASK),
        Route("/oauth/register", register, methods=_ASK),
        Route("/oauth/userinfo", userinfo, methods=["GET", "POST", "OPTIONS"]),
        Route("/oauth/launch", prepare, methods=_ASK),
    ]
