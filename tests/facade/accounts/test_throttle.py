"""Guessing at passwords: five failures in a quarter of an hour, and then ever longer waits, whoever is guessed at."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.facade_server import PASSWORD, AppUser, Hospital

LOGIN = "/user/login"


async def later(hospital: Hospital, wait: timedelta) -> None:
    """Let time pass since the last failures."""
    failures = hospital.services.database.collection("oauth_failures")
    shift = {"$subtract": ["$last", int(wait.total_seconds() * 1000)]}
    await failures.update_many({}, [{"$set": {"last": shift}}])


async def just_now(hospital: Hospital) -> None:
    """Let the last failures be of this moment, however slow the machine is: the first waits are short."""
    await hospital.services.database.collection("oauth_failures").update_many({}, [{"$set": {"last": "$$NOW"}}])


async def waits(hospital: Hospital, user: AppUser, method: str, path: str, body: dict[str, str]) -> list[int]:
    """Return how long one must wait after five failures, and after each one more."""
    for _ in range(5):
        await user.refused("invalid_credentials", method, path, body)
    collected = []
    for _ in range(4):
        await just_now(hospital)
        response = await user.send(method, path, body)
        assert (response.status_code, response.json()["code"]) == (429, "too_many_attempts")
        collected.append(int(response.headers["retry-after"]))
        await later(hospital, timedelta(seconds=collected[-1]))
        await user.refused("invalid_credentials", method, path, body)
    return collected


@pytest.mark.parametrize("username", ["mara@example.org", "nobody@example.org", "+12075550199", "nobody"])
async def test_the_wait_grows(hospital: Hospital, username: str) -> None:
    """It doubles with each failure, for a name that is known as for one that is not."""
    await hospital.sign_up("mara")
    body = {"username": username, "password": "wrong"}
    assert await waits(hospital, hospital.visitor(), "POST", LOGIN, body) == [1, 2, 4, 8]


async def test_a_name_is_one_however_it_is_written(hospital: Hospital) -> None:
    """Blanks, signs and capitals give no more guesses."""
    await hospital.sign_up("mara", phone="+12075550161")
    for spellings in (
        ("+12075550161", "+1 207 555 0161", "+1-207-555-0161", "+1 (207) 5550161", " +12075550161 "),
        ("mara@example.org", "MARA@example.org", "mara@EXAMPLE.org", " mara@example.org", "Mara@Example.Org"),
    ):
        for username in spellings:
            body = {"username": username, "password": "wrong"}
            await hospital.visitor().refused("invalid_credentials", "POST", LOGIN, body)
        body = {"username": spellings[0], "password": PASSWORD}
        await just_now(hospital)
        await hospital.visitor().refused("too_many_attempts", "POST", LOGIN, body)


async def test_a_sign_in_forgives(hospital: Hospital) -> None:
    """After signing in the earlier failures count no more, and the wait holds for the right password, too."""
    await hospital.sign_up("mara")
    wrong = {"username": "mara@example.org", "password": "wrong"}
    for _ in range(3):
        for _ in range(4):
            await hospital.visitor().refused("invalid_credentials", "POST", LOGIN, wrong)
        await hospital.visitor().ask("POST", LOGIN, wrong | {"password": PASSWORD})


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/user/password", {"current_password": "wrong", "new_password": "another long phrase 7"}),
        ("DELETE", "/user/profile", {"password": "wrong"}),
    ],
)
async def test_a_stolen_token_is_no_place_to_guess_at(
    hospital: Hospital, method: str, path: str, body: dict[str, str]
) -> None:
    """Where a session must say its password the same holds, and signing in elsewhere goes on."""
    mara = await hospital.sign_up("mara")
    assert await waits(hospital, mara, method, path, body) == [1, 2, 4, 8]
    login = {"username": "mara@example.org", "password": PASSWORD}
    await hospital.visitor().ask("POST", LOGIN, login)
