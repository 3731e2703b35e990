"""What a launch tells an app, asymmetric apps, and targets of includes and chains that need scopes of their own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.smart_server import ORIGIN, REDIRECT, SmartServer, answered


@pytest.fixture
async def filled(smart: SmartServer) -> SmartServer:
    """A server with a patient, two observations that differ in status, and the patient's account."""
    fhir = smart.fhir(await smart.system_token("system/*.cruds"))
    await fhir.put("Patient/a", json={"resourceType": "Patient", "id": "a", "name": [{"family": "Miller"}]})
    for name, status in (("o1", "final"), ("o2", "preliminary")):
        observation = {"resourceType": "Observation", "id": name, "status": status, "code": {"text": "x"}}
        await fhir.put(f"Observation/{name}", json=observation | {"subject": {"reference": "Patient/a"}})
    await smart.add_user("anna", "patient", "Patient/a")
    await smart.add_user("doctor", "practitioner")
    return smart


async def test_includes_and_chains_need_a_scope_for_their_target(filled: SmartServer) -> None:
    """Checklist 4: a scope on Observation includes no Patient, and finds nothing by the properties of one."""
    narrow = filled.fhir(await filled.token_for("anna", "patient/Observation.rs"))
    page = (await narrow.get("Observation?_include=Observation:subject")).json()
    assert {entry["resource"]["resourceType"] for entry in page["entry"]} == {"Observation"}
    assert (await narrow.get("Observation?subject:Patient.family=Miller")).json()["total"] == 0
    wide = filled.fhir(await filled.token_for("anna", "patient/Observation.rs patient/Patient.rs"))
    page = (await wide.get("Observation?_include=Observation:subject")).json()
    assert {entry["resource"]["resourceType"] for entry in page["entry"]} == {"Observation", "Patient"}
    assert (await wide.get("Observation?subject:Patient.family=Miller")).json()["total"] == 2
    only = filled.fhir(await filled.token_for("anna", "patient/Patient.rs"))
    page = (await only.get("Patient?_revinclude=Observation:subject")).json()
    assert {entry["resource"]["resourceType"] for entry in page["entry"]} == {"Patient"}
    assert (await only.get("Patient?_has:Observation:subject:status=final")).json()["total"] == 0


async def test_a_granular_target_is_included_only_where_it_meets_its_scope(filled: SmartServer) -> None:
    """Checklist 4, attack 31: the parameters of a scope bind what is included and what is counted by _has, too."""
    fhir = filled.fhir(await filled.token_for("anna", "patient/Patient.rs patient/Observation.rs?status=final"))
    page = (await fhir.get("Patient?_revinclude=Observation:subject")).json()
    assert [entry["resource"]["id"] for entry in page["entry"]] == ["a", "o1"]
    assert (await fhir.get("Patient?_has:Observation:subject:status=preliminary")).json()["total"] == 0
    everything = (await fhir.get("Patient/a/$everything")).json()
    assert {entry["resource"]["id"] for entry in everything["entry"]} == {"a", "o1"}


async def test_a_search_without_hits_is_an_empty_bundle_and_one_without_scope_is_refused(filled: SmartServer) -> None:
    """Checklist 10: 200 within scope, 403 for a type that is wholly outside, also when several are asked for."""
    fhir = filled.fhir(await filled.token_for("anna", "patient/Observation.rs"))
    empty = await fhir.get("Observation?status=cancelled")
    assert (empty.status_code, empty.json()["total"]) == (200, 0)
    for query in ("Patient", "?_type=Observation,Patient", "Patient/_history", "Patient/a"):
        refused = await fhir.get(query)
        assert refused.status_code == 403
        assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
        assert refused.json()["resourceType"] == "OperationOutcome"


async def test_bodies_and_accept_headers_of_browser_apps_are_taken(filled: SmartServer) -> None:
    """Checklist 12: application/json with a charset, JSON Patch, and an answer in JSON."""
    fhir = filled.fhir(await filled.token_for("anna", "patient/Observation.cruds"))
    headers = {"Accept": "application/json", "Content-Type": "application/json; charset=UTF-8"}
    body = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "y"},
        "subject": {"reference": "Patient/a"},
    }
    made = await fhir.post("Observation", content=json.dumps(body), headers=headers)
    assert made.status_code == 201
    assert "json" in made.headers["content-type"]
    assert (await fhir.get(made.headers["location"])).status_code == 200
    patch = {"Content-Type": "application/json-patch+json"}
    changes = [{"op": "replace", "path": "/status", "value": "amended"}]
    assert (await fhir.patch(f"Observation/{made.json()['id']}", json=changes, headers=patch)).status_code == 200


async def test_the_ehr_s_further_context_is_passed_on(filled: SmartServer) -> None:
    """Checklist 3: fhirContext is an array of objects, and is there only when the EHR has something to say."""
    app = await filled.add_client()
    token = {"Authorization": f"Bearer {await filled.system_token('ehr_launch')}"}
    for context in ([{"reference": "ImagingStudy/1"}], None):
        form: dict[str, Any] = {"client_id": app.client_id, "user": "doctor", "patient": "a"}
        form |= {"fhirContext": context} if context else {}
        prepared = (await filled.http.post("/oauth/launch", json=form, headers=token)).json()
        browser = filled.browser()
        page = await browser.get(app.authorize_url("launch patient/*.rs", launch=prepared["launch"]))
        back = await browser.submit(await browser.sign_in(page, "doctor"), "/oauth/consent", button="approve")
        answer = (await app.exchange(answered(back)["code"])).json()
        assert answer.get("fhirContext") == context
    wrong = {"client_id": app.client_id, "user": "doctor", "fhirContext": ["ImagingStudy/1"]}
    assert (await filled.http.post("/oauth/launch", json=wrong, headers=token)).status_code == 400


async def test_an_asymmetric_app_proves_itself_at_exchange_and_refresh(filled: SmartServer, tmp_path: Path) -> None:
    """Checklist 8: the same assertion rules hold for apps of users; without an assertion nothing is given."""
    pair = RSAKey.generate_key(2048)
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{**pair.as_dict(private=False), "kid": "k"}]}))
    app = await filled.add_client(jwks=path)

    def proof(jti: str) -> dict[str, str]:
        claims = {"iss": app.client_id, "sub": app.client_id, "aud": f"{ORIGIN}/oauth/token", "jti": jti}
        claims["exp"] = int(time.time()) + 120  # type: ignore[assignment]
        signed = jwt.encode({"alg": "RS384", "kid": "k", "typ": "JWT"}, claims, pair, algorithms=["RS384"])
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        return {"client_assertion_type": kind, "client_assertion": signed}

    async def code() -> str:
        browser = filled.browser()
        page = await browser.sign_in(await browser.get(app.authorize_url("offline_access patient/*.rs")), "anna")
        return answered(await browser.submit(page, "/oauth/consent", button="approve"))["code"]

    exchange = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code_verifier": app.verifier}
    bare = await filled.http.post("/oauth/token", data={**exchange, "code": await code(), "client_id": app.client_id})
    assert (bare.status_code, bare.json()["error"]) == (401, "invalid_client")
    answer = (await filled.http.post("/oauth/token", data={**exchange, "code": await code(), **proof("1")})).json()
    refresh = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    assert (await filled.http.post("/oauth/token", data={**refresh, **proof("1")})).json()["error"] == "invalid_client"
    assert (await filled.http.post("/oauth/token", data=refresh)).status_code == 400
    assert (await filled.http.post("/oauth/token", data={**refresh, **proof("2")})).status_code == 200
