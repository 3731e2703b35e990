"""The session of who has proven to be a user, and where that one is led on to."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts.user import User
from fhir_server.engine import sign_in as signing_in
from fhir_server.http.device import device_name
from fhir_server.http.oauth.authorization import UNMET, Authorization, Refusal, unsealed
from fhir_server.http.oauth.pages.browser import Browser, set_session
from fhir_server.http.oauth.pages.rendering import redirect
from fhir_server.http.oauth.server import AuthorizationServer, server_of
from fhir_server.store.accounts.sign_in import Proof

APPS = "/oauth/apps"


def authorization_of(server: AuthorizationServer, sealed: str | None) -> Authorization | None:
    """Return the app's request that a page carries, where there is one; raises Refusal."""
    return unsealed(server, sealed) if sealed else None


def next_url(server: AuthorizationServer, authorization: Authorization | None) -> str:
    """Return where a user is led who is signed in: to the app's request, else to the own apps."""
    if authorization is None:
        return APPS
    return "/oauth/consent?" + urlencode({"request": authorization.sealed(server)})


async def begin_session(
    request: Request,
    browser: Browser,
    authorization: Authorization | None,
    user: User,
    proof: Proof,
    *,
    signed_in: datetime | None = None,
) -> Response:
    """Return the answer that leads on whoever has proven to be the user, with a new session in the browser.

    The session is a new one, so that a cookie planted before is worth nothing.
    """
    server = server_of(request)
    if browser.session is not None:
        await server.store.sessions.end(browser.session.id)
    error = _error(authorization, user, proof)
    if authorization is not None and error is not None:
        response = redirect(authorization.answer_url(server, error=error[0], error_description=error[1]))
    else:
        response = redirect(next_url(server, authorization))
    cookie = await server.store.sessions.begin(user.id, proof, signed_in=signed_in, device=device_name(request))
    if not await signing_in.is_unchanged(server.store, user):
        await server.store.sessions.end_all(user.id)
        raise Refusal("expired")
    set_session(response, server, cookie)
    return response


def _error(authorization: Authorization | None, user: User, proof: Proof) -> tuple[str, str] | None:
    """Return why the app's request is not answered by this user's proof, as an error of OpenID and its description."""
    if authorization is None:
        return None
    if authorization.user_id not in (None, user.id):
        return "login_required", "Another user than the app's signed in."
    if not authorization.has_class(proof.acr):
        return UNMET, "The user signed in, but in none of the classes that the app asks for."
    return None
