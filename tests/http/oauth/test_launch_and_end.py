"""EHR launches, practitioners, granular scopes, introspection, and the end of access: revocation, logout, removal."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.cli import accounts
from fhir_server.store.database.mongo import Database
from tests.smart_server import BASE, App, SmartServer, answered, smart_server

LAB = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
VITAL = "http://terminology.hl7.org/CodeSystem/observation-category|vital-signs"
EHR_SCOPE = "launch openid fhirUser launch/encounter patient/*.rs"


@pytest.fixture
async def filled(smart: SmartServer) -> SmartServer:
    """A server with two patients, an encounter, observations, and users of each role."""
    fhir = smart.fhir(await smart.system_token("system/*.cruds"))
    for name in ("a", "b"):
        await fhir.put(
            f"Patient/{name}", json={"resourceType": "Patient", "id": name, "name": [{"family": name.upper()}]}
        )
        for category in ("laboratory", "vital-signs"):
            system = VITAL.partition("|")[0]
            observation = {
                "resourceType": "Observation",
                "id": f"{name}-{category}",
                "status": "final",
                "category": [{"coding": [{"system": system, "code": category}]}],
                "code": {"text": "x"},
                "subject": {"reference": f"Patient/{name}"},
            }
            assert (await fhir.put(f"Observation/{name}-{category}", json=observation)).status_code == 201
    encounter = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/a"},
    }
    assert (await fhir.put("Encounter/e", json=encounter)).status_code == 201
    await fhir.put("Practitioner/p", json={"resourceType": "Practitioner", "id": "p"})
    await smart.add_user("anna", "patient", "Patient/a")
    await smart.add_user("doctor", "practitioner", "Practitioner/p")
    return smart


async def _prepare(smart: SmartServer, app: App, **overrides: Any) -> httpx.Response:
    token = await smart.system_token("ehr_launch")
    body = {"client_id": app.client_id, "user": "doctor", "patient": "a", **overrides}
    return await smart.http.post("/oauth/launch", json=body, headers={"Authorization": f"Bearer {token}"})


async def _launched(smart: SmartServer, app: App, launch: str, username: str = "doctor") -> httpx.Response:
    browser = smart.browser()
    page = await browser.sign_in(await browser.get(app.authorize_url(EHR_SCOPE, launch=launch)), username)
    if page.status_code != 200:
        return page
    return await browser.submit(page, "/oauth/consent", button="approve")


async def test_an_ehr_launch_carries_patient_and_encounter(filled: SmartServer) -> None:
    """Checklist 5 and 3: the launch URL has iss and launch; the token response has the context, which can be read."""
    app = await filled.add_client(launch_url="https://app.test/launch?x=1")
    prepared = (await _prepare(filled, app, encounter="e", intent="review", need_patient_banner=False)).json()
    assert prepared["iss"] == BASE
    url = httpx.URL(prepared["url"])
    assert dict(url.params) == {"x": "1", "iss": BASE, "launch": prepared["launch"]}
    back = answered(await _launched(filled, app, prepared["launch"]))
    answer = (await app.exchange(back["code"])).json()
    assert (answer["patient"], answer["encounter"], answer["intent"]) == ("a", "e", "review")
    assert answer["need_patient_banner"] is False
    style = await filled.http.get(answer["smart_style_url"])
    assert style.status_code == 200
    fhir = filled.fhir(answer["access_token"])
    assert (await fhir.get("Encounter/e")).status_code == 200
    assert (await fhir.get("Patient/a")).status_code == 200
    assert (await fhir.get("Patient/b")).status_code == 404


async def test_a_launch_value_is_for_one_use_one_client_and_one_user(filled: SmartServer) -> None:
    """Checklist 5: used up by the grant, refused to another client, and to another user of the server."""
    app, other = await filled.add_client(), await filled.add_client()
    value = (await _prepare(filled, app)).json()["launch"]
    assert answered(await filled.http.get(other.authorize_url(EHR_SCOPE, launch=value)))["error"] == "invalid_request"
    wrong_user = await _launched(filled, app, value, "anna")
    assert wrong_user.status_code == 400
    assert "code" in answered(await _launched(filled, app, value))
    assert answered(await filled.http.get(app.authorize_url(EHR_SCOPE, launch=value)))["error"] == "invalid_request"


async def test_only_an_ehr_makes_launch_values(filled: SmartServer) -> None:
    """The scope ehr_launch is needed, and what a launch names must exist."""
    app = await filled.add_client()
    body = {"client_id": app.client_id, "user": "doctor", "patient": "a"}
    assert (await filled.http.post("/oauth/launch", json=body)).status_code == 401
    token = await filled.system_token("system/*.cruds")
    refused = await filled.http.post("/oauth/launch", json=body, headers={"Authorization": f"Bearer {token}"})
    assert refused.status_code == 403
    for changes in (
        {"patient": "none"},
        {"encounter": "none"},
        {"encounter": "e", "patient": "b"},
        {"user": "nobody"},
        {"client_id": "x"},
        {"patient": {"$ne": 1}},
        {"more": 1},
    ):
        assert (await _prepare(filled, app, **changes)).status_code == 400
    assert (await _prepare(filled, app, user="Practitioner/p")).status_code == 201


async def test_a_patient_cannot_be_launched_into_another_record(filled: SmartServer) -> None:
    """The user's own access wins over what an EHR asks for."""
    app = await filled.add_client()
    value = (await _prepare(filled, app, user="anna", patient="b")).json()["launch"]
    assert answered(await _launched(filled, app, value, "anna"))["error"] == "access_denied"


