"""Encounters on the pages: which ones a patient has, and the page where the user picks the one an app shall work on.

An EHR says which encounter its launch is about; here it is an app that was opened by itself.
https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#launch-context-arrives-with-your-access_token
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts.user import User
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.authorization import Authorization, Refusal, unsealed
from fhir_server.http.oauth.forms import form
from fhir_server.http.oauth.pages.browser import browser_of, is_own_origin
from fhir_server.http.oauth.pages.rendering import page, redirect, render
from fhir_server.http.oauth.people import ask, patient_name
from fhir_server.http.oauth.server import AuthorizationServer, server_of
from fhir_server.r4.ids import is_id

Encounter = dict[str, Any]

_MOST_SHOWN = 20
_MANY = 100
"""Past these the list is long enough to be searched by day."""
_MOST_READ = 1000
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


async def encounters_of(server: AuthorizationServer, patient: str, day: str = "") -> list[Encounter]:
    """Return the encounters of a patient, of a day where one is given, those first that began last."""
    # By their start, and not as the server sorts periods: one without an end would count as the latest of all.
    query = [("_sort", "-date"), ("_count", str(_MOST_READ)), ("_elements", "period,type,class")]
    of_day = [("date", day)] if day else []
    encounters = await _search_encounters(server, [*_mine(patient), *of_day, *query])
    return sorted(encounters, key=lambda each: str(each.get("period", {}).get("start", "")), reverse=True)


async def has_encounters(server: AuthorizationServer, patient: str) -> bool:
    """Return whether the patient has any."""
    return bool(await _search_encounters(server, [*_mine(patient), ("_count", "1")]))


async def encounter_of(server: AuthorizationServer, patient: str, encounter: str) -> Encounter | None:
    """Return the encounter if it is one of the patient's."""
    if not is_id(encounter):
        return None
    return next(iter(await _search_encounters(server, [*_mine(patient), ("_id", encounter)])), None)


def _mine(patient: str) -> list[tuple[str, str]]:
    return [("subject", f"Patient/{patient}"), ("status:not", "entered-in-error")]


async def _search_encounters(server: AuthorizationServer, query: list[tuple[str, str]]) -> list[Encounter]:
    bundle = await ask(server, "Encounter", query, "user/Encounter.rs") or {}
    resources = [entry["resource"] for entry in bundle.get("entry", [])]
    return [each for each in resources if each["resourceType"] == "Encounter"]


def described(encounter: Encounter) -> str:
    """Return how to call an encounter: when it began, and what it was; its id where neither is known."""
    start = str(encounter.get("period", {}).get("start", ""))
    parts = [start[:16].replace("T", " "), _kind(encounter)]
    return ", ".join(part for part in parts if part) or str(encounter["id"])


def _kind(encounter: Encounter) -> str:
    for concept in encounter.get("type", []):
        codings = [coding.get("display") for coding in concept.get("coding", [])]
        for text in (concept.get("text"), *codings):
            if text:
                return str(text)
    place = encounter.get("class", {})
    return str(place.get("display") or place.get("code") or "")


@page
async def show_encounters(request: Request) -> Response:
    """Show the encounters of the patient that was picked, or that the user is."""
    server, browser = server_of(request), await browser_of(request)
    authorization = unsealed(server, request.query_params.get("request", ""))
    patient = authorization.patient_for(browser.user) if browser.user else None
    if browser.user is None or patient is None:
        return _back(server, authorization)
    _see(browser.user, authorization, patient)
    client = await server.store.clients.find(authorization.client_id)
    day = request.query_params.get("day", "")
    day = day if _DAY.fullmatch(day) else ""
    encounters = await encounters_of(server, patient, day)
    first_day = request.query_params.get("after", "")
    before = int(first_day) if first_day.isdecimal() and len(first_day) < 5 else 0
    after = before + _MOST_SHOWN
    return render(
        request,
        "encounters",
        browser=browser,
        authorization=authorization,
        app=client.name if client else "",
        patient=await patient_name(server, patient),
        encounters=[(each["id"], described(each)) for each in encounters[before:after]],
        earlier=after if after < len(encounters) else None,
        day=day,
        has_many=bool(day) or len(encounters) > _MANY,
    )


@page
async def pick_encounter(request: Request) -> Response:
    """Take the encounter that was picked, or the choice of none, and lead on to the consent."""
    server, fields, browser = server_of(request), await form(request), await browser_of(request)
    authorization = unsealed(server, fields.get("request", ""))
    if not is_own_origin(request) or not browser.sent(fields.get("csrf")):
        raise Refusal("foreign_form")
    patient = authorization.patient_for(browser.user) if browser.user else None
    if browser.user is None or patient is None:
        return _back(server, authorization)
    _see(browser.user, authorization, patient)
    if "none" in fields:
        return _back(server, authorization.with_encounter(""))
    encounter = fields.get("encounter", "")
    if await encounter_of(server, patient, encounter) is None:
        return _back(server, authorization)
    return _back(server, authorization.with_encounter(encounter))


def _see(user: User, authorization: Authorization, patient: str) -> None:
    seen().by_user(user)
    seen().client, seen().patient = authorization.client_id, patient


def _back(server: AuthorizationServer, authorization: Authorization) -> Response:
    """Lead to the consent, which leads to whatever is still to be asked before."""
    return redirect("/oauth/consent?" + urlencode({"request": authorization.sealed(server)}))
