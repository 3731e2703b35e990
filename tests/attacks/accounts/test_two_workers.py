"""What one worker has been told holds at the other at once: revocations, counts of failures, registrations, nonces."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.server.running import RunningServer

PASSWORD = "korrekt horse 42 staple"
AT_ONCE = 24
"""Connections of their own at a time, so that both workers are asked."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Yield a server of two workers, with accounts."""
    data = tmp_path_factory.mktemp("two-workers")
    settings = {"dynamic_registration": "true", "max_registrations": "40", "log_level": "critical"}
    with RunningServer(data, "--demo", "--workers", "2", open_=False, **settings) as running:
        yield running


def at_once(ask: Callable[[], httpx.Response], times: int = AT_ONCE) -> list[httpx.Response]:
    """Return the answers to requests that are sent at the same time, each on a connection of its own."""
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(lambda _: ask(), range(times)))


def sign_up(server: RunningServer) -> dict[str, Any]:
    name = uuid.uuid4().hex[:12]
    account = {
        "first_name": "Mara",
        "last_name": "Lindqvist",
        "email": f"{name}@example.org",
        "phone": f"+1207555{int(name, 16) % 10000:04}",
        "password": PASSWORD,
    }
    answer = httpx.post(f"{server.origin}/user/signup", json=account, timeout=60)
    assert answer.status_code == 201, answer.text
    return {**answer.json(), "email": account["email"]}


def statuses(answers: list[httpx.Response]) -> set[int]:
    return {answer.status_code for answer in answers}


def test_a_revoked_token_works_nowhere(server: RunningServer) -> None:
    """Both workers remember the token; after the answer to the sign-out neither takes it, at any door."""
    session = sign_up(server)
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    urls = [f"{server.origin}/user/profile", f"{server.base_url}Patient/{session['patient']}"]
    for url in urls:
        assert statuses(at_once(lambda url=url: httpx.get(url, headers=headers, timeout=60))) == {200}
    assert httpx.post(f"{server.origin}/user/logout", headers=headers, timeout=60).status_code == 204
    for url in urls:
        assert statuses(at_once(lambda url=url: httpx.get(url, headers=headers, timeout=60))) == {401}


@pytest.mark.parametrize("door", ["/user/login", "/oauth/login"])
def test_failures_count_at_both(server: RunningServer, door: str) -> None:
    """Parallel guesses at both workers are as many as at one, and the others are told to wait."""
    session = sign_up(server)

    page = httpx.get(f"{server.origin}/oauth/login", timeout=60)
    csrf = page.text.partition('name="csrf" value="')[2].partition('"')[0]

    def guess() -> httpx.Response:
        body = {"username": session["email"], "password": "wrong horse 42 staple"}
        if door == "/user/login":
            return httpx.post(f"{server.origin}{door}", json=body, timeout=60)
        form, headers = {**body, "csrf": csrf}, {"Origin": server.origin}
        return httpx.post(f"{server.origin}{door}", data=form, headers=headers, cookies=page.cookies, timeout=60)

    answers = at_once(guess)
    tried = [answer for answer in answers if answer.status_code != 429]
    assert 5 <= len(tried) <= 7, statuses(answers)
    assert statuses(tried) == {401}


def test_a_registration_is_known_at_once(server: RunningServer) -> None:
    """An app that was registered at one worker begins its launch at the other."""
    app = {"client_name": "App", "redirect_uris": ["https://app.test/"], "token_endpoint_auth_method": "none"}
    for _ in range(4):
        made = httpx.post(f"{server.origin}/oauth/register", json=app, timeout=60)
        assert made.status_code == 201
        body = {
            "response_type": "code",
            "client_id": made.json()["client_id"],
            "redirect_uri": "https://app.test/",
            "scope": "patient/*.rs",
            "aud": server.base_url.rstrip("/"),
            "state": "1234567890",
            "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            "code_challenge_method": "S256",
        }
        url = f"{server.origin}/oauth/authorize?{urlencode(body)}"
        answers = at_once(lambda url=url: httpx.get(url, timeout=60))
        assert statuses(answers) == {303}
        assert all(answer.headers["location"].startswith("/oauth/login") for answer in answers)