async def test_granular_scopes_let_through_just_what_they_name(filled: SmartServer) -> None:
    """Checklist 4, attack 31: read, search, counts, history and writes know one category only; several are an OR."""
    scope = f"patient/Observation.cruds?category={LAB}"
    app = await filled.add_client(f"openid patient/Observation.cruds?category={LAB} patient/Patient.rs")
    result = await filled.launch(app, "anna", scope)
    assert result["scope"] == scope
    fhir = filled.fhir(result["access_token"])
    assert (await fhir.get("Observation/a-laboratory")).status_code == 200
    for hidden in ("a-vital-signs", "b-laboratory"):
        for path in (f"Observation/{hidden}", f"Observation/{hidden}/_history/1", f"Observation/{hidden}/_history"):
            assert (await fhir.get(path)).status_code == 404
    for query in (
        "",
        "?category=vital-signs,laboratory",
        "?category:not=none",
        "?subject=Patient/a",
        "?_total=accurate",
    ):
        page = (await fhir.get(f"Observation{query}")).json()
        assert [entry["resource"]["id"] for entry in page["entry"]] == ["a-laboratory"]
        assert page["total"] == 1
    assert (await fhir.get("Observation?category=vital-signs")).json()["total"] == 0
    assert len((await fhir.get("Observation/_history")).json()["entry"]) == 1
    own = (await fhir.get("Observation/a-laboratory")).json()
    moved = {**own, "category": [{"coding": [{"system": VITAL.partition("|")[0], "code": "vital-signs"}]}]}
    assert (await fhir.put("Observation/a-laboratory", json=moved)).status_code == 403
    del moved["id"]
    assert (await fhir.post("Observation", json=moved)).status_code == 403
    assert (await fhir.post("Observation", json={k: v for k, v in own.items() if k != "id"})).status_code == 201
    both = await filled.token_for(
        "anna", f"patient/Observation.rs?category={LAB} patient/Observation.rs?category={VITAL}"
    )
    assert (await filled.fhir(both).get("Observation?_summary=count")).json()["total"] == 3


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("patient/Observation.r", {"read", "vread"}),
        ("patient/Observation.s", {"search"}),
        ("patient/Observation.c", {"create"}),
        ("patient/Observation.u", {"update"}),
        ("patient/Observation.d", {"delete"}),
    ],
)
async def test_each_letter_allows_its_interactions_and_no_other(
    filled: SmartServer, scope: str, allowed: set[str]
) -> None:
    """Checklist 4, attack 30: c, r, u, d and s; a missing one is 403 insufficient_scope, not an empty answer."""
    report = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/a"},
    }
    anna = filled.fhir(await filled.token_for("anna", "patient/Observation.c"))
    own = (await anna.post("Observation", json=report)).json()
    body, url = {**own, "status": "amended"}, f"Observation/{own['id']}"
    fhir = filled.fhir(await filled.token_for("anna", scope))
    answers = {
        "read": await fhir.get(url),
        "vread": await fhir.get(f"{url}/_history/1"),
        "search": await fhir.get("Observation"),
        "create": await fhir.post("Observation", json=body),
        "update": await fhir.put(url, json=body),
        "delete": await fhir.delete(url),
    }
    for name, answer in answers.items():
        if name in allowed:
            assert answer.status_code in (200, 201, 204), name
        else:
            assert answer.status_code == 403, name
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


