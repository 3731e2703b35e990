"""Pages for people: rendered here, without scripts, framed by nobody and kept by no cache."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from fhir_server.auth.clients.redirects import form_action
from fhir_server.auth.permission.scopes import Scope
from fhir_server.http import log
from fhir_server.http.oauth.answers import NO_STORE, OAuthError
from fhir_server.http.oauth.authorization import Authorization, Refusal
from fhir_server.http.oauth.pages.browser import Browser, set_session
from fhir_server.http.oauth.pages.texts import text
from fhir_server.http.oauth.server import server_of
from translations.catalogue import LANGUAGES, own_name
from translations.negotiation import choose_language, first_language

Page = Callable[[Request], Awaitable[Response]]

_environment = Environment(
    loader=PackageLoader("fhir_server.http.oauth"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_HEADERS = {
    **NO_STORE,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def language(request: Request, requested: str | None = None) -> str:
    """Return the language of the page: as chosen on it, as the app asked, or as the browser prefers."""
    named = first_language(request.query_params.get("lang")) or first_language(requested)
    return named or choose_language(request.headers.get("accept-language"))


def render(
    request: Request,
    template: str,
    *,
    browser: Browser | None = None,
    authorization: Authorization | None = None,
    status: int = 200,
    sealed: str = "",
    asked_language: str | None = None,
    leads_to: str | None = None,
    **values: Any,
) -> HTMLResponse:
    """Return the page of that template; a `browser` without a cookie is given its one.

    Its forms carry the authorization, or what else is `sealed`, and lead to the app's `leads_to` in the end.
    """
    server = server_of(request)
    if authorization is not None:
        sealed, leads_to = authorization.sealed(server), authorization.redirect_uri
        asked_language = authorization.language
    chosen = language(request, asked_language)
    body = _environment.get_template(f"{template}.html").render(
        t=partial(text, chosen),
        language=chosen,
        other_languages=[(other, own_name(other)) for other in LANGUAGES if other != chosen],
        form_token=browser.form_token() if browser else "",
        sealed=sealed,
        user=browser.user if browser else None,
        **values,
    )
    # A form's answer redirects to the app at last, and browsers hold form-action against that, too.
    app = f" {form_action(leads_to)}" if leads_to else ""
    if browser is not None and browser.session is not None and browser.session.proof.leads_to:
        app += f" {form_action(browser.session.proof.leads_to)}"  # where signing out leads
    policy = (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action 'self'{app}"
    )
    response = HTMLResponse(body, status, {**_HEADERS, "Content-Security-Policy": policy})
    if browser is not None and browser.is_new:
        set_session(response, server, browser.cookie)
    return response


def redirect(url: str) -> RedirectResponse:
    """Return a redirect that makes a GET of whatever led to it, and that is not cached."""
    return RedirectResponse(url, 303, {**NO_STORE, "Referrer-Policy": "same-origin"})


def page(handler: Page) -> Page:
    """Return the handler with its errors shown as pages."""

    @wraps(handler)
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Refusal as refusal:
            return render(request, "error", status=400, message=str(refusal))
        except OAuthError as error:
            return render(request, "error", status=error.status, message="bad_request")
        except Exception as error:  # the one place where a fault of ours becomes a page
            log.fault(error)
            return render(request, "error", status=500, message="server_error")

    return handle


def describe(chosen: str, scope: Scope | str) -> str:
    """Return what a scope means, to a person."""
    if isinstance(scope, str):
        return text(chosen, f"scope:{scope}")
    verbs = [text(chosen, f"may:{letter}") for letter in scope.permissions]
    joined = f" {text(chosen, 'and')} ".join(filter(None, [", ".join(verbs[:-1]), verbs[-1]]))
    what = text(chosen, "everything") if scope.type == "*" else scope.type
    whose = text(chosen, "of_patient" if scope.level == "patient" else "of_user")
    described = f"{joined[:1].upper()}{joined[1:]}: {what} {whose}"
    if not scope.parameters:
        return described
    conditions = ", ".join(f"{name} = {value}" for name, value in scope.parameters)
    return f"{described}, {text(chosen, 'only_where', conditions=conditions)}"
