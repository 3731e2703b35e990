"""Access tokens of outside issuers: JWTs and opaque ones, for users and for machines, by the one access rule."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.identity_provider import IdentityProvider, new_key
from tests.smart_server import BASE, SmartServer

TOKENS: dict[str, Any] = {
    "introspection": True,
    "trust_fhir_user": True,
    "trust_launch": True,
    "machine_clients": ["loader"],
    "scopes": {"records.read": "user/*.rs", "records.write": "user/*.cruds"},
}


@pytest.fixture
async def issuer(hospital: SmartServer, idp: IdentityProvider) -> IdentityProvider:
    """Return the provider, whose tokens are taken."""
    await hospital.store.providers.remove("idp")
    await idp.added_to(hospital, tokens=TOKENS)
    return idp


def access_token(idp: IdentityProvider, **changes: Any) -> str:
    """Return a JWT access token of an app for the doctor; None takes a claim away."""
    now = int(time.time())
    claims = {
        "iss": idp.issuer,
        "aud": BASE,
        "sub": "d1",
        "client_id": "app",
        "iat": now,
        "exp": now + 300,
        "jti": "j1",
        "scope": "openid user/*.rs",
        "fhirUser": f"{BASE}/Practitioner/ingrid",
        "groups": ["doctors"],
        **changes,
    }
    return idp.sign({name: value for name, value in claims.items() if value is not None}, typ="at+jwt")


def opaque(idp: IdentityProvider, token: str = "opaque-1", **changes: Any) -> str:
    """Return an opaque access token, of which introspection says the same."""
    claims = {"active": True, "sub": "d1", "client_id": "app", "aud": BASE, "exp": int(time.time()) + 300}
    claims |= {"scope": "user/*.rs", "fhirUser": "Practitioner/ingrid", "groups": ["doctors"], **changes}
    idp.opaque[token] = {name: value for name, value in claims.items() if value is not None}
    return token


async def status(hospital: SmartServer, token: str, url: str = "Practitioner/ingrid", **request: Any) -> int:
    """Return how a request with the token is answered."""
    async with hospital.fhir(token) as fhir:
        return (await fhir.request(request.pop("method", "GET"), url, **request)).status_code


@pytest.mark.parametrize("form", [access_token, opaque])
async def test_a_users_token_reads_what_its_scopes_say(
    hospital: SmartServer, issuer: IdentityProvider, form: Any
) -> None:
    """And nothing else: no other type, no writing."""
    token = form(issuer, scope="user/Practitioner.rs")
    assert await status(hospital, token) == 200
    assert await status(hospital, token, "Location/harbour") == 403
    assert await status(hospital, token, method="PUT", json={"resourceType": "Practitioner", "id": "ingrid"}) == 403


async def test_a_machines_token_loads_a_bundle(hospital: SmartServer, issuer: IdentityProvider) -> None:
    """By `system/` scopes, which only a client has that the mapping names."""
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "resource": {"resourceType": "Patient", "id": "new"},
                "request": {"method": "PUT", "url": "Patient/new"},
            }
        ],
    }
    machine: dict[str, Any] = {"sub": "m1", "fhirUser": None, "groups": None, "scope": "system/*.cruds user/*.cruds"}
    assert (
        await status(hospital, access_token(issuer, client_id="loader", **machine), "", method="POST", json=bundle)
        == 200
    )
    others = access_token(issuer, client_id="app", **machine)
    assert await status(hospital, others, "", method="POST", json=bundle) == 401
    user = access_token(issuer, scope="system/*.cruds user/Practitioner.rs")
    assert await status(hospital, user, "Patient/new") == 403


async def test_the_issuers_own_words_stand_for_scopes(hospital: SmartServer, issuer: IdentityProvider) -> None:
    """As the mapping says; a list of them counts as well as a text."""
    for scope in ("records.read", ["records.read", "other"]):
        assert await status(hospital, access_token(issuer, scope=scope)) == 200
    assert await status(hospital, access_token(issuer, scope="other")) == 403


async def test_a_patients_token_sees_that_patient(hospital: SmartServer, issuer: IdentityProvider) -> None:
    """Whoever the fhirUser is, whatever patient the token names besides."""
    token = access_token(issuer, sub="p1", groups=None, fhirUser="Patient/mara", scope="patient/*.rs", patient="twin-1")
    assert await status(hospital, token, "Patient/mara") == 200
    assert await status(hospital, token, "Patient/twin-1") == 404
    me = await hospital.http.get("/history/appointments", headers={"Authorization": f"Bearer {token}"})
    assert me.status_code == 200


async def test_a_launchs_patient_confines_the_token(hospital: SmartServer, issuer: IdentityProvider) -> None:
    """`patient/` scopes of a doctor are for the patient that the token names; without one they are nothing."""
    token = access_token(issuer, scope="patient/*.rs", patient="mara")
    assert await status(hospital, token, "Patient/mara") == 200
    assert await status(hospital, token, "Patient/twin-1") == 404
    assert await status(hospital, access_token(issuer, scope="patient/*.rs"), "Patient/mara") == 403


async def test_an_account_counts_before_what_the_token_says(hospital: SmartServer, issuer: IdentityProvider) -> None:
    """A subject that has an account here is that one's, whatever fhirUser stands in the token."""
    issuer.claims = {"sub": "p1", "patient_number": "55"}
    await issuer.sign_in(hospital.browser())
    token = access_token(issuer, sub="p1", groups=None, scope="patient/*.rs", fhirUser="Patient/twin-1")
    assert await status(hospital, token, "Patient/mara") == 200
    assert await status(hospital, token, "Patient/twin-1") == 404


async def test_a_token_that_was_seen_asks_nobody_again(hospital: SmartServer, issuer: IdentityProvider) -> None:
    """Neither for keys nor by introspection, while that is kept."""
    for token in (access_token(issuer), opaque(issuer)):
        assert await status(hospital, token) == 200
    asked = len(issuer.asked)
    for token in (access_token(issuer), opaque(issuer)):
        for _ in range(3):
            assert await status(hospital, token) == 200
    assert len(issuer.asked) == asked


async def test_a_new_key_is_found_while_requests_run(hospital: SmartServer, issuer: IdentityProvider) -> None:
    """The issuer signs with another: its set is asked once more, and the tokens of before still hold."""
    before = access_token(issuer)
    assert await status(hospital, before) == 200
    issuer.key, issuer.headers = new_key("k2"), {"kid": "k2"}
    for key_sets in hospital.app.state.oauth.providers.party._key_sets.values():
        key_sets._clock = lambda: time.monotonic() + 31
    assert [await status(hospital, token) for token in (access_token(issuer), before)] == [200, 200]


async def test_each_access_leaves_its_event(hospital: SmartServer, issuer: IdentityProvider) -> None:
    """With the issuer's client and the user, as of any token."""
    assert await status(hospital, access_token(issuer)) == 200
    system = await hospital.system_token("system/AuditEvent.rs")
    async with hospital.fhir(system) as fhir:
        await hospital.app.state.audit.flush()
        events = (await fhir.get("AuditEvent?entity=Practitioner/ingrid&_sort=-date")).json()
    assert "idp:app" in str(events)
    assert "Practitioner/ingrid" in str(events)