async def test_batch_entries_are_authorised_one_by_one(filled: SmartServer) -> None:
    """Checklist 4: each entry needs its own permission; a transaction with a forbidden one does nothing."""
    fhir = filled.fhir(await filled.token_for("anna", "patient/Observation.rs"))
    entries = [
        {"request": {"method": "GET", "url": url}}
        for url in ("Observation/a-laboratory", "Patient/a", "Observation/b-laboratory")
    ]
    answer = (await fhir.post("", json={"resourceType": "Bundle", "type": "batch", "entry": entries})).json()
    assert [entry["response"]["status"][:3] for entry in answer["entry"]] == ["200", "403", "404"]
    delete = {"request": {"method": "DELETE", "url": "Observation/a-laboratory"}}
    refused = await fhir.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": [delete]})
    assert refused.status_code == 403


async def test_user_scopes_reach_what_the_user_may_see(filled: SmartServer) -> None:
    """Checklist 4: of a patient the own record, of a practitioner all; wildcards do not open the audit trail."""
    patient = filled.fhir(await filled.token_for("anna", "user/*.rs"))
    assert (await patient.get("Patient")).json()["total"] == 1
    doctor = filled.fhir(await filled.token_for("doctor", "user/*.rs"))
    assert (await doctor.get("Patient")).json()["total"] == 2
    assert (await doctor.get("AuditEvent")).status_code == 403
    await filled.add_user("auditor", "admin")
    auditor = filled.fhir(await filled.token_for("auditor", "user/AuditEvent.rs"))
    assert (await auditor.get("AuditEvent")).status_code == 200
    both = filled.fhir(await filled.token_for("doctor", "user/Patient.rs user/AuditEvent.rs"))
    assert (await both.get("Patient")).status_code == 200
    assert (await both.get("AuditEvent")).status_code == 403


async def test_a_patient_scope_without_a_patient_is_denied(filled: SmartServer) -> None:
    """Trap 45: no launch patient means nothing, not everything."""
    from datetime import UTC, datetime

    from fhir_server.auth.permission.access import ScopedAccess
    from fhir_server.auth.permission.bearer import BearerToken
    from fhir_server.auth.permission.scopes import parse_scopes
    from fhir_server.errors import Forbidden

    now = datetime.now(UTC)
    access = ScopedAccess(BearerToken("c", parse_scopes("patient/*.cruds"), now, now, "u", "u", "practitioner"))
    for interaction, name in (
        ("read", "Patient"),
        ("search-type", "Observation"),
        ("create", "Observation"),
        ("search-system", None),
    ):
        with pytest.raises(Forbidden):
            access.require(interaction, name)


async def test_introspection_tells_a_token_s_meaning_to_who_may_know(filled: SmartServer) -> None:
    """Checklist 9: scope, exp, sub and context, to the client itself or a backend; of a dead token only its death."""
    app = await filled.add_client(secret=True)
    result = await filled.launch(app, "anna", "openid fhirUser launch/patient offline_access patient/*.rs")
    credentials = httpx.BasicAuth(app.client_id, app.secret or "")
    body = (
        await filled.http.post("/oauth/introspect", data={"token": result["access_token"]}, auth=credentials)
    ).json()
    assert body["active"] is True
    assert (body["scope"], body["client_id"], body["patient"]) == (result["scope"], app.client_id, "a")
    assert (body["iss"], body["token_type"], body["fhirUser"]) == (BASE, "Bearer", f"{BASE}/Patient/a")
    assert isinstance(body["exp"], int)
    backend = {"Authorization": f"Bearer {await filled.system_token('system/*.rs')}"}
    seen = await filled.http.post("/oauth/introspect", data={"token": result["access_token"]}, headers=backend)
    assert seen.json()["active"] is True
    for dead in ("unknown", "x" * 4000, '{"$ne": null}'):
        answer = await filled.http.post("/oauth/introspect", data={"token": dead}, headers=backend)
        assert (answer.status_code, answer.json()) == (200, {"active": False})
    stranger = await filled.add_client(secret=True)
    foreign = httpx.BasicAuth(stranger.client_id, stranger.secret or "")
    hidden = await filled.http.post("/oauth/introspect", data={"token": result["access_token"]}, auth=foreign)
    assert hidden.json() == {"active": False}
    assert (await filled.http.post("/oauth/introspect", data={"token": "x"})).status_code == 401
    assert (await filled.http.post("/oauth/introspect", data={}, headers=backend)).status_code == 400
    info = await filled.http.get("/oauth/userinfo", headers={"Authorization": f"Bearer {result['access_token']}"})
    assert info.json()["sub"] == body["sub"]


