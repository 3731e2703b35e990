"""Patients on the pages: who one is, and the page where a practitioner picks the one that an app shall work on."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts.user import User
from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.engine.context import Context
from fhir_server.engine.context import Request as FhirRequest
from fhir_server.engine.engine import handle
from fhir_server.engine.panels import panel_of
from fhir_server.errors import FhirError
from fhir_server.http.audit.audit_context import noted, seen
from fhir_server.http.oauth.authorization import Refusal, unsealed
from fhir_server.http.oauth.forms import form
from fhir_server.http.oauth.pages.browser import browser_of, is_own_origin
from fhir_server.http.oauth.pages.rendering import page, redirect, render
from fhir_server.http.oauth.server import AuthorizationServer, server_of
from fhir_server.r4 import values

_MOST_SHOWN = 20


async def ask(
    server: AuthorizationServer,
    path: str,
    query: list[tuple[str, str]],
    scope: str = "user/Patient.rs",
    *,
    user: User | None = None,
) -> dict[str, Any] | None:
    """Return what the FHIR server answers to a staff member who has just that scope, or None.

    It is the `user`, with the patients of that one, where it is any in particular.
    """
    access = ScopedAccess.of_staff(scope)
    if user is not None and user.role == "practitioner":
        panel = await panel_of(server.services, user.fhir_user)
        access = access if panel is None else access.seeing(panel)
    context = Context(server.services, server.base_url, access=access)
    try:
        response = await noted(partial(handle, context))(FhirRequest("GET", path, query))
    except FhirError:
        return None
    found: dict[str, Any] = values.decode(response.json or b"null")
    return found


async def patient_exists(server: AuthorizationServer, resource_id: str, user: User | None = None) -> bool:
    """Return whether there is such a patient, whom the user sees where one is named."""
    return await ask(server, f"Patient/{resource_id}", [], user=user) is not None


async def may_open(server: AuthorizationServer, user: User, patient: str) -> bool:
    """Return whether the user may let an app work on the patient, whoever says that it shall.

    Patients work on themselves, and somebody related on the patient of that relation; staff on the patients seen.
    """
    if user.role == "patient":
        return patient == user.patient
    if (user.fhir_user or "").startswith("RelatedPerson/"):
        related = await ask(server, str(user.fhir_user), [], "user/RelatedPerson.rs") or {}
        return bool(related.get("patient", {}).get("reference") == f"Patient/{patient}")
    return await patient_exists(server, patient, user)


async def patient_name(server: AuthorizationServer, resource_id: str) -> str:
    """Return how to call the patient; the id where the patient has no name."""
    patient = await ask(server, f"Patient/{resource_id}", [])
    return _name(patient) or resource_id if patient else resource_id


def _name(patient: dict[str, Any]) -> str:
    for name in patient.get("name", []):
        if name.get("text"):
            return str(name["text"])
        parts = [*name.get("given", []), name.get("family")]
        if any(parts):
            return " ".join(part for part in parts if part)
    return ""


@page
async def show_picker(request: Request) -> Response:
    """Show patients to pick from: those whose name was searched for."""
    server, browser = server_of(request), await browser_of(request)
    authorization = unsealed(server, request.query_params.get("request", ""))
    if browser.user is None or browser.user.role == "patient":
        return redirect("/oauth/login?" + urlencode({"request": authorization.sealed(server)}))
    seen().by_user(browser.user)
    seen().client = authorization.client_id
    client = await server.store.clients.find(authorization.client_id)
    name = request.query_params.get("name", "").strip()[:100]
    query = [("_count", str(_MOST_SHOWN)), ("_sort", "family"), *([("name", name)] if name else [])]
    bundle = await ask(server, "Patient", query, user=browser.user) or {}
    found = [entry["resource"] for entry in bundle.get("entry", []) if entry["resource"]["resourceType"] == "Patient"]
    return render(
        request,
        "patients",
        browser=browser,
        authorization=authorization,
        app=client.name if client else "",
        name=name,
        patients=[(one["id"], _name(one) or one["id"], one.get("birthDate", "")) for one in found],
    )


@page
async def pick(request: Request) -> Response:
    """Take the patient that was picked and lead on to the consent."""
    server, given, browser = server_of(request), await form(request), await browser_of(request)
    authorization = unsealed(server, given.get("request", ""))
    if not is_own_origin(request) or not browser.sent(given.get("csrf")):
        raise Refusal("foreign_form")
    patient = given.get("patient", "")
    if (
        browser.user is None
        or browser.user.role == "patient"
        or not await patient_exists(server, patient, browser.user)
    ):
        return redirect("/oauth/patient?" + urlencode({"request": authorization.sealed(server)}))
    picked = authorization.with_patient(patient)
    return redirect("/oauth/consent?" + urlencode({"request": picked.sealed(server)}))
