"""Plain OpenID Connect: signing in without a FHIR base, and what the scopes profile and email tell of the user."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from fhir_server.auth.accounts.login_names import email_name
from tests.smart_server import BASE, ORIGIN, App, SmartServer, answered

PEOPLE: list[dict[str, Any]] = [
    {
        "resourceType": "Patient",
        "id": "a",
        "name": [
            {"use": "old", "family": "Before"},
            {"use": "official", "family": "Lund", "given": ["Anna", "Maria"]},
        ],
        "telecom": [{"system": "email", "value": "written.by.an.app@evil.test"}],
    },
    {
        "resourceType": "Practitioner",
        "id": "d",
        "name": [{"text": "Dr. Ole Berg", "family": "Berg", "given": ["Ole"]}],
        "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "ole@clinic.test"}],
    },
    {"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "Practitioner/d"}},
    {"resourceType": "Patient", "id": "nameless"},
]


@pytest.fixture
async def app(smart: SmartServer) -> App:
    """An app, and users of every kind."""
    service = smart.fhir(await smart.system_token("system/*.cruds"))
    for person in PEOPLE:
        path = f"{person['resourceType']}/{person['id']}"
        (await service.put(path, json=person)).raise_for_status()
    await smart.add_user("anna@example.org", "patient", "Patient/a")
    await smart.add_user("doctor", "practitioner", "Practitioner/d")
    await smart.add_user("roled", "practitioner", "PractitionerRole/r")
    await smart.add_user("nameless", "patient", "Patient/nameless")
    await smart.add_user("boss", "admin")
    return await smart.add_client()


async def _claims(smart: SmartServer, token: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of the id_token, which are those of userinfo besides what says about itself."""
    keys = KeySet.import_key_set((await smart.http.get("/oauth/jwks")).json())
    claims = dict(jwt.decode(token["id_token"], keys, algorithms=["RS256"]).claims)
    assert (claims.pop("iss"), claims.pop("aud")) == (BASE, token["client"])
    of_the_sign_in = ("iat", "exp", "auth_time", "nonce", "amr")
    by_name = {name: value for name, value in claims.items() if name not in of_the_sign_in}
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    assert (await smart.http.get("/oauth/userinfo", headers=headers)).json() == by_name
    return by_name


async def _signed_in(
    smart: SmartServer, app: App, username: str, scope: str, **overrides: str | None
) -> dict[str, Any]:
    token = await smart.launch(app, username, scope, **{"aud": None, **overrides})
    return {**token, "client": app.client_id}


@pytest.mark.parametrize(
    ("username", "expected"),
    [
        (
            "anna@example.org",
            {
                "name": "Anna Maria Lund", "given_name": "Anna Maria", "family_name": "Lund",
                "email": "anna@example.org", "email_verified": False,
            },
        ),
        (
            "doctor",
            {
                "name": "Dr. Ole Berg", "given_name": "Ole", "family_name": "Berg",
                "email": "ole@clinic.test", "email_verified": False,
            },
        ),
        (
            "roled",
            {
                "name": "Dr. Ole Berg", "given_name": "Ole", "family_name": "Berg",
                "email": "ole@clinic.test", "email_verified": False,
            },
        ),
        ("nameless", {}),
        ("boss", {}),
    ],
)  # fmt: skip
async def test_name_and_email_are_told_to_their_scopes(
    smart: SmartServer, app: App, username: str, expected: dict[str, Any]
) -> None:
    """The same in the id_token and at userinfo, each with its scope alone; a patient's telecom is not believed."""
    names = {name: value for name, value in expected.items() if "email" not in name}
    emails = {name: value for name, value in expected.items() if "email" in name}
    for scope, required in (
        ("openid", {}),
        ("openid profile", names),
        ("openid email", emails),
        ("openid email profile", expected),
    ):
        claims = await _claims(smart, await _signed_in(smart, app, username, scope))
        subject = claims.pop("sub")
        assert subject
        for name in ("fhirUser", "profile"):
            assert (claims.pop(name, None) is not None) == ("profile" in scope and username != "boss")
        assert claims == required


async def test_only_a_confirmed_address_is_told_as_verified(smart: SmartServer, app: App) -> None:
    """`email_verified` is true where a mailed code came back for this very address of this very account."""
    account = await smart.store.users.find_by_name("anna@example.org")
    names = smart.store.names
    for address, confirmed, expected in (
        ("anna@example.org", False, False),
        ("anna@example.org", True, True),
        ("new@example.org", False, False),
    ):
        assert await names.claim(email_name(address), account.id)
        await names.keep(account.id, [email_name(address)], confirmed=email_name(address) if confirmed else None)
        if address == account.username:
            claims = await _claims(smart, await _signed_in(smart, app, address, "openid email"))
            assert (claims["email"], claims["email_verified"]) == (address, expected)
        else:
            assert not await names.is_confirmed(email_name(address), account.id)
    other = await smart.store.users.find_by_name("doctor")
    assert not await names.is_confirmed(email_name("anna@example.org"), other.id)


