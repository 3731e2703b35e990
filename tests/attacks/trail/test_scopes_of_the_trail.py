"""The audit trail cannot be asked for: no wildcard stands for it at registration, narrowing, consent or refresh."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.auth.permission.scopes import NO_WILDCARD, Scope, Scopes, parse_scopes
from tests.smart_server import ORIGIN, REDIRECT, SmartServer, answered

ASKED = ["system/AuditEvent.cruds", "system/AuditEvent.rs", "system/AuditEvent.read", "system/AuditEvent.*"]
_LETTERS = st.lists(st.sampled_from("cruds"), min_size=1, unique=True).map(
    lambda letters: "".join(each for each in "cruds" if each in letters)
)
_SCOPES = st.lists(
    st.builds(
        lambda level, name, letters: f"{level}/{name}.{letters}",
        st.sampled_from(["patient", "user", "system"]),
        st.sampled_from(["*", "AuditEvent", "Patient"]),
        _LETTERS,
    ),
    max_size=5,
).map(lambda words: parse_scopes(" ".join(words)))


def _named(scopes: Scopes) -> set[tuple[str, str, str]]:
    return {(each.level, each.type, letter) for each in scopes.resources for letter in each.permissions}


@given(_SCOPES, _SCOPES)
def test_narrowing_names_the_trail_only_where_both_do(asked: Scopes, allowed: Scopes) -> None:
    """Whatever is combined, what comes out about AuditEvent was named on both sides, letter by letter."""
    narrowed = {each for each in _named(asked.narrowed_to(allowed)) if each[1] in NO_WILDCARD}
    assert narrowed == {each for each in _named(asked) & _named(allowed) if each[1] in NO_WILDCARD}
    for scope in asked.resources:
        if scope.type in NO_WILDCARD and Scopes((scope,)).within(allowed):
            assert any(other.type == scope.type for other in allowed.resources)
        assert scope.type in NO_WILDCARD or not Scope("system", "*", "cruds").covers("r", "AuditEvent")


@pytest.mark.parametrize("requested", ASKED)
async def test_a_service_with_a_wildcard_gets_no_trail(smart: SmartServer, requested: str) -> None:
    """Client credentials: registered for system/*, asking for the trail is refused, and gets nothing beside others."""
    service = await smart.add_client("system/*.cruds", secret=True, redirect_uris=[])
    answer = await service.token(grant_type="client_credentials", scope=requested)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    answer = await service.token(grant_type="client_credentials", scope=f"system/Patient.rs {requested}")
    assert "AuditEvent" not in answer.json()["scope"]
    fhir = smart.fhir(answer.json()["access_token"])
    assert (await fhir.get("AuditEvent")).status_code == 403


async def test_an_app_gets_no_trail_by_consent_or_refresh(smart: SmartServer) -> None:
    """Neither the user's consent to a wildcard nor a later refresh adds it; a user who is no admin cannot give it."""
    await smart.add_user("anna", "patient", "Patient/a")
    await smart.add_user("dora", "practitioner", "Practitioner/d")
    wide = await smart.add_client("patient/*.cruds user/*.cruds offline_access launch/patient")
    scope = "patient/AuditEvent.rs user/AuditEvent.rs patient/Patient.rs user/Patient.rs offline_access"
    granted = await smart.launch(wide, "anna", scope)
    assert "AuditEvent" not in granted["scope"]
    refused = await wide.refresh(granted["refresh_token"], scope="user/AuditEvent.rs")
    assert refused.json()["error"] == "invalid_scope"
    wildcards = await smart.launch(wide, "anna", "patient/*.rs user/*.rs offline_access")
    for more in ("user/AuditEvent.rs", "patient/AuditEvent.r", "patient/*.rs patient/AuditEvent.rs"):
        refused = await wide.refresh(wildcards["refresh_token"], scope=more)
        assert refused.json()["error"] == "invalid_scope"
    named = await smart.add_client("user/AuditEvent.rs user/Patient.rs patient/AuditEvent.rs launch/patient")
    granted = await smart.launch(named, "anna", "user/AuditEvent.rs patient/AuditEvent.rs user/Patient.rs")
    assert "AuditEvent" not in granted["scope"]
    browser = smart.browser()
    page = await browser.get(named.authorize_url("user/AuditEvent.rs"))
    back = await browser.sign_in(page, "dora")
    assert answered(back)["error"] == "invalid_scope"


async def test_an_admin_names_it(smart: SmartServer) -> None:
    """What a registration names and an admin allows is given."""
    await smart.add_user("ada", "admin", "Practitioner/ada")
    app = await smart.add_client("user/AuditEvent.rs user/*.rs")
    token = await smart.launch(app, "ada", "user/AuditEvent.rs")
    assert (await smart.fhir(token["access_token"]).get("AuditEvent")).status_code == 200


@pytest.mark.parametrize("scope", ["user/AuditEvent.rs", "patient/AuditEvent.rs", "system/AuditEvent.rs"])
async def test_an_app_that_registers_itself_cannot_name_it(smart: SmartServer, scope: str) -> None:
    """Dynamic registration narrows to wildcards, which the trail is outside of."""
    body = {"client_name": "Spy", "redirect_uris": [REDIRECT], "scope": f"{scope} user/Patient.rs"}
    answer = await smart.http.post(f"{ORIGIN}/oauth/register", json=body)
    assert answer.status_code == 201
    assert "AuditEvent" not in answer.json()["scope"]
    alone = await smart.http.post(f"{ORIGIN}/oauth/register", json={**body, "scope": scope})
    assert alone.status_code == 400