def test_registrations_count_at_both(server: RunningServer) -> None:
    """A flood that comes to both workers is one flood."""
    app = {"client_name": "App", "redirect_uris": ["https://app.test/"], "token_endpoint_auth_method": "none"}
    answers = [
        answer
        for _ in range(4)
        for answer in at_once(lambda: httpx.post(f"{server.origin}/oauth/register", json=app, timeout=60))
    ]
    assert statuses(answers) == {201, 429}
    assert sum(answer.status_code == 201 for answer in answers) <= 41


def test_an_assertion_is_good_for_once(server: RunningServer) -> None:
    """Of the same assertion at both workers at once one gets a token."""
    key = ECKey.generate_key("P-384", {"kid": "1"})
    jwks = server.data_dir / "jwks.json"
    jwks.write_text(json.dumps({"keys": [{**key.as_dict(private=False), "kid": "1"}]}))
    command = [sys.executable, "-m", "fhir_server", "client", "add", "--name", "Lab", "--scope", "system/*.rs"]
    done = subprocess.run(
        [*command, "--jwks", str(jwks), "--data-dir", str(server.data_dir)], check=True, capture_output=True, text=True
    )
    client_id, now = json.loads(done.stdout)["client_id"], int(time.time())
    claims = {"iss": client_id, "sub": client_id, "aud": f"{server.origin}/oauth/token", "exp": now + 200, "jti": "1"}
    form = {
        "grant_type": "client_credentials",
        "scope": "system/*.rs",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode({"alg": "ES384", "kid": "1", "typ": "JWT"}, claims, key, algorithms=["ES384"]),
    }
    answers = at_once(lambda: httpx.post(f"{server.origin}/oauth/token", data=form, timeout=60))
    assert sorted(answer.status_code for answer in answers) == [200, *[401] * (AT_ONCE - 1)]


def test_a_refresh_at_both_has_one_successor(server: RunningServer) -> None:
    """Used at both workers at once, a refresh token has one successor at most; who comes second ends the session."""
    session = sign_up(server)

    def refresh(secret: str) -> Callable[[], httpx.Response]:
        return lambda: httpx.post(f"{server.origin}/user/token/refresh", json={"refresh_token": secret}, timeout=60)

    answers = at_once(refresh(session["refresh_token"]), 8)
    following = {answer.json()["refresh_token"] for answer in answers if answer.status_code == 200}
    assert len(following) <= 1
    assert statuses(answers) <= {200, 401}
    assert {refresh(each)().status_code for each in (session["refresh_token"], *following)} == {401}


def test_a_booking_and_its_payment_at_both_are_one(server: RunningServer) -> None:
    """Of many who book a slot at both workers at once one gets it; the payment, sent to both at once, is one."""
    session = sign_up(server)
    doctor = f"{server.origin}/booking/doctors/ingrid-vasari/slots"
    today = datetime.now(UTC).date()
    days = {"from": str(today + timedelta(days=1)), "to": str(today + timedelta(days=14))}
    slot = next(each for each in httpx.get(doctor, params=days, timeout=60).json()["items"] if each["status"] == "free")
    booking = {
        "doctor_id": "ingrid-vasari",
        "clinic_id": slot["clinic_id"],
        "specialty_id": "harbour-general-practice",
        "appointment_date": slot["start"][:10],
        "appointment_time": slot["start"][11:16],
        "reason": "Cough",
    }
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    answers = at_once(
        lambda: httpx.post(f"{server.origin}/booking/appointments", json=booking, headers=headers, timeout=60), 8
    )
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7], [each.text for each in answers]
    appointment = next(answer.json() for answer in answers if answer.status_code == 201)
    payment = {
        "appointment_id": appointment["id"],
        "amount": 90,
        "currency": "USD",
        "payment_method": "card",
        "card_token": "tok_visa",
    }
    paying = at_once(
        lambda: httpx.post(
            f"{server.origin}/booking/payment",
            json=payment,
            headers={**headers, "Idempotency-Key": uuid.uuid4().hex},
            timeout=60,
        ),
        8,
    )
    assert sum(answer.status_code == 201 for answer in paying) == 1, [each.text for each in paying]
    assert statuses(paying) <= {201, 409}
