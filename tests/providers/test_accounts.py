"""Whose account a provider's user is, and what that account may do: as the provider says, at every sign-in."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.identity_provider import MAPPING, IdentityProvider
from tests.providers.test_sign_in import SCOPE, allowed, status
from tests.smart_server import App, SmartServer


async def _works_at(hospital: SmartServer) -> dict[str, bool]:
    """Return the clinics of Ingrid's roles, and whether each is active."""
    token = await hospital.system_token("system/PractitionerRole.rs")
    async with hospital.fhir(token) as fhir:
        bundle = (await fhir.get("PractitionerRole?practitioner=Practitioner/ingrid")).json()
    roles = [entry["resource"] for entry in bundle.get("entry", [])]
    return {role["location"][0]["reference"]: role["active"] for role in roles}


async def test_clinics_follow_the_groups(hospital: SmartServer, idp: IdentityProvider) -> None:
    """A group gives a role at its clinic, and takes it away again at the sign-in after it was lost."""
    await idp.sign_in(hospital.browser())
    assert await _works_at(hospital) == {"Location/harbour": True}
    idp.claims["groups"] = ["doctors", "hill"]
    await idp.sign_in(hospital.browser())
    assert await _works_at(hospital) == {"Location/harbour": False, "Location/hill": True}
    idp.claims["groups"] = ["doctors", "harbour"]
    await idp.sign_in(hospital.browser())
    assert await _works_at(hospital) == {"Location/harbour": True, "Location/hill": False}


async def test_a_group_that_was_taken_away_takes_all_with_it(
    hospital: SmartServer, app: App, idp: IdentityProvider
) -> None:
    """Whoever is in no group of staff any more is not let in, and what was granted before is gone."""
    tokens = await allowed(hospital, app, idp)
    assert await status(hospital, tokens) == 200
    idp.claims["groups"] = ["harbour", "others"]
    page = await idp.sign_in(hospital.browser())
    assert page.status_code == 403
    assert "gives no access here" in page.text
    assert await status(hospital, tokens) == 401
    assert await _works_at(hospital) == {"Location/harbour": False}


async def test_another_role_ends_what_rested_on_the_one_before(
    hospital: SmartServer, app: App, idp: IdentityProvider
) -> None:
    """An admin who is a doctor again has no admin's token left; the highest of several groups counts."""
    idp.claims["groups"] = ["doctors", "office"]
    tokens = await allowed(hospital, app, idp)
    assert (await hospital.store.users.all())[0].role == "admin"
    idp.claims["groups"] = ["doctors"]
    await idp.sign_in(hospital.browser())
    assert (await hospital.store.users.all())[0].role == "practitioner"
    assert await status(hospital, tokens) == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "x1"},
        {"sub": "x1", "groups": ["doctors"]},
        {"sub": "x1", "groups": ["doctors"], "staff_number": "unheard of"},
        {"sub": "x1", "groups": "doctors", "staff_number": 7},
        {"sub": "x1", "patient_number": "66"},
        {"sub": "x1", "patient_number": "55,66"},
        {"sub": "x1", "patient_number": "|55"},
        {"sub": "x1", "patient_number": ""},
        {"sub": "x1", "patient_number": ["55"]},
        {"sub": "x1", "email": "mara@example.org", "email_verified": True},
    ],
)
async def test_whom_the_mapping_does_not_name_gets_no_account(
    hospital: SmartServer, idp: IdentityProvider, claims: dict[str, Any]
) -> None:
    """Not by an identifier that nobody has, that two have, or that is none; the page offers to connect an account."""
    idp.claims = claims
    page = await idp.sign_in(hospital.browser())
    assert (page.status_code, page.url.path) == (200, "/oauth/link")
    assert await hospital.store.users.all() == []


async def test_an_identifier_of_patients_counts_only_where_the_provider_is_trusted_with_it(
    hospital: SmartServer, idp: IdentityProvider
) -> None:
    """The claim alone opens nothing."""
    await hospital.store.providers.remove("idp")
    await idp.added_to(hospital, accounts=MAPPING | {"trust_patient_identifier": False})
    idp.claims = {"sub": "p1", "patient_number": "55"}
    assert (await idp.sign_in(hospital.browser())).url.path == "/oauth/link"


async def _linked(hospital: SmartServer, page: httpx.Response, browser: Any, username: str) -> httpx.Response:
    answer: httpx.Response = await browser.submit(page, "/oauth/link", username=username, password="correct horse")
    return answer


async def test_a_patient_connects_an_account_once(hospital: SmartServer, app: App, idp: IdentityProvider) -> None:
    """By signing in to it; from then on the provider is enough, and the launch goes on where it began."""
    await hospital.add_user("mara@example.org", "patient", "Patient/mara")
    idp.claims = {"sub": "p1", "patient_number": "55", "email": "mara@example.org", "email_verified": True}
    browser = hospital.browser()
    page = await idp.sign_in(browser, await browser.get(app.authorize_url("launch/patient patient/*.rs")))
    assert page.url.path == "/oauth/link"
    wrong = await browser.submit(page, "/oauth/link", username="mara@example.org", password="not it at all")
    assert wrong.status_code == 401
    assert (await _linked(hospital, wrong, browser, "mara@example.org")).url.path == "/oauth/consent"
    again = hospital.browser()
    assert (await idp.sign_in(again)).url.path == "/oauth/apps"
    assert len(await hospital.store.users.all()) == 1


async def test_an_account_is_connected_with_one_subject_of_an_issuer(
    hospital: SmartServer, idp: IdentityProvider
) -> None:
    """A second one is refused, though it knows the password."""
    await hospital.add_user("mara@example.org", "patient", "Patient/mara")
    for subject, status_code in (("p1", 200), ("p2", 409)):
        idp.claims = {"sub": subject}
        browser = hospital.browser()
        page = await idp.sign_in(browser)
        assert (await _linked(hospital, page, browser, "mara@example.org")).status_code == status_code


async def test_staff_connect_an_account_only_with_a_group(hospital: SmartServer, idp: IdentityProvider) -> None:
    """The provider says no role: then the account is not connected, and its other sessions end."""
    await hospital.add_user("tom", "practitioner", "Practitioner/tom")
    idp.claims = {"sub": "t1", "groups": ["others"]}
    browser = hospital.browser()
    page = await idp.sign_in(browser)
    assert (await _linked(hospital, page, browser, "tom")).status_code == 403
    assert (await idp.sign_in(hospital.browser())).url.path == "/oauth/link"


async def test_a_resource_that_is_not_active_any_more_lets_nobody_in(
    hospital: SmartServer, app: App, idp: IdentityProvider
) -> None:
    """However well the provider knows that one."""
    tokens = await allowed(hospital, app, idp, SCOPE)
    system = await hospital.system_token("system/Practitioner.cruds")
    async with hospital.fhir(system) as fhir:
        resource = (await fhir.get("Practitioner/ingrid")).json() | {"active": False}
        assert (await fhir.put("Practitioner/ingrid", json=resource)).status_code == 200
    assert await status(hospital, tokens) == 401
    assert (await idp.sign_in(hospital.browser())).status_code == 403
