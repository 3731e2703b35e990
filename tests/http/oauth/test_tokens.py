"""The token endpoint: exchanging, refreshing, services; and what happens to those who cheat."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from tests.smart_server import BASE, ORIGIN, PASSWORD, REDIRECT, App, SmartServer, answered

SCOPE = "openid fhirUser launch/patient offline_access patient/*.rs"


@pytest.fixture
async def app(smart: SmartServer) -> App:
    """A public app, and a patient who may use it."""
    patient = {"resourceType": "Patient", "id": "a", "name": [{"family": "A"}]}
    fhir = smart.fhir(await smart.system_token("system/Patient.cruds"))
    assert (await fhir.put("Patient/a", json=patient)).status_code == 201
    await smart.add_user("anna", "patient", "Patient/a")
    return await smart.add_client()


async def _code(smart: SmartServer, app: App, scope: str = SCOPE, **parameters: str | None) -> str:
    browser = smart.browser()
    page = await browser.sign_in(await browser.get(app.authorize_url(scope, **parameters)), "anna")
    return answered(await browser.submit(page, "/oauth/consent", button="approve"))["code"]


async def test_a_launch_gives_what_smart_demands(smart: SmartServer, app: App) -> None:
    """Checklist 3 and 6: token, context, id_token whose claims and signature hold; nothing is cached."""
    answer = await app.exchange(await _code(smart, app, nonce="n-1"))
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["scope"] == SCOPE
    assert body["patient"] == "a"
    assert body["need_patient_banner"] is True
    assert isinstance(body["expires_in"], int)
    assert 0 < body["expires_in"] <= 3600
    keys = KeySet.import_key_set((await smart.http.get("/oauth/jwks")).json())
    token = jwt.decode(body["id_token"], keys, algorithms=["RS256"])
    claims = token.claims
    assert token.header["kid"]
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (BASE, app.client_id, "n-1")
    assert claims["fhirUser"] == f"{BASE}/Patient/a"
    assert 0 < len(claims["sub"]) < 256
    assert claims["exp"] > time.time() > claims["iat"] - 5
    read = await smart.fhir(body["access_token"]).get(claims["fhirUser"])
    assert read.json()["resourceType"] == "Patient"


async def test_the_patient_is_told_when_only_patient_scopes_were_granted(smart: SmartServer, app: App) -> None:
    """Checklist 3: also without launch/patient; and without openid there is no id_token, without offline no refresh."""
    answer = (await app.exchange(await _code(smart, app, "patient/Patient.rs"))).json()
    assert answer["patient"] == "a"
    assert "id_token" not in answer
    assert "refresh_token" not in answer


async def test_a_practitioner_s_own_resource_can_be_read_by_fhir_user(smart: SmartServer, app: App) -> None:
    """Checklist 6: patient/Patient.rs with fhirUser reads its own Practitioner, and no other one."""
    fhir = smart.fhir(await smart.system_token("system/*.cruds"))
    for name in ("own", "other"):
        await fhir.put(f"Practitioner/{name}", json={"resourceType": "Practitioner", "id": name})
    await smart.add_user("doctor", "practitioner", "Practitioner/own")
    browser = smart.browser()
    page = await browser.sign_in(await browser.get(app.authorize_url("openid fhirUser patient/Patient.rs")), "doctor")
    page = await browser.submit(page, "/oauth/patient", name="A")
    assert 'value="a"' in page.text
    page = await _pick(browser, page, "a")
    answer = (
        await app.exchange(answered(await browser.submit(page, "/oauth/consent", button="approve"))["code"])
    ).json()
    own = smart.fhir(answer["access_token"])
    assert answer["patient"] == "a"
    assert (await own.get("Practitioner/own")).status_code == 200
    assert (await own.get("Practitioner/other")).status_code == 404
    assert (await own.get("Practitioner")).status_code == 403


async def _pick(browser: Any, page: Any, patient: str) -> Any:
    from urllib.parse import urlencode

    from tests.smart_server import forms_of

    form = next(form for form in forms_of(page) if form.method == "post" and "patient" in form.types)
    pairs = [*form.fields, ("patient", patient)]
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}
    return await browser._followed(await browser.http.post("/oauth/patient", content=urlencode(pairs), headers=headers))


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": None},
        {"code_verifier": " "},
        {"code_verifier": "w" * 43},
        {"redirect_uri": None},
        {"redirect_uri": "https://evil.test/"},
        {"redirect_uri": REDIRECT + "/"},
    ],
)
async def test_a_code_needs_its_verifier_and_its_redirect_uri(
    smart: SmartServer, app: App, changes: dict[str, str | None]
) -> None:
    """Checklist 3, attack 11: absent, blank or wrong is 400, and the answer is not cached either."""
    answer = await app.exchange(await _code(smart, app), **changes)
    assert answer.status_code == 400
    assert answer.json()["error"] in ("invalid_request", "invalid_grant")
    assert answer.headers["cache-control"] == "no-store"


async def test_the_challenge_itself_is_not_the_verifier(smart: SmartServer, app: App) -> None:
    """Checklist 3: what was sent in the open proves nothing."""
    from fhir_server.auth.clients.pkce import challenge_of

    answer = await app.exchange(await _code(smart, app), code_verifier=challenge_of(app.verifier))
    assert answer.status_code == 400


async def test_a_code_is_of_use_to_its_own_client_only(smart: SmartServer, app: App) -> None:
    """Attack 11: another client, even with the right verifier, gets nothing."""
    other = await smart.add_client()
    other.verifier = app.verifier
    answer = await other.exchange(await _code(smart, app))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_a_code_that_is_used_twice_ends_all_that_came_of_it(smart: SmartServer, app: App) -> None:
    """Attack 10: the second use is invalid_grant, and the first one's tokens are revoked."""
    code = await _code(smart, app)
    first = (await app.exchange(code)).json()
    assert (await smart.fhir(first["access_token"]).get("Patient/a")).status_code == 200
    second = await app.exchange(code)
    assert (second.status_code, second.json()["error"]) == (400, "invalid_grant")
    assert (await smart.fhir(first["access_token"]).get("Patient/a")).status_code == 401
    assert (await app.refresh(first["refresh_token"])).status_code == 400


