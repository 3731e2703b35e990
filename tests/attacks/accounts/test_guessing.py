"""Guessing at passwords: no spelling or door gives more guesses, and strangers do not lock out a known device."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhir_server.auth.accounts import throttle
from fhir_server.engine import sign_in
from fhir_server.store.database.mongo import Database
from tests.facade_server import PASSWORD as APP_PASSWORD
from tests.facade_server import Hospital
from tests.smart_server import PASSWORD, SmartServer, answered, smart_server

ANNA = {"first_name": "Anna", "last_name": "Berg", "email": "anna@example.org", "phone": "+12075550161"}


@pytest.fixture
async def smart(database: Database, mongod_url: str, tmp_path: Path) -> AsyncIterator[SmartServer]:
    """Yield the server with its authorization server."""
    async with smart_server(mongod_url, database.name, tmp_path) as server:
        yield server


async def _try(smart: SmartServer, username: str, password: str) -> int:
    browser = smart.browser()
    return (await browser.sign_in(await browser.get("/oauth/login"), username, password)).status_code


def test_a_network_of_ipv6_counts_as_one_address() -> None:
    """Whoever has one address of a /64 has all of them, so a new one for each attempt is no new count."""
    assert throttle.network("2001:db8:1:2::1") == throttle.network("2001:db8:1:2:ffff::9")
    assert throttle.network("2001:db8:1:2::1") != throttle.network("2001:db8:1:3::1")
    assert throttle.counts("u", "2001:db8::1", None) == throttle.counts("u", "2001:db8::2", None)
    assert throttle.sign_ups("2001:db8::1", 3) == throttle.sign_ups("2001:db8::2", 3)
    assert throttle.counts("u", "192.0.2.1", None) != throttle.counts("u", "192.0.2.2", None)


async def test_one_name_at_both_doors(smart: SmartServer) -> None:
    """However it is written and wherever it is tried, a name has five guesses; a full-width letter is no other one."""
    made = await smart.http.post("/user/signup", json=ANNA | {"password": APP_PASSWORD})
    assert made.status_code == 201
    smart.http.cookies.clear()  # a device that has signed in has a count of its own
    for username in ("anna@example.org", " ANNA@example.org ", "ａnna@example.org"):
        assert await _try(smart, username, "wrong") == 401
    for username in ("anna@EXAMPLE.org", "\u3000anna@example.org"):
        answer = await smart.http.post("/user/login", json={"username": username, "password": "wrong"})
        assert answer.status_code == 401
    # However slow the machine is: the first wait is a second.
    failures = smart.services.database.collection("oauth_failures")
    await failures.update_many({}, [{"$set": {"last": {"$add": ["$$NOW", 60_000]}}}])
    for username in ("Ａnna@example.org", "anna@example.org\u00a0"):
        assert await _try(smart, username, "wrong") == 429
        answer = await smart.http.post("/user/login", json={"username": username, "password": "wrong"})
        assert answer.status_code == 429


async def test_an_address_that_was_given_up_signs_in_nowhere(smart: SmartServer) -> None:
    """After a change the new address signs in at both doors, and the old one at none."""
    made = (await smart.http.post("/user/signup", json=ANNA | {"password": APP_PASSWORD})).json()
    change = {"email": "new@example.org", "current_password": APP_PASSWORD}
    headers = {"Authorization": f"Bearer {made['access_token']}"}
    assert (await smart.http.put("/user/profile", json=change, headers=headers)).status_code == 200
    for username, page, app in (("new@example.org", 200, 200), (ANNA["email"], 401, 401), (ANNA["phone"], 200, 200)):
        assert await _try(smart, username, APP_PASSWORD) == page
        body = {"username": username, "password": APP_PASSWORD}
        assert (await smart.http.post("/user/login", json=body)).status_code == app


async def test_a_username_of_staff_is_nobody_elses(smart: SmartServer) -> None:
    """A patient cannot take the name that a member of staff signs in with."""
    await smart.add_user("doctor@example.org", "practitioner", "Practitioner/p")
    taken = ANNA | {"email": "doctor@example.org", "password": APP_PASSWORD}
    assert (await smart.http.post("/user/signup", json=taken)).status_code == 409
    made = (await smart.http.post("/user/signup", json=ANNA | {"password": APP_PASSWORD})).json()
    change = {"email": "doctor@example.org", "current_password": APP_PASSWORD}
    headers = {"Authorization": f"Bearer {made['access_token']}"}
    assert (await smart.http.put("/user/profile", json=change, headers=headers)).status_code == 409
    assert await _try(smart, "doctor@example.org", PASSWORD) == 200


async def test_a_known_device_is_not_locked_out_by_strangers(hospital: Hospital) -> None:
    """Who has signed in with a device goes on signing in with it, however often others guess from the same address."""
    await hospital.sign_up("mara")
    login = {"username": "mara@example.org", "password": APP_PASSWORD}
    device = (await hospital.visitor().send("POST", "/user/login", login)).cookies["fhir_device"]
    hospital.http.cookies.clear()
    for _ in range(7):
        await hospital.visitor().send("POST", "/user/login", login | {"password": "wrong"})
    failures = hospital.services.database.collection("oauth_failures")
    await failures.update_many({}, [{"$set": {"last": {"$add": ["$$NOW", 60_000]}}}])
    assert (await hospital.visitor().send("POST", "/user/login", login)).status_code == 429
    headers = {"Cookie": f"fhir_device={device}"}
    assert (await hospital.visitor().send("POST", "/user/login", login, headers=headers)).status_code == 200
    other = login | {"username": "nobody@example.org", "password": "wrong"}
    for _ in range(5):
        await hospital.visitor().send("POST", "/user/login", other, headers=headers)
    await failures.update_many({}, [{"$set": {"last": {"$add": ["$$NOW", 60_000]}}}])
    assert (await hospital.visitor().send("POST", "/user/login", other, headers=headers)).status_code == 429


async def test_a_new_password_ends_codes_and_unused_grants(smart: SmartServer) -> None:
    """A code that was given before a password changed is worth nothing after it."""
    await smart.add_user("doctor", "practitioner", "Practitioner/p")
    app = await smart.add_client("openid fhirUser offline_access user/*.rs")
    browser = smart.browser()
    page = await browser.sign_in(await browser.get(app.authorize_url("openid offline_access user/*.rs")), "doctor")
    back = await browser.submit(page, "/oauth/consent", button="approve")
    account = await sign_in.find(smart.store, "doctor")
    assert account is not None
    await sign_in.set_password(smart.services, smart.store, account.id, "another long phrase 7")
    answer = await app.exchange(answered(back)["code"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (await browser.get("/oauth/apps")).url.path == "/oauth/login"
