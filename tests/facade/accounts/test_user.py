"""Endpoints 1 to 7: signing up, in and out, the profile and the password."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.facade.accounts.test_throttle import just_now
from tests.facade_server import PASSWORD, Hospital

MARA = {
    "first_name": "Mara",
    "last_name": "Lindqvist",
    "email": "mara@example.org",
    "phone": "+1 207 555 0161",
    "password": PASSWORD,
    "date_of_birth": "1984-03-12",
    "gender": "female",
    "timezone": "America/New_York",
    "language": "en",
}


async def test_signing_up(hospital: Hospital) -> None:
    """Signing up makes a Patient with every field, and answers with the user and tokens for that patient."""
    answer = await hospital.visitor().ask("POST", "/user/signup", MARA, status=201)
    user = answer["user"]
    expected = {name: value for name, value in MARA.items() if name != "password"} | {"phone": "+12075550161"}
    assert {name: user[name] for name in expected} == expected
    assert (user["status"], user["profile_picture"]) == ("active", None)
    assert user["created_at"] == user["updated_at"] != None  # noqa: E711 - both are there and equal
    assert answer["patient"] == user["id"]
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    assert "patient/*.rs" in answer["scope"]
    patient = await hospital.fhir("GET", f"Patient/{user['id']}")
    assert patient["name"][0]["family"] == "Lindqvist"
    assert PASSWORD not in str(patient)


async def test_the_token_is_a_smart_token(hospital: Hospital) -> None:
    """The app's token opens the user's own records over FHIR, and nobody else's."""
    mara, noor = await hospital.sign_up("mara"), await hospital.sign_up("noor")
    assert (await mara.ask("GET", f"/fhir/Patient/{mara.id}"))["id"] == mara.id
    assert (await mara.send("GET", f"/fhir/Patient/{noor.id}")).status_code == 404


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"email": "nobody"}, "email"),
        ({"phone": "12"}, "phone"),
        ({"phone": "0161 555"}, "phone"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"first_name": " "}, "first_name"),
        ({"last_name": None}, "last_name"),
        ({"gender": "f"}, "gender"),
        ({"date_of_birth": "2999-01-01"}, "date_of_birth"),
        ({"date_of_birth": "12.3.1984"}, "date_of_birth"),
        ({"password": "short1"}, "password"),
        ({"password": "Password123!"}, "password"),
        ({"password": "xx Lindqvist xx"}, "password"),
        ({"password": "mara@example.org"}, "password"),
        ({"nickname": "M"}, "nickname"),
    ],
)
async def test_faulty_sign_ups(hospital: Hospital, changes: dict[str, Any], field: str) -> None:
    """A faulty field is named in a 422, in English or Spanish, and no account is made."""
    visitor = hospital.visitor()
    problem = await visitor.refused("validation_failed", "POST", "/user/signup", MARA | changes)
    assert [error["field"] for error in problem["errors"]] == [field]
    spanish = await visitor.refused(
        "validation_failed", "POST", "/user/signup", MARA | changes, headers={"Accept-Language": "es"}
    )
    assert spanish["errors"][0]["message"] != problem["errors"][0]["message"]
    assert (await hospital.fhir("GET", "Patient"))["total"] == 0


async def test_all_faults_at_once(hospital: Hospital) -> None:
    """Every fault is told in one answer."""
    problem = await hospital.visitor().refused("validation_failed", "POST", "/user/signup", {"email": "x"})
    fields = {error["field"] for error in problem["errors"]}
    assert fields == {"first_name", "last_name", "email", "phone", "password"}


async def test_taken_names(hospital: Hospital) -> None:
    """An email address in any case and a phone number in any spelling is one user's only."""
    await hospital.visitor().ask("POST", "/user/signup", MARA, status=201)
    other = MARA | {"email": "MARA@Example.org", "phone": "+1 207 555 0199"}
    await hospital.visitor().refused("email_taken", "POST", "/user/signup", other)
    other = MARA | {"email": "other@example.org", "phone": "+1 (207) 555-0161"}
    await hospital.visitor().refused("phone_taken", "POST", "/user/signup", other)
    assert (await hospital.fhir("GET", "Patient"))["total"] == 1


async def test_a_name_is_free_after_a_refused_sign_up(hospital: Hospital) -> None:
    """A sign-up that is refused for its phone number does not keep the address."""
    await hospital.visitor().ask("POST", "/user/signup", MARA, status=201)
    other = MARA | {"email": "other@example.org"}
    await hospital.visitor().refused("phone_taken", "POST", "/user/signup", other)
    await hospital.visitor().ask("POST", "/user/signup", other | {"phone": "+12075550199"}, status=201)


