"""A user's browser: its session cookie and the tokens that protect forms.

The token of a form is made from the cookie itself, so that a form filled in by another browser, or before signing in,
does not fit.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts.user import User
from fhir_server.auth.tokens.secrets import SESSION_LIFETIME, new_secret
from fhir_server.http.oauth.server import AuthorizationServer, server_of
from fhir_server.store.accounts.sign_in import BrowserSession

SESSION_COOKIE = "fhir_session"
_PATH = "/oauth"


@dataclass(frozen=True, slots=True)
class Browser:
    """The browser that a request came from: its cookie (made now where it had none), and who is signed in with it."""

    cookie: str
    is_new: bool
    session: BrowserSession | None
    user: User | None

    def form_token(self) -> str:
        """Return what a form of this browser must carry."""
        return hmac.new(self.cookie.encode(), b"form", hashlib.sha256).hexdigest()

    def sent(self, token: str | None) -> bool:
        """Return whether a form with that token was given to this very browser."""
        return token is not None and hmac.compare_digest(token.encode(), self.form_token().encode())


async def browser_of(request: Request) -> Browser:
    """Return the browser that the request came from."""
    store = server_of(request).store
    cookie = request.cookies.get(SESSION_COOKIE)
    if not cookie:
        return Browser(new_secret(), True, None, None)
    session = await store.sessions.find(cookie)
    user = await store.users.find(session.user_id) if session else None
    if user is None or user.disabled:
        return Browser(cookie, False, None, None)
    return Browser(cookie, False, session, user)


def is_own_origin(request: Request) -> bool:
    """Return whether a form was sent by a page of this server, as far as the browser tells."""
    origin = request.headers.get("origin")
    own = server_of(request).origin
    return origin is None or origin in (own, f"{request.url.scheme}://{request.headers.get('host', '')}")


def set_session(response: Response, server: AuthorizationServer, cookie: str) -> None:
    """Give the browser its cookie."""
    seconds = int(SESSION_LIFETIME.total_seconds())
    _set(response, server, SESSION_COOKIE, cookie, seconds)


def end_session(response: Response) -> None:
    """Take the cookie from the browser."""
    response.delete_cookie(SESSION_COOKIE, path=_PATH)


def _set(response: Response, server: AuthorizationServer, name: str, value: str, seconds: int) -> None:
    response.set_cookie(
        name, value, max_age=seconds, path=_PATH, httponly=True, samesite="lax", secure=server.is_secure
    )