async def test_of_parallel_exchanges_at_most_one_wins(smart: SmartServer, app: App) -> None:
    """Attack 11: the code is used up atomically."""
    code = await _code(smart, app)
    answers = await asyncio.gather(*(app.exchange(code) for _ in range(6)))
    assert sum(answer.status_code == 200 for answer in answers) <= 1


async def test_an_old_code_is_refused(smart: SmartServer, app: App) -> None:
    """Checklist 2: a code lives a minute."""
    from datetime import UTC, datetime, timedelta

    code = await _code(smart, app)
    codes = smart.services.database.collection("oauth_codes")
    stored = await codes.find_one({})
    assert stored["expires"] - datetime.now(UTC) <= timedelta(seconds=60)
    await codes.update_many({}, {"$set": {"expires": datetime.now(UTC) - timedelta(seconds=1)}})
    assert (await app.exchange(code)).json()["error"] == "invalid_grant"


async def test_refreshing_rotates_and_keeps_the_grant(smart: SmartServer, app: App) -> None:
    """Checklist 7: with and without scope, the same scope and patient; the token of a public client is rotated."""
    answer = (await app.exchange(await _code(smart, app))).json()
    again = (await app.refresh(answer["refresh_token"])).json()
    assert (again["scope"], again["patient"]) == (answer["scope"], "a")
    assert again["refresh_token"] != answer["refresh_token"]
    same = (await app.refresh(again["refresh_token"], scope=answer["scope"])).json()
    assert same["scope"] == answer["scope"]
    assert (await smart.fhir(same["access_token"]).get("Patient/a")).status_code == 200


async def test_a_public_client_need_not_say_who_it_is_when_it_refreshes(smart: SmartServer, app: App) -> None:
    """Checklist 12: client-js sends no client_id with a refresh."""
    answer = (await app.exchange(await _code(smart, app))).json()
    form = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    assert (await smart.http.post("/oauth/token", data=form)).status_code == 200


async def test_a_replay_that_does_not_say_who_it_is_ends_the_grant(smart: SmartServer, app: App) -> None:
    """A refresh token that was used long ago is told as one, with the client's name or without, and is no fault."""
    answer = (await app.exchange(await _code(smart, app))).json()
    form = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    fresh = (await smart.http.post("/oauth/token", data=form)).json()
    await smart.age_refresh_tokens(smart.services.settings.refresh_leeway_seconds)
    replayed = await smart.http.post("/oauth/token", data=form)
    assert (replayed.status_code, replayed.json()["error"]) == (400, "invalid_grant")
    assert (await smart.fhir(fresh["access_token"]).get("Patient/a")).status_code == 401


async def test_a_refresh_may_narrow_and_never_widens(smart: SmartServer, app: App) -> None:
    """Attack 13: narrowing holds for the new access token, widening is invalid_scope and costs nothing."""
    answer = (await app.exchange(await _code(smart, app))).json()
    wide = await app.refresh(answer["refresh_token"], scope="patient/*.cruds")
    assert (wide.status_code, wide.json()["error"]) == (400, "invalid_scope")
    narrow = (await app.refresh(answer["refresh_token"], scope="patient/Patient.r")).json()
    assert narrow["scope"] == "patient/Patient.r"
    fhir = smart.fhir(narrow["access_token"])
    assert (await fhir.get("Patient/a")).status_code == 200
    assert (await fhir.get("Patient")).status_code == 403
    assert (await app.refresh(narrow["refresh_token"])).json()["scope"] == SCOPE


