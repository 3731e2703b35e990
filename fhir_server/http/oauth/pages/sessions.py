"""The page where users see the browsers in which they are signed in, and end one session or everything."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.engine import sign_in as signing_in
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.authorization import Refusal
from fhir_server.http.oauth.forms import form
from fhir_server.http.oauth.pages.browser import Browser, browser_of, end_session, is_own_origin
from fhir_server.http.oauth.pages.rendering import page, redirect, render
from fhir_server.http.oauth.server import server_of


@page
async def show_sessions(request: Request) -> Response:
    """Show the user's sessions."""
    browser = await browser_of(request)
    return redirect("/oauth/login") if browser.user is None else await _list(request, browser)


async def _list(request: Request, browser: Browser, message: str = "") -> Response:
    assert browser.user is not None
    sessions = await server_of(request).store.sessions.of_user(browser.user.id)
    shown = [
        {
            "id": session.id,
            "device": session.device,
            "signed_in": f"{session.signed_in:%Y-%m-%d %H:%M} UTC",
            "is_this": browser.session is not None and session.id == browser.session.id,
        }
        for session in sessions
    ]
    return render(request, "sessions", browser=browser, sessions=shown, message=message)


@page
async def end_sessions(request: Request) -> Response:
    """End one session of the user, with what was granted for as long as it lasts; or all, with all that was granted."""
    server, fields, browser = server_of(request), await form(request), await browser_of(request)
    if browser.user is None or not is_own_origin(request) or not browser.sent(fields.get("csrf")):
        raise Refusal("foreign_form")
    seen().by_user(browser.user)
    if "all" in fields:
        seen().about(sessions="all")
        await signing_in.end_all(server.store, browser.user.id)
        response: Response = render(request, "signed_out")
        end_session(response)
        return response
    own = {session.id for session in await server.store.sessions.of_user(browser.user.id)}
    name = fields.get("session", "")
    if name in own:
        seen().about(sessions="one")
        await server.store.sessions.end(name)
        await server.store.grants.revoke_session(name)
    if browser.session is not None and name == browser.session.id:
        response = render(request, "signed_out")
        end_session(response)
        return response
    return await _list(request, browser, "session_ended")
