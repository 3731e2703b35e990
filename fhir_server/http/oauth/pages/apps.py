"""The page where users see the apps they gave access to, and end it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.authorization import Refusal
from fhir_server.http.oauth.forms import form
from fhir_server.http.oauth.pages.browser import Browser, browser_of, is_own_origin
from fhir_server.http.oauth.pages.rendering import describe, language, page, redirect, render
from fhir_server.http.oauth.server import server_of


@page
async def show_apps(request: Request) -> Response:
    """Show the user's apps."""
    browser = await browser_of(request)
    if browser.user is None:
        return redirect("/oauth/login")
    return await _list(request, browser)


async def _list(request: Request, browser: Browser, message: str = "") -> Response:
    store, chosen = server_of(request).store, language(request)
    granted = await store.grants.apps_of(browser.user.id) if browser.user else []
    names = await store.clients.named([app.client_id for app in granted])
    shown = [
        {
            "id": app.id,
            "name": names.get(app.client_id, app.client_id),
            "granted": f"{app.granted:%Y-%m-%d}",
            "used": f"{app.used:%Y-%m-%d}",
            "scopes": [describe(chosen, name) for name in app.scopes.plain]
            + [describe(chosen, scope) for scope in app.scopes.resources],
        }
        for app in granted
    ]
    return render(request, "apps", browser=browser, apps=shown, message=message)


@page
async def revoke_app(request: Request) -> Response:
    """End the access of one app; when the page answers, no worker takes its tokens any more."""
    server, fields, browser = server_of(request), await form(request), await browser_of(request)
    if browser.user is None or not is_own_origin(request) or not browser.sent(fields.get("csrf")):
        raise Refusal("foreign_form")
    seen().by_user(browser.user)
    seen().about(grant=fields.get("grant"))
    await server.store.grants.revoke_grant(fields.get("grant", ""), browser.user.id)
    return await _list(request, browser, "revoked")