async def test_tokens_are_of_one_kind_each_and_of_one_client(smart: SmartServer, app: App) -> None:
    """Attacks 13 and 14: access token, code, id_token and refresh token do not stand in for one another."""
    code = await _code(smart, app)
    body = (await app.exchange(code)).json()
    for wrong in (body["access_token"], code, "random", body["id_token"]):
        assert (await app.refresh(wrong)).json()["error"] == "invalid_grant"
    for wrong in (
        body["refresh_token"],
        body["id_token"],
        code,
        "",
        "x" * 5000,
        '{"$ne": null}',
    ):
        answer = await smart.http.get("/fhir/Patient/a", headers={"Authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    other = await smart.add_client(secret=True)
    assert (await other.refresh(body["refresh_token"])).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_a_forged_jwt_is_no_token(smart: SmartServer, app: App, algorithm: str) -> None:
    """Attack 14: access tokens are looked up, so there is nothing to forge."""
    import base64
    import json

    parts = [{"alg": algorithm, "typ": "JWT"}, {"sub": "anna", "scope": "system/*.cruds", "exp": 9999999999}]
    text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    answer = await smart.http.get("/fhir/Patient/a", headers={"Authorization": f"Bearer {text}.c2ln"})
    assert answer.status_code == 401


async def test_a_confidential_client_proves_itself_every_time(smart: SmartServer, app: App) -> None:
    """Checklist 3, attack 12: by Basic or in the body; missing or wrong is invalid_client, with 401."""
    confidential = await smart.add_client(secret=True)
    code = await _code(smart, confidential)
    answer = (await confidential.exchange(code)).json()
    assert answer["access_token"]
    again = (await confidential.refresh(answer["refresh_token"])).json()
    assert again["access_token"]
    form = {
        "grant_type": "refresh_token",
        "refresh_token": answer["refresh_token"],
        "client_id": confidential.client_id,
    }
    posing = await smart.http.post("/oauth/token", data=form)
    assert posing.json()["error"] == "invalid_client"
    wrong = await smart.http.post("/oauth/token", data=form, auth=(confidential.client_id, "wrong"))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert wrong.headers["www-authenticate"].startswith("Basic")
    posted = await smart.http.post("/oauth/token", data={**form, "client_secret": confidential.secret})
    assert posted.status_code == 200
    both = await smart.http.post(
        "/oauth/token",
        data={**form, "client_secret": confidential.secret},
        auth=(confidential.client_id, confidential.secret or ""),
    )
    assert both.json()["error"] == "invalid_request"


async def test_requests_that_are_no_token_requests_are_refused(smart: SmartServer, app: App) -> None:
    """Checklist 8, attack 12: other grants, no grant, secrets in the URL, JSON bodies, doubled parameters."""
    service = await smart.add_client("system/*.rs", secret=True, redirect_uris=[])
    cases: list[tuple[dict[str, str | None], str]] = [
        ({"grant_type": "password", "username": "anna", "password": PASSWORD}, "unsupported_grant_type"),
        ({"grant_type": "urn:nonsense"}, "unsupported_grant_type"),
        ({}, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "x"}, "unauthorized_client"),
        ({"grant_type": "client_credentials", "scope": "patient/*.rs openid"}, "invalid_scope"),
        ({"grant_type": "client_credentials", "scope": "system/*.cu"}, "invalid_scope"),
    ]
    for form, error in cases:
        answer = await service.token(**form)
        assert (answer.status_code, answer.json()["error"]) == (400, error), form
    url = f"/oauth/token?client_id={service.client_id}&client_secret={service.secret}"
    assert (
        await smart.http.post(url, data={"grant_type": "client_credentials", "scope": "system/*.rs"})
    ).status_code == 400
    assert (await smart.http.post("/oauth/token", json={"grant_type": "client_credentials"})).status_code == 400
    twice = await smart.http.post(
        "/oauth/token",
        content="grant_type=client_credentials&scope=system/*.rs&scope=system/*.rs",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert twice.json()["error"] == "invalid_request"


async def test_a_service_with_a_secret_gets_a_short_token_and_no_more_than_it_may(smart: SmartServer, app: App) -> None:
    """Checklist 8: at most 300 s, no refresh token, cut down to the registration; no users' scopes."""
    service = await smart.add_client("system/Patient.rs", secret=True, redirect_uris=[])
    answer = (await service.token(grant_type="client_credentials", scope="system/*.cruds patient/*.rs openid")).json()
    assert answer["scope"] == "system/Patient.rs"
    assert answer["expires_in"] <= 300
    assert "refresh_token" not in answer
    assert "id_token" not in answer
    fhir = smart.fhir(answer["access_token"])
    assert (await fhir.get("Patient/a")).status_code == 200
    assert (await fhir.get("Observation")).status_code == 403


def _assertion(client_id: str, key: Any, header: dict[str, Any], **claims: Any) -> str:
    full = {
        "iss": client_id,
        "sub": client_id,
        "aud": f"{ORIGIN}/oauth/token",
        "exp": int(time.time()) + 60,
        "jti": "j1",
        **claims,
    }
    return jwt.encode({"typ": "JWT", **header}, full, key, algorithms=["RS384", "ES384"])


async def test_a_service_with_keys_proves_itself_by_rs384_or_es384_once(
    smart: SmartServer, app: App, tmp_path: Any
) -> None:
    """Checklist 8: both algorithms; a jti is taken once; wrong type or issuer is told as RFC 6749 says."""
    import json

    rsa, elliptic = RSAKey.generate_key(2048), ECKey.generate_key("P-384")
    keys = [{**key.as_dict(private=False), "kid": kid} for key, kid in ((rsa, "r"), (elliptic, "e"))]
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": keys}))
    service = await smart.add_client("system/*.rs", redirect_uris=[], jwks=path)

    async def ask(assertion: str, **changes: str) -> Any:
        form = {
            "grant_type": "client_credentials",
            "scope": "system/*.rs",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
            **changes,
        }
        return await smart.http.post("/oauth/token", data=form)

    for_issuer = _assertion(service.client_id, rsa, {"alg": "RS384", "kid": "r"}, aud=BASE, jti="issuer")
    assert (await ask(for_issuer)).status_code == 200
    for_base = _assertion(service.client_id, rsa, {"alg": "RS384", "kid": "r"}, aud=f"{ORIGIN}/fhir/x", jti="base")
    assert (await ask(for_base)).json()["error"] == "invalid_client"
    first = _assertion(service.client_id, rsa, {"alg": "RS384", "kid": "r"})
    answer = await ask(first)
    assert (answer.status_code, answer.json()["expires_in"]) == (200, 300)
    assert (
        await ask(_assertion(service.client_id, elliptic, {"alg": "ES384", "kid": "e"}, jti="j2"))
    ).status_code == 200
    for replayed in (first, _assertion(service.client_id, rsa, {"alg": "RS384", "kid": "r"})):
        refused = await ask(replayed)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    fresh = _assertion(service.client_id, rsa, {"alg": "RS384", "kid": "r"}, jti="j3")
    assert (await ask(fresh, client_assertion_type="wrong")).json()["error"] == "invalid_request"
    assert (await ask(fresh, grant_type="nonsense")).status_code == 400
    assert (await ask(fresh, client_id="other")).json()["error"] == "invalid_client"
    unknown = _assertion("nobody", rsa, {"alg": "RS384", "kid": "r"}, jti="j4")
    assert (await ask(unknown)).json()["error"] == "invalid_client"
    elsewhere = _assertion(
        service.client_id, rsa, {"alg": "RS384", "kid": "r"}, jti="j5", aud=f"{ORIGIN}/oauth/introspect"
    )
    assert (await ask(elsewhere)).json()["error"] == "invalid_client"


async def test_nothing_that_opens_anything_is_stored_as_it_is(smart: SmartServer, app: App) -> None:
    """A copy of the database holds no token, code, secret, cookie or password."""
    confidential = await smart.add_client(secret=True)
    code = await _code(smart, confidential)
    answer = (await confidential.exchange(code)).json()
    dump = ""
    for name in await smart.services.database.raw.list_collection_names(filter={"name": {"$regex": "^oauth_"}}):
        dump += repr(await smart.services.database.collection(name).find().to_list())
    for secret in (code, answer["access_token"], answer["refresh_token"], confidential.secret, PASSWORD, "PRIVATE KEY"):
        assert secret not in dump


async def test_client_credentials_without_a_scope_give_what_is_registered(smart: SmartServer) -> None:
    """RFC 6749 3.3: the default of a service is its registration, without what only users can give."""
    service = await smart.add_client("system/Patient.rs system/Observation.r user/*.rs", secret=True)
    granted = (await service.token(grant_type="client_credentials")).json()["scope"]
    assert granted == "system/Patient.rs system/Observation.r"
