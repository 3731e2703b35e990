"""Signing in with an outside provider: who comes back from there decides on the app that sent the browser here."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.identity_provider import IDENTIFIERS, MAPPING, IdentityProvider
from tests.smart_server import ORIGIN, PASSWORD, App, SmartServer, answered, forms_of, smart_server

SCOPE = "openid fhirUser offline_access user/*.rs"


async def allowed(
    hospital: SmartServer, app: App, idp: IdentityProvider, scope: str = SCOPE, **asked: str
) -> dict[str, Any]:
    """Return the token response of a launch in which the user signs in there and allows everything."""
    browser = hospital.browser()
    page = await idp.sign_in(browser, await browser.get(app.authorize_url(scope, **asked)))
    assert page.url.path == "/oauth/consent", page.text
    back = await browser.submit(page, "/oauth/consent", button="approve")
    tokens: dict[str, Any] = (await app.exchange(answered(back)["code"])).json()
    return tokens


def claims_of(tokens: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of the id_token of a token response."""
    part = tokens["id_token"].split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


async def status(hospital: SmartServer, tokens: dict[str, Any], url: str = "Practitioner/ingrid") -> int:
    """Return how a read by the access token is answered."""
    async with hospital.fhir(tokens["access_token"]) as fhir:
        return (await fhir.get(url)).status_code


async def test_a_doctor_who_signs_in_there_launches_an_app_here(
    hospital: SmartServer, app: App, idp: IdentityProvider
) -> None:
    """The Practitioner of the identifier gets an account at the first sign-in, and the same one at the second."""
    first = await allowed(hospital, app, idp)
    second = await allowed(hospital, app, idp)
    assert claims_of(first)["fhirUser"].endswith("/Practitioner/ingrid")
    assert claims_of(first)["sub"] == claims_of(second)["sub"]
    assert await status(hospital, first) == 200
    users = await hospital.store.users.all()
    assert [(user.username, user.role, user.fhir_user) for user in users] == [
        ("idp:ingrid", "practitioner", "Practitioner/ingrid")
    ]


async def test_a_patient_comes_by_the_identifier_that_the_provider_vouches_for(
    hospital: SmartServer, app: App, idp: IdentityProvider
) -> None:
    """The one Patient that has it, and no other."""
    idp.claims = {"sub": "p1", "patient_number": "55"}
    tokens = await allowed(hospital, app, idp, "launch/patient openid fhirUser patient/*.rs")
    assert tokens["patient"] == "mara"
    assert await status(hospital, tokens, "Patient/mara") == 200
    assert await status(hospital, tokens, "Patient/twin-1") == 404


async def test_the_request_is_what_openid_connect_asks_for(
    hospital: SmartServer, app: App, idp: IdentityProvider
) -> None:
    """Code flow with PKCE, state and nonce, back to an address of this provider alone."""
    await idp.sign_in(hospital.browser())
    asked = idp.seen
    assert (asked["response_type"], asked["client_id"], asked["scope"]) == ("code", "hospital", "openid profile")
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == f"{ORIGIN}/oauth/providers/idp/callback"
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 43


@pytest.mark.parametrize(
    ("asked", "passed_on"),
    [
        ({"prompt": "login"}, {"prompt": "login", "max_age": "0"}),
        ({"max_age": "600"}, {"max_age": "600"}),
        ({"acr_values": "gold silver"}, {"acr_values": "gold silver"}),
        ({"login_hint": "ingrid"}, {"login_hint": "ingrid"}),
        ({"ui_locales": "es"}, {"ui_locales": "es"}),
        ({}, {}),
    ],
)
async def test_what_the_app_wants_of_the_proof_is_passed_on(
    hospital: SmartServer, app: App, idp: IdentityProvider, asked: dict[str, str], passed_on: dict[str, str]
) -> None:
    """As the provider understands it."""
    idp.claims |= {"acr": "gold", "amr": ["pwd", "otp"]}
    tokens = await allowed(hospital, app, idp, **asked)
    names = ("prompt", "max_age", "acr_values", "login_hint", "ui_locales")
    assert {name: idp.seen[name] for name in names if name in idp.seen} == passed_on
    claims = claims_of(tokens)
    assert (claims["acr"], claims["amr"]) == ("gold", ["pwd", "otp"])