async def test_revoking_ends_what_came_of_the_grant(filled: SmartServer) -> None:
    """Checklist 9, attack 16: a refresh token takes its access tokens along; of others' tokens nothing happens."""
    app, other = await filled.add_client(), await filled.add_client()
    result = await filled.launch(app, "anna", "offline_access patient/*.rs")
    fhir = filled.fhir(result["access_token"])
    foreign = {"token": result["refresh_token"], "client_id": other.client_id}
    assert (await filled.http.post("/oauth/revoke", data=foreign)).status_code == 200
    assert (await fhir.get("Patient/a")).status_code == 200
    assert (await filled.http.post("/oauth/revoke", data={"token": "x", "client_id": app.client_id})).status_code == 200
    own = {"token": result["refresh_token"], "client_id": app.client_id}
    assert (await filled.http.post("/oauth/revoke", data=own)).status_code == 200
    assert (await fhir.get("Patient/a")).status_code == 401
    assert (await app.refresh(result["refresh_token"])).status_code == 400


async def test_a_user_sees_and_ends_the_access_of_apps(filled: SmartServer) -> None:
    """Checklist 9: the page lists what was granted; ending it holds for every token, and no other user can."""
    app = await filled.add_client(name="Weight diary")
    result = await filled.launch(app, "anna", "offline_access patient/*.rs")
    browser = filled.browser()
    page = await browser.sign_in(await browser.get("/oauth/apps"), "anna")
    assert "Weight diary" in page.text
    stranger = filled.browser()
    await stranger.sign_in(await stranger.get("/oauth/apps"), "doctor")
    user = await filled.store.users.find_by_name("doctor")
    grant = (await filled.store.grants.apps_of((await filled.store.users.find_by_name("anna")).id))[0].id
    await filled.store.grants.revoke_grant(grant, user.id)
    assert (await filled.fhir(result["access_token"]).get("Patient/a")).status_code == 200
    after = await browser.submit(page, "/oauth/apps")
    assert "Weight diary" not in after.text
    assert (await filled.fhir(result["access_token"]).get("Patient/a")).status_code == 401
    assert (await app.refresh(result["refresh_token"])).status_code == 400


async def test_signing_out_ends_what_lives_as_long_as_the_session(filled: SmartServer) -> None:
    """Online tokens die with the session, offline ones stay."""
    tokens = {}
    browser = filled.browser()
    page = await browser.sign_in(await browser.get("/oauth/apps"), "anna")
    for kind in ("online_access", "offline_access"):
        app = await filled.add_client()
        consent = await browser.get(app.authorize_url(f"{kind} patient/*.rs"))
        back = await browser.submit(consent, "/oauth/consent", button="approve")
        tokens[kind] = (app, (await app.exchange(answered(back)["code"])).json())
    await browser.submit(page, "/oauth/logout")
    for kind, status in (("online_access", 401), ("offline_access", 200)):
        app, result = tokens[kind]
        assert (await filled.fhir(result["access_token"]).get("Patient/a")).status_code == status
        assert (await app.refresh(result["refresh_token"])).status_code == (200 if status == 200 else 400)
    assert "/oauth/login" in str((await browser.get("/oauth/apps")).url)


