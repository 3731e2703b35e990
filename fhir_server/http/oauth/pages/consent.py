"""The authorization endpoint, and the page where the user decides what an app may do.

https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts.user import User
from fhir_server.auth.clients.client import Client
from fhir_server.auth.permission.access import grantable
from fhir_server.auth.permission.bearer import BearerToken, LaunchContext
from fhir_server.auth.permission.scopes import Scope, Scopes, parse_scopes
from fhir_server.auth.tokens.secrets import ACCESS_LIFETIME, REFRESH_LIFETIME
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.authorization import (
    Authorization,
    Refusal,
    Rejection,
    checked,
    launch_of,
    prompts_of,
    registered_client,
    unsealed,
)
from fhir_server.http.oauth.forms import form_pairs, once, query
from fhir_server.http.oauth.pages.browser import Browser, browser_of, is_own_origin
from fhir_server.http.oauth.pages.encounters import described, encounter_of, has_encounters
from fhir_server.http.oauth.pages.rendering import describe, language, page, redirect, render
from fhir_server.http.oauth.people import may_open, patient_name
from fhir_server.http.oauth.server import AuthorizationServer, server_of
from fhir_server.store.accounts.grants import Code

_NOT_ASKED = frozenset({"launch", "launch/patient", "launch/encounter"})
"""Context is not asked for: it is what the launch is about."""


@page
async def authorize(request: Request) -> Response:
    """Take an app's request, by GET or POST, and lead the user to sign in; a refusal goes to the app where it can."""
    server = server_of(request)
    parameters = query(request) if request.method == "GET" else once(await form_pairs(request))
    client = await registered_client(server, parameters)
    try:
        authorization = await checked(server, client, parameters)
        browser = await browser_of(request)
        if "none" in prompts_of(parameters):
            is_signed_in = authorization.is_answered_by(browser.user, browser.session)
            error = "consent_required" if is_signed_in else "login_required"
            raise Rejection(error, "The user must sign in and decide.")
    except Rejection as rejection:
        refusal = Authorization(client.id, parameters["redirect_uri"], "", "", parameters.get("state"))
        return redirect(refusal.answer_url(server, error=rejection.error, error_description=rejection.description))
    return redirect("/oauth/login?" + urlencode({"request": authorization.sealed(server)}))


@dataclass(frozen=True, slots=True)
class _Decision:
    """What there is to decide: which app, for which user, with which scopes and context."""

    client: Client
    user: User
    scopes: Scopes
    context: LaunchContext


@page
async def show_consent(request: Request) -> Response:
    """Show what the app asks for; without a session, or where the patient is not known yet, lead there first."""
    server = server_of(request)
    authorization = unsealed(server, request.query_params.get("request", ""))
    browser = await browser_of(request)
    if browser.user is None or not authorization.is_answered_by(browser.user, browser.session):
        return redirect("/oauth/login?" + urlencode({"request": authorization.sealed(server)}))
    try:
        decision = await _decision(server, authorization, browser.user)
    except Rejection as rejection:
        return _rejected(server, authorization, rejection)
    if _needs_patient(authorization, decision):
        return redirect("/oauth/patient?" + urlencode({"request": authorization.sealed(server)}))
    if await _needs_encounter(server, authorization, decision):
        return redirect("/oauth/encounter?" + urlencode({"request": authorization.sealed(server)}))
    patient = await patient_name(server, decision.context.patient) if decision.context.patient else None
    chosen = language(request, authorization.language)
    return render(
        request,
        "consent",
        browser=browser,
        authorization=authorization,
        app=decision.client.name,
        self_registered=decision.client.self_registered,
        host=urlsplit(authorization.redirect_uri).netloc or authorization.redirect_uri,
        patient=patient,
        encounter=await _encounter_name(server, decision.context),
        choices=[(str(scope), describe(chosen, scope)) for scope in _choices(decision.scopes)],
    )


async def _encounter_name(server: AuthorizationServer, context: LaunchContext) -> str | None:
    if context.patient is None or context.encounter is None:
        return None
    encounter = await encounter_of(server, context.patient, context.encounter)
    return described(encounter) if encounter else None


def _choices(scopes: Scopes) -> Iterable[Scope | str]:
    yield from (name for name in scopes.plain if name not in _NOT_ASKED)
    yield from scopes.resources


def _rejected(server: AuthorizationServer, authorization: Authorization, rejection: Rejection) -> Response:
    return redirect(authorization.answer_url(server, error=rejection.error, error_description=rejection.description))


async def _decision(server: AuthorizationServer, authorization: Authorization, user: User) -> _Decision:
    client = await server.store.clients.find(authorization.client_id)
    if client is None:
        raise Refusal("unknown_client")
    scopes = grantable(parse_scopes(authorization.scopes), user.role)
    if not scopes:
        raise Rejection("invalid_scope", "None of the scopes is one that the user can give.")
    launch = await launch_of(server, authorization.launch, client.id, needed="launch" in scopes)
    if launch is not None and launch.user_id != user.id:
        raise Refusal("other_user")
    context = launch.context if launch else LaunchContext()
    patient = context.patient or _default_patient(authorization, scopes, user)
    encounter = context.encounter if launch else await _picked_encounter(server, authorization, patient)
    if patient is not None and not await may_open(server, user, patient):
        raise Rejection("access_denied", "The user has no access to the patient of the launch.")
    return _Decision(client, user, scopes, _shown_context(server, LaunchContext(patient, encounter, context.extra)))