async def test_a_token_for_signing_in_opens_no_records(smart: SmartServer, app: App) -> None:
    """Without `aud` no FHIR base is meant: the token is none at /fhir and the hospital's endpoints, renewed or not."""
    token = await _signed_in(smart, app, "doctor", "openid fhirUser profile email offline_access")
    renewed = (await app.refresh(token["refresh_token"])).json()
    for one in (token, renewed):
        bearer = {"Authorization": f"Bearer {one['access_token']}"}
        for path in ("/fhir/Practitioner/d", "/fhir/Patient", "/fhir", "/user/profile", "/history/visits"):
            assert (await smart.http.get(path, headers=bearer)).status_code in (401, 404), path
        assert (await smart.http.get("/fhir/Practitioner/d", headers=bearer)).status_code == 401
        assert (await smart.http.get("/oauth/userinfo", headers=bearer)).json()["email"] == "ole@clinic.test"
    service = await smart.add_client("system/*.rs", secret=True, redirect_uris=[])
    answer = await smart.http.post(
        "/oauth/introspect", data={"token": token["access_token"]}, auth=(service.client_id, service.secret or "")
    )
    assert answer.json()["aud"] == f"{ORIGIN}/oauth/userinfo"
    named = await _signed_in(smart, app, "doctor", "openid fhirUser", aud=BASE)
    assert (await smart.fhir(named["access_token"]).get("Practitioner/d")).status_code == 200


@pytest.mark.parametrize(
    "scope",
    [
        "openid patient/*.rs", "openid patient/Patient.r", "openid user/Patient.rs", "openid launch",
        "openid launch/patient", "openid launch/encounter", "openid system/*.rs", "openid ehr_launch",
        "openid patient/Nothing.rs", "openid nonsense", "openid  patient/*.rs", "openid patient/*.read",
        "profile email", "fhirUser", "offline_access", "openid launch/patient?role=x", "OPENID profile",
        "openid\tpatient/*.rs", "openid profile,patient/*.rs",
    ],
)  # fmt: skip
async def test_whatever_is_about_records_needs_the_fhir_base(smart: SmartServer, app: App, scope: str) -> None:
    """The waiver is judged by every word, understood or not; nothing but the scopes of signing in has it."""
    result = answered(await smart.http.get(app.authorize_url(scope, aud=None)))
    assert result["error"] == "invalid_request"
    assert "code" not in result


@pytest.mark.parametrize(
    "values",
    [
        {"aud": "https://elsewhere.test/fhir"}, {"aud": f"{BASE}/x"}, {"aud": ORIGIN}, {"launch": "x", "aud": None},
    ],
)  # fmt: skip
async def test_a_wrong_base_is_refused_for_signing_in_too(
    smart: SmartServer, app: App, values: dict[str, str | None]
) -> None:
    """Who names a FHIR base names this one, and a launch of an EHR has one."""
    result = answered(await smart.http.get(app.authorize_url("openid profile", **values)))
    assert result["error"] == "invalid_request"


async def test_a_refresh_does_not_widen_signing_in_to_records(smart: SmartServer, app: App) -> None:
    """What was granted without a base stays without records, whatever a refresh asks for."""
    token = await _signed_in(smart, app, "doctor", "openid offline_access")
    for scope in ("openid patient/*.rs", "user/*.rs", "launch", "fhirUser"):
        assert (await app.refresh(token["refresh_token"], scope=scope)).json()["error"] == "invalid_scope"


async def test_the_scopes_and_claims_are_announced_and_explained(smart: SmartServer, app: App) -> None:
    """Discovery names the scopes and claims, and the consent page says in words what each tells."""
    answer = (await smart.http.get("/fhir/.well-known/openid-configuration")).json()
    assert {"openid", "profile", "email"} <= set(answer["scopes_supported"])
    expected = {"sub", "name", "given_name", "family_name", "email", "email_verified", "fhirUser", "profile"}
    assert expected <= set(answer["claims_supported"])
    browser = smart.browser()
    page = await browser.get(app.authorize_url("openid profile email", aud=None))
    page = await browser.sign_in(page, "doctor")
    assert "Know your email address" in page.text
    assert "Know your name" in page.text
    back = await browser.submit(page, "/oauth/consent", button="approve", drop=["email"])
    token = (await app.exchange(answered(back)["code"])).json()
    assert token["scope"] == "openid profile"
    assert "email" not in await _claims(smart, {**token, "client": app.client_id})