async def test_parallel_sign_ups(hospital: Hospital) -> None:
    """Of ten who sign up with one address at once, one gets it, and there is one Patient."""
    bodies = [MARA | {"phone": f"+1207555{1000 + number}"} for number in range(10)]
    answers = await asyncio.gather(*(hospital.visitor().send("POST", "/user/signup", body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert (await hospital.fhir("GET", "Patient"))["total"] == 1


@pytest.mark.parametrize("username", ["mara@example.org", "MARA@example.org", "+12075550161", "+1 207-555-0161"])
async def test_login(hospital: Hospital, username: str) -> None:
    """One signs in by address or phone number, however they are written."""
    signed = await hospital.visitor().ask("POST", "/user/signup", MARA, status=201)
    user = hospital.visitor()
    user.session = await user.ask("POST", "/user/login", {"username": username, "password": PASSWORD})
    assert user.session["patient"] == signed["patient"]
    assert (await user.ask("GET", "/user/profile"))["id"] == signed["patient"]


async def test_wrong_credentials(hospital: Hospital) -> None:
    """A wrong password and an unknown name are told the same."""
    await hospital.visitor().ask("POST", "/user/signup", MARA, status=201)
    wrong = [{"username": "mara@example.org", "password": "x"}, {"username": "no@example.org", "password": PASSWORD}]
    problems = [await hospital.visitor().refused("invalid_credentials", "POST", "/user/login", body) for body in wrong]
    assert problems[0] == problems[1]


@pytest.mark.parametrize("username", ["mara@example.org", "nobody@example.org"])
async def test_too_many_attempts(hospital: Hospital, username: str) -> None:
    """After five failures a name, known or not, must wait, and is told how long."""
    await hospital.visitor().ask("POST", "/user/signup", MARA, status=201)
    body = {"username": username, "password": "wrong"}
    for _ in range(5):
        await hospital.visitor().refused("invalid_credentials", "POST", "/user/login", body)
    await just_now(hospital)
    response = await hospital.visitor().send("POST", "/user/login", body | {"password": PASSWORD})
    assert (response.status_code, response.json()["code"]) == (429, "too_many_attempts")
    assert int(response.headers["retry-after"]) > 0


async def test_inactive_account(hospital: Hospital) -> None:
    """A Patient that an EHR made inactive cannot sign in, and is told so only for the right password."""
    mara = await hospital.sign_up("mara")
    patient = await hospital.fhir("GET", f"Patient/{mara.id}")
    await hospital.put(patient | {"active": False})
    body = {"username": "mara@example.org", "password": PASSWORD}
    await hospital.visitor().refused("account_inactive", "POST", "/user/login", body)
    await hospital.visitor().refused("invalid_credentials", "POST", "/user/login", body | {"password": "x"})


@pytest.mark.parametrize("how", ["put", "patch", "transaction", "conditional", "delete"])
async def test_live_tokens_die_with_the_standing(hospital: Hospital, how: str) -> None:
    """Whichever way a Patient is made inactive over FHIR, the user's tokens are dead when the write is answered."""
    mara, other = await hospital.sign_up("mara"), await hospital.sign_up("noor")
    path = f"Patient/{mara.id}"
    inactive = await hospital.fhir("GET", path) | {"active": False}
    match how:
        case "put":
            await hospital.put(inactive)
        case "patch":
            operation = {"op": "replace", "path": "/active", "value": False}
            await hospital.fhir("PATCH", path, [operation])
        case "transaction":
            entry = {"resource": inactive, "request": {"method": "PUT", "url": path}}
            await hospital.fhir("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
        case "conditional":
            await hospital.fhir("PUT", f"Patient?_id={mara.id}", inactive)
        case "delete":
            await hospital.fhir("DELETE", path)
    await mara.refused("invalid_token", "GET", "/user/profile")
    old = {"refresh_token": mara.session["refresh_token"]}
    await hospital.visitor().refused("invalid_token", "POST", "/user/token/refresh", old)
    await other.ask("GET", "/user/profile")


async def test_refreshing(hospital: Hospital) -> None:
    """A refresh token gives one new pair; its second use ends the session with all its tokens."""
    mara = await hospital.sign_up("mara")
    old = {"refresh_token": mara.session["refresh_token"]}
    new = await hospital.visitor().ask("POST", "/user/token/refresh", old)
    assert new["refresh_token"] != old["refresh_token"]
    assert new["patient"] == mara.id
    mara.session["access_token"] = new["access_token"]
    await mara.ask("GET", "/user/profile")
    await hospital.visitor().refused("invalid_token", "POST", "/user/token/refresh", old)
    await mara.refused("invalid_token", "GET", "/user/profile")
    await hospital.visitor().refused(
        "invalid_token", "POST", "/user/token/refresh", {"refresh_token": new["refresh_token"]}
    )


async def test_logging_out(hospital: Hospital) -> None:
    """After logging out neither token works, here or over FHIR."""
    mara = await hospital.sign_up("mara")
    assert (await mara.send("POST", "/user/logout")).status_code == 204
    await mara.refused("invalid_token", "GET", "/user/profile")
    assert (await mara.send("GET", f"/fhir/Patient/{mara.id}")).status_code == 401
    body = {"refresh_token": mara.session["refresh_token"]}
    await hospital.visitor().refused("invalid_token", "POST", "/user/token/refresh", body)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/user/logout"), ("GET", "/user/profile"), ("PUT", "/user/profile"), ("PUT", "/user/password")],
)
async def test_no_token(hospital: Hospital, method: str, path: str) -> None:
    """Without a token, and with one that is none, the answer is 401 with a challenge."""
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}):
        response = await hospital.visitor().send(method, path, {}, headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "invalid_token")
        assert response.headers["www-authenticate"].startswith("Bearer")


async def test_changing_the_profile(hospital: Hospital) -> None:
    """Changed fields become a new version of the Patient, and what an EHR wrote there stays."""
    mara = await hospital.sign_up("mara")
    patient = await hospital.fhir("GET", f"Patient/{mara.id}")
    await hospital.put(patient | {"maritalStatus": {"text": "married"}})
    changes = {
        "first_name": "Maria",
        "profile_picture": "https://img.example.org/m.png",
        "timezone": "Europe/Madrid",
        "language": "es",
        "date_of_birth": "1984-03-12",
        "gender": "female",
    }
    user = await mara.ask("PUT", "/user/profile", changes)
    assert {name: user[name] for name in changes} == changes
    assert user["created_at"] == mara.session["user"]["created_at"] < user["updated_at"]
    stored = await hospital.fhir("GET", f"Patient/{mara.id}")
    assert stored["maritalStatus"] == {"text": "married"}
    assert stored["name"][0]["given"] == ["Maria"]
    cleared = await mara.ask("PUT", "/user/profile", {"profile_picture": None})
    assert (cleared["profile_picture"], cleared["first_name"]) == (None, "Maria")


async def test_changing_the_names_one_signs_in_with(hospital: Hospital) -> None:
    """A new address signs in from then on and the old one is free for others."""
    mara = await hospital.sign_up("mara")
    noor = await hospital.sign_up("noor")
    own = {"current_password": PASSWORD}
    await noor.refused("email_taken", "PUT", "/user/profile", own | {"email": "mara@example.org"})
    await noor.refused("phone_taken", "PUT", "/user/profile", own | {"phone": mara.session["user"]["phone"]})
    await mara.ask("PUT", "/user/profile", own | {"email": "new@example.org"})
    login = {"username": "mara@example.org", "password": PASSWORD}
    await hospital.visitor().refused("invalid_credentials", "POST", "/user/login", login)
    await hospital.visitor().ask("POST", "/user/login", login | {"username": "new@example.org"})
    await noor.ask("PUT", "/user/profile", own | {"email": "mara@example.org"})
    await hospital.visitor().ask("POST", "/user/login", login)


@pytest.mark.parametrize(
    ("changes", "field"), [({"email": None}, "email"), ({"phone": "x"}, "phone"), ({"status": "banned"}, "status")]
)
async def test_faulty_profiles(hospital: Hospital, changes: dict[str, Any], field: str) -> None:
    """A profile cannot lose its address, and nobody changes the own status."""
    mara = await hospital.sign_up("mara")
    problem = await mara.refused("validation_failed", "PUT", "/user/profile", changes)
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_changing_the_password(hospital: Hospital) -> None:
    """A new password ends the other sessions, not the own, and the old one signs in no more."""
    mara, other = await hospital.sign_up("mara"), hospital.visitor()
    login = {"username": "mara@example.org", "password": PASSWORD}
    other.session = await other.ask("POST", "/user/login", login)
    body = {"current_password": PASSWORD, "new_password": "another long phrase 7"}
    await mara.refused("invalid_credentials", "PUT", "/user/password", body | {"current_password": "x"})
    weak = await mara.refused("validation_failed", "PUT", "/user/password", body | {"new_password": "qwertyuiop"})
    assert weak["errors"][0]["field"] == "new_password"
    assert (await mara.send("PUT", "/user/password", body)).status_code == 204
    await mara.ask("GET", "/user/profile")
    await other.refused("invalid_token", "GET", "/user/profile")
    await hospital.visitor().refused("invalid_credentials", "POST", "/user/login", login)
    await hospital.visitor().ask("POST", "/user/login", login | {"password": body["new_password"]})


async def test_bodies_that_are_no_json(hospital: Hospital) -> None:
    """A body that cannot be read is 400, one that is too large 413, and neither shows anything of the inside."""
    headers = {"Content-Type": "application/json"}
    broken = await hospital.http.post("/user/login", content=b"{", headers=headers)
    assert (broken.status_code, broken.json()["code"]) == (400, "malformed")
    large = await hospital.http.post("/user/login", content=b" " * 2_000_000, headers=headers)
    assert (large.status_code, large.json()["code"]) == (413, "too_large")


async def test_unknown_paths(hospital: Hospital) -> None:
    """Paths and methods that the facade does not have are problems, too."""
    await hospital.visitor().refused("not_found", "GET", "/nowhere")
    await hospital.visitor().refused("method_not_allowed", "DELETE", "/user/login")


async def test_description(hospital: Hospital) -> None:
    """The OpenAPI description and its page come from this server alone."""
    description = await hospital.visitor().ask("GET", "/openapi.json")
    assert "/user/signup" in description["paths"]
    page = await hospital.http.get("/docs")
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert "http://" not in page.text and "https://" not in page.text  # noqa: PT018
    assert (await hospital.http.get("/docs/swagger-ui-bundle.js")).status_code == 200
