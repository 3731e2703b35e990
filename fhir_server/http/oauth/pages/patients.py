"""The page where a practitioner picks the patient that an app shall work on, among all whom the practitioner sees."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts.user import User
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.authorization import Refusal, unsealed
from fhir_server.http.oauth.forms import form
from fhir_server.http.oauth.pages.browser import browser_of, is_own_origin
from fhir_server.http.oauth.pages.rendering import page, redirect, render
from fhir_server.http.oauth.people import ask, name_of, patient_exists
from fhir_server.http.oauth.server import AuthorizationServer, server_of

_MOST_SHOWN = 20
_LONGEST = 100
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_SPECIAL = re.compile(r"([\\,$|])")
_MEDICAL_RECORD = "MR"


@dataclass(frozen=True, slots=True)
class _Search:
    """What was typed to find a patient."""

    name: str
    born: str
    identifier: str
    following: str
    """What the link to the next page brought, of the same search."""

    @classmethod
    def of(cls, parameters: QueryParams) -> _Search:
        name, born, identifier = (
            parameters.get(each, "").strip()[:_LONGEST] for each in ("name", "born", "identifier")
        )
        return cls(name, born, identifier, parameters.get("page", ""))

    @property
    def has_bad_date(self) -> bool:
        return bool(self.born) and not _DATE.fullmatch(self.born)

    def query(self) -> list[tuple[str, str]]:
        """Return the search: every word is part of the name, and nothing that was typed has a meaning of its own."""
        words = [("name", _literal(word)) for word in re.split(r"[\s,]+", self.name) if word]
        born = [("birthdate", self.born)] if self.born else []
        identifier = [("identifier", _literal(self.identifier))] if self.identifier else []
        shown = [("_count", str(_MOST_SHOWN)), ("_sort", "family"), ("_elements", "name,birthDate,identifier")]
        return [*words, *born, *identifier, *shown]


def _literal(text: str) -> str:
    """Return the text as a search value. https://hl7.org/fhir/R4/search.html#escaping"""
    return _SPECIAL.sub(r"\\\1", text)


@page
async def show_picker(request: Request) -> Response:
    """Show patients to pick from: those whom the search finds, a page at a time."""
    server, browser = server_of(request), await browser_of(request)
    authorization = unsealed(server, request.query_params.get("request", ""))
    if browser.user is None or browser.user.role == "patient":
        return redirect("/oauth/login?" + urlencode({"request": authorization.sealed(server)}))
    seen().by_user(browser.user)
    seen().client = authorization.client_id
    client = await server.store.clients.find(authorization.client_id)
    search = _Search.of(request.query_params)
    bundle = await _search_patients(server, search, browser.user)
    patients = [entry["resource"] for entry in bundle.get("entry", [])]
    return render(
        request,
        "patients",
        browser=browser,
        authorization=authorization,
        app=client.name if client else "",
        search=search,
        patients=[_row(one) for one in patients if one["resourceType"] == "Patient"],
        next=_next_page(bundle),
    )


async def _search_patients(server: AuthorizationServer, search: _Search, user: User) -> dict[str, Any]:
    if search.has_bad_date:
        return {}
    later = await ask(server, "Patient", [("_page", search.following)], user=user) if search.following else None
    # A page that is none any more begins anew.
    return later or await ask(server, "Patient", search.query(), user=user) or {}


def _next_page(bundle: dict[str, Any]) -> str | None:
    url = next((link["url"] for link in bundle.get("link", []) if link["relation"] == "next"), None)
    return dict(parse_qsl(urlsplit(url).query)).get("_page") if url else None


def _row(patient: dict[str, Any]) -> tuple[str, str, str, str]:
    """Return the id, name, birth date and record number of a patient: enough to tell namesakes apart."""
    number = next((each.get("value") for each in patient.get("identifier", []) if _is_record_number(each)), None)
    return patient["id"], name_of(patient) or patient["id"], patient.get("birthDate", ""), number or ""


def _is_record_number(identifier: dict[str, Any]) -> bool:
    codings = identifier.get("type", {}).get("coding", [])
    return any(coding.get("code") == _MEDICAL_RECORD for coding in codings)


@page
async def pick(request: Request) -> Response:
    """Take the patient that was picked and lead on to the consent."""
    server, fields, browser = server_of(request), await form(request), await browser_of(request)
    authorization = unsealed(server, fields.get("request", ""))
    if not is_own_origin(request) or not browser.sent(fields.get("csrf")):
        raise Refusal("foreign_form")
    patient = fields.get("patient", "")
    if (
        browser.user is None
        or browser.user.role == "patient"
        or not await patient_exists(server, patient, browser.user)
    ):
        return redirect("/oauth/patient?" + urlencode({"request": authorization.sealed(server)}))
    picked = authorization.with_patient(patient)
    return redirect("/oauth/consent?" + urlencode({"request": picked.sealed(server)}))