def _default_patient(authorization: Authorization, scopes: Scopes, user: User) -> str | None:
    return authorization.patient_for(user) if _is_about_patient(authorization, scopes) else None


def _is_about_patient(authorization: Authorization, scopes: Scopes) -> bool:
    # Without an EHR the encounter is picked among those of one patient.
    asks_encounter = authorization.launch is None and "launch/encounter" in scopes
    return asks_encounter or "launch/patient" in scopes or scopes.has_level("patient")


async def _picked_encounter(
    server: AuthorizationServer, authorization: Authorization, patient: str | None
) -> str | None:
    # Looked up once more: the request may have come to another user's browser since.
    if patient is None or not authorization.encounter:
        return None
    encounter = await encounter_of(server, patient, authorization.encounter)
    return authorization.encounter if encounter else None


def _shown_context(server: AuthorizationServer, context: LaunchContext) -> LaunchContext:
    if context.patient is None:
        return context
    extra = {"need_patient_banner": True, "smart_style_url": server.url("/oauth/style.json"), **context.extra}
    return LaunchContext(context.patient, context.encounter, extra)


def _needs_patient(authorization: Authorization, decision: _Decision) -> bool:
    return decision.context.patient is None and _is_about_patient(authorization, decision.scopes)


async def _needs_encounter(server: AuthorizationServer, authorization: Authorization, decision: _Decision) -> bool:
    """Return whether there is an encounter to pick: asked for, not decided on yet, and the patient has one."""
    context = decision.context
    if "launch/encounter" not in decision.scopes or authorization.launch is not None or context.patient is None:
        return False
    return authorization.encounter is None and await has_encounters(server, context.patient)


@page
async def consent(request: Request) -> Response:
    """Carry out the user's decision: lead back to the app with a code, or with access_denied."""
    server, browser = server_of(request), await browser_of(request)
    pairs = await form_pairs(request)
    ticked = [value for name, value in pairs if name == "scope"]
    fields = once(pair for pair in pairs if pair[0] != "scope")
    authorization = unsealed(server, fields.get("request", ""))
    if not is_own_origin(request):
        raise Refusal("foreign_form")
    if browser.user is None or not authorization.is_answered_by(browser.user, browser.session):
        return redirect("/oauth/login?" + urlencode({"request": authorization.sealed(server)}))
    if not browser.sent(fields.get("csrf")):
        raise Refusal("foreign_form")
    seen().by_user(browser.user)
    seen().client = authorization.client_id
    try:
        if "approve" not in fields or "deny" in fields:
            raise Rejection("access_denied", "The user did not allow it.")
        decision = await _decision(server, authorization, browser.user)
        code = await _grant(server, authorization, browser, decision, ticked)
    except Rejection as rejection:
        seen().refused(rejection.description)
        return _rejected(server, authorization, rejection)
    return redirect(authorization.answer_url(server, code=code))


async def _grant(
    server: AuthorizationServer,
    authorization: Authorization,
    browser: Browser,
    decision: _Decision,
    ticked: list[str],
) -> str:
    """Store what the user allowed, and return its code."""
    scopes = _granted(decision, ticked)
    if _needs_patient(authorization, decision):
        raise Rejection("access_denied", "No patient was chosen.")
    if authorization.launch is not None and not await server.store.launches.use(authorization.launch):
        raise Rejection("invalid_request", "The launch value was used before.")
    assert browser.session is not None
    seen().patient = decision.context.patient or ""
    seen().about(scope=scopes, encounter=decision.context.encounter)
    now = datetime.now(UTC).replace(microsecond=0)
    token = BearerToken(
        client_id=decision.client.id,
        scopes=scopes,
        expires=now,
        issued=now,
        user_id=decision.user.id,
        username=decision.user.username,
        role=decision.user.role,
        fhir_user=decision.user.fhir_user,
        context=decision.context,
        sign_in_only=authorization.sign_in_only,
    )
    signed_in = int(browser.session.signed_in.timestamp())
    code = Code(
        token,
        authorization.redirect_uri,
        authorization.challenge,
        authorization.nonce,
        signed_in,
        browser.session.proof,
    )
    offline = "offline_access" in scopes
    lasting = offline or "online_access" in scopes
    secret = await server.store.grants.add(
        code,
        session=None if offline else browser.session.id,
        expires=now + (REFRESH_LIFETIME if lasting else ACCESS_LIFETIME * 2),
    )
    if await server.store.sessions.find(browser.cookie) is None:
        # It ended meanwhile, by a new password perhaps; who ended it has not seen this grant.
        await server.store.grants.withdraw_code(secret)
    return secret


def _granted(decision: _Decision, ticked: list[str]) -> Scopes:
    kept = decision.scopes.picked([*ticked, *_NOT_ASKED])
    if not any(True for _ in _choices(kept)):
        raise Rejection("access_denied", "The user allowed nothing of it.")
    context = decision.context
    missing = [] if context.encounter else ["launch/encounter"]
    missing += [] if context.patient else ["launch/patient"]
    return kept.without_plain(*missing)