@pytest.mark.parametrize("how", ["revoke", "disable", "remove", "password", "replay", "inactive"])
async def test_the_end_of_access_holds_at_once_on_every_worker(
    filled: SmartServer, mongod_url: str, database: Database, tmp_path: Path, how: str
) -> None:
    """When a revocation has been answered, no worker takes the token any more, though each remembered it before."""
    app = await filled.add_client()
    scope = "online_access patient/*.rs" if how == "password" else "offline_access patient/*.rs"
    result = await filled.launch(app, "anna", scope)
    async with smart_server(mongod_url, database.name, tmp_path) as second:
        workers = [filled.fhir(result["access_token"]), second.fhir(result["access_token"])]
        stop = asyncio.Event()

        async def keep_asking() -> None:
            while not stop.is_set():
                await asyncio.gather(*(worker.get("Patient/a") for worker in workers))

        for worker in workers:
            assert (await worker.get("Patient/a")).status_code == 200
        asking = asyncio.create_task(keep_asking())
        if how == "revoke":
            form = {"token": result["access_token"], "client_id": app.client_id}
            await second.http.post("/oauth/revoke", data=form)
        elif how == "replay":
            rotated = (await app.refresh(result["refresh_token"])).json()
            assert rotated["access_token"]
            await filled.age_refresh_tokens(6)
            await app.refresh(result["refresh_token"])
        elif how == "inactive":
            service = second.fhir(await second.system_token("system/Patient.cruds"))
            patient = (await service.get("Patient/a")).json()
            (await service.put("Patient/a", json=patient | {"active": False})).raise_for_status()
            assert (await app.refresh(result["refresh_token"])).json()["error"] == "invalid_grant"
            browser = filled.browser()
            page = await browser.get(app.authorize_url(scope))
            assert (await browser.sign_in(page, "anna")).status_code == 401
        else:
            work: Any = {
                "disable": accounts.disable_user("anna"),
                "remove": accounts.remove_client(app.client_id),
                "password": accounts.change_password("anna", "another password"),
            }[how]
            await work(second.services, second.store)
        assert [(await worker.get("Patient/a")).status_code for worker in workers] == [401, 401]
        stop.set()
        await asking


async def test_rotating_the_signing_key_breaks_nothing(filled: SmartServer) -> None:
    """A new key signs; what the old one signed still verifies, and access tokens do not notice."""
    from joserfc import jwt
    from joserfc.jwk import KeySet

    app = await filled.add_client()
    old = await filled.launch(app, "anna", "openid patient/*.rs")
    await accounts.rotate_keys(filled.services, filled.store)
    new = await filled.launch(app, "anna", "openid patient/*.rs")
    keys = KeySet.import_key_set((await filled.http.get("/oauth/jwks")).json())
    kids = [jwt.decode(token["id_token"], keys, algorithms=["RS256"]).header["kid"] for token in (old, new)]
    assert kids[0] != kids[1]
    assert (await filled.fhir(old["access_token"]).get("Patient/a")).status_code == 200


async def test_registration_is_open_only_by_setting_and_only_to_apps_for_users(
    filled: SmartServer, mongod_url: str, database: Database, tmp_path: Path
) -> None:
    """Attack 20: no system scopes, no unsafe URIs, markup stays text; without the setting nobody registers."""
    body: dict[str, Any] = {
        "client_name": "App",
        "redirect_uris": ["https://app.test/callback"],
        "token_endpoint_auth_method": "none",
    }
    made = await filled.http.post("/oauth/register", json={**body, "scope": "patient/*.rs system/*.cruds ehr_launch"})
    assert (made.status_code, made.json()["scope"]) == (201, "patient/*.rs")
    for changes in (
        {"redirect_uris": ["javascript:alert(1)"]},
        {"redirect_uris": ["http://app.test/cb"]},
        {"redirect_uris": "https://app.test"},
        {"scope": "system/*.cruds"},
        {"scope": "nonsense"},
        {"client_name": 5},
        {"jwks": [], "token_endpoint_auth_method": "private_key_jwt"},
        {"jwks_uri": "http://169.254.169.254/", "token_endpoint_auth_method": "private_key_jwt"},
        {"jwks_uri": "https://app.test:99999/jwks", "token_endpoint_auth_method": "private_key_jwt"},
        {"jwks_uri": "https://[::1/jwks", "token_endpoint_auth_method": "private_key_jwt"},
        {"redirect_uris": ["https://app.test:99999/cb"]},
        {"token_endpoint_auth_method": "tls_client_auth"},
    ):
        refused = await filled.http.post("/oauth/register", json={**body, **changes})
        assert refused.status_code == 400, changes
        assert refused.json()["error"] in ("invalid_redirect_uri", "invalid_client_metadata")
    async with smart_server(mongod_url, database.name, tmp_path, dynamic_registration=False) as closed:
        assert (await closed.http.post("/oauth/register", json=body)).status_code == 403
        answer = (await closed.http.get("/fhir/.well-known/smart-configuration")).json()
        assert "registration_endpoint" not in answer