@pytest.mark.parametrize("age", [None, 3600])
async def test_a_proof_that_is_too_old_is_none(
    hospital: SmartServer, app: App, idp: IdentityProvider, age: int | None
) -> None:
    """A provider that does not say when the user signed in, or that it was long ago, has not done as it was asked."""
    idp.signs = lambda claims: claims | {"auth_time": None if age is None else int(time.time()) - age}
    browser = hospital.browser()
    page = await idp.sign_in(browser, await browser.get(app.authorize_url(SCOPE, max_age="60")))
    assert (page.status_code, page.url.path) == (400, "/oauth/providers/idp/callback")
    assert (await browser.get("/oauth/apps")).url.path == "/oauth/login"


async def test_a_session_is_as_old_as_the_proof(hospital: SmartServer, app: App, idp: IdentityProvider) -> None:
    """Who signed in there an hour ago must do so again for an app that wants a proof of ten minutes."""
    idp.signs = lambda claims: claims | {"auth_time": int(time.time()) - 3600}
    browser = hospital.browser()
    await idp.sign_in(browser)
    assert (await browser.get(app.authorize_url(SCOPE, max_age="7200"))).url.path == "/oauth/consent"
    assert (await browser.get(app.authorize_url(SCOPE, max_age="600"))).url.path == "/oauth/login"


async def test_an_app_is_told_where_the_proof_is_of_no_class_that_it_wants(
    hospital: SmartServer, app: App, idp: IdentityProvider
) -> None:
    """By the error that OpenID has for it, whichever way the user signed in."""
    idp.claims["acr"] = "bronze"
    await hospital.add_user("anna", "practitioner", "Practitioner/tom")
    for sign_in in (idp.sign_in, lambda browser, page: browser.sign_in(page, "anna")):
        browser = hospital.browser()
        back = await sign_in(browser, await browser.get(app.authorize_url(SCOPE, acr_values="gold")))
        assert answered(back)["error"] == "unmet_authentication_requirements"


async def test_the_page_offers_each_provider_and_the_form(hospital: SmartServer) -> None:
    """Beside each other, while the settings leave both."""
    page = await hospital.browser().get("/oauth/login")
    assert "Sign in with Hospital sign-on" in page.text
    assert [form.action for form in forms_of(page)] == ["/oauth/login"]


async def test_passwords_can_be_left_to_patients(
    mongod_url: str, database_name: str, tmp_path: Path, idp: IdentityProvider
) -> None:
    """A right password of staff is then as good as a wrong one."""
    async with smart_server(mongod_url, database_name, tmp_path, password_sign_in="patients") as smart:
        await smart.services.resources.database.ensure(("Patient", "Practitioner"))
        await smart.add_user("anna", "practitioner", "Practitioner/tom")
        await smart.add_user("ben", "patient", "Patient/b")
        staff, patient = smart.browser(), smart.browser()
        assert (await staff.sign_in(await staff.get("/oauth/login"), "anna")).status_code == 401
        assert (await patient.sign_in(await patient.get("/oauth/login"), "ben")).url.path == "/oauth/apps"
        again = {"username": "anna", "password": PASSWORD}
        assert (await smart.http.post("/user/login", json=again)).json()["code"] == "invalid_credentials"


async def test_where_passwords_are_nobodys_the_page_leads_to_the_one_provider(
    mongod_url: str, database_name: str, tmp_path: Path, idp: IdentityProvider
) -> None:
    """And has no form for one."""
    async with smart_server(mongod_url, database_name, tmp_path, password_sign_in="none") as smart:
        assert forms_of(await smart.browser().get("/oauth/login")) == []
        await idp.added_to(smart)
        answer = await smart.browser().get("/oauth/login")
        assert answer.headers["location"].startswith(idp.url("authorize"))


async def test_staff_without_a_practitioner_here_may_be_given_one(
    hospital: SmartServer, app: App, idp: IdentityProvider
) -> None:
    """Where the mapping says so, with the identifier and the name that the provider tells."""
    idp.claims |= {"sub": "n1", "staff_number": "99", "given_name": "Nina", "family_name": "New, Dr|1"}
    await hospital.store.providers.remove("idp")
    await idp.added_to(hospital, accounts=MAPPING | {"create_practitioners": True})
    tokens = await allowed(hospital, app, idp)
    async with hospital.fhir(tokens["access_token"]) as fhir:
        made = (await fhir.get(claims_of(tokens)["fhirUser"])).json()
    assert made["identifier"] == [{"system": IDENTIFIERS, "value": "99"}]
    assert made["name"] == [{"family": "New, Dr|1", "given": ["Nina"]}]
