"""The second factor of accounts with a password: asked for after it, enrolled where it must be, and proven once."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest

from fhir_server.auth.accounts import one_time_codes
from fhir_server.cli import accounts
from fhir_server.http.oauth.authorization import MULTI_FACTOR
from tests.identity_provider import IdentityProvider
from tests.providers.test_sign_in import claims_of
from tests.smart_server import PASSWORD, App, Browser, SmartServer, answered, smart_server

SCOPE = "openid fhirUser user/*.rs"


async def _with_factor(smart: SmartServer, username: str, role: str, fhir_user: str) -> dict[str, Any]:
    """Return what the operator is told who gives a new user a second factor."""
    await smart.add_user(username, role, fhir_user)
    told: dict[str, Any] = await accounts.set_second_factor(username, remove=False)(smart.services, smart.store)
    return told


def code_of(told: dict[str, Any], steps: int = 0) -> str:
    """Return the code that the authenticator shows, some steps later."""
    secret = re.search(r"secret=([A-Z2-7]+)", told["uri"])
    assert secret is not None
    return str(pyotp.TOTP(secret[1]).at(time.time() + 30 * steps))


@pytest.fixture
async def anna(smart: SmartServer) -> dict[str, Any]:
    """Return what was told of Anna's second factor."""
    await smart.services.resources.database.ensure(("Patient", "Practitioner"))
    return await _with_factor(smart, "anna", "practitioner", "Practitioner/anna")


async def _asked(smart: SmartServer, browser: Browser, url: str = "/oauth/login") -> httpx.Response:
    page = await browser.sign_in(await browser.get(url), "anna")
    assert page.url.path == "/oauth/second_factor"
    return page


async def _is_signed_in(browser: Browser) -> bool:
    return (await browser.get("/oauth/apps")).url.path == "/oauth/apps"


async def test_a_password_alone_signs_nobody_in_who_has_a_second_factor(
    smart: SmartServer, anna: dict[str, Any]
) -> None:
    """The code does; and it is what the app is told, by acr and amr."""
    app: App = await smart.add_client()
    browser = smart.browser()
    page = await _asked(smart, browser, app.authorize_url(SCOPE, acr_values=MULTI_FACTOR))
    assert not await _is_signed_in(browser)
    page = await browser.submit(page, "/oauth/second_factor", code=code_of(anna))
    assert page.url.path == "/oauth/consent"
    back = await browser.submit(page, "/oauth/consent", button="approve")
    claims = claims_of((await app.exchange(answered(back)["code"])).json())
    assert (claims["acr"], claims["amr"]) == (MULTI_FACTOR, ["pwd", "otp", "mfa"])


async def test_a_code_counts_once(smart: SmartServer, anna: dict[str, Any]) -> None:
    """Neither it nor an earlier one is taken again, whoever saw it; a recovery code neither."""
    for code, again in (
        (code_of(anna), code_of(anna)),
        (code_of(anna, 1), code_of(anna)),
        (anna["recovery_codes"][0],) * 2,
    ):
        browser, thief = smart.browser(), smart.browser()
        page = await _asked(smart, browser)
        assert (await browser.submit(page, "/oauth/second_factor", code=code)).url.path == "/oauth/apps"
        stolen = await thief.submit(await _asked(smart, thief), "/oauth/second_factor", code=again)
        assert stolen.status_code == 401
        assert not await _is_signed_in(thief)


async def test_what_is_no_code_now_proves_nothing(smart: SmartServer, anna: dict[str, Any]) -> None:
    """And few may be tried: then whoever guesses waits, with the right password, in other browsers, too."""
    for wrong in (
        "",
        "000000",
        code_of(anna, 5),
        "\u0661" * 6,
        "aaaaa-aaaaa",
        *(f"00000{number}" for number in range(9)),
    ):
        browser = smart.browser()
        answer = await browser.submit(await _asked(smart, browser), "/oauth/second_factor", code=wrong)
        assert not await _is_signed_in(browser)
        if answer.status_code == 429:
            break
        assert answer.status_code == 401
    assert int(answer.headers["retry-after"]) > 0


async def test_the_step_between_is_the_browsers_own(smart: SmartServer, anna: dict[str, Any]) -> None:
    """Another browser cannot go on with it, nor a form of another site, nor anybody after the password has changed."""
    browser, other = smart.browser(), smart.browser()
    page = await _asked(smart, browser)
    await other.get("/oauth/login")
    assert (await other.get(str(page.url))).status_code == 400
    form = {"request": page.url.params["request"], "code": code_of(anna)}
    assert (await browser.http.post("/oauth/second_factor", data=form)).status_code == 400
    await accounts.change_password("anna", "another good phrase")(smart.services, smart.store)
    assert (await browser.submit(page, "/oauth/second_factor", code=code_of(anna))).status_code == 400
    assert not await _is_signed_in(browser)


@pytest.fixture
async def strict(mongod_url: str, database_name: str, tmp_path: Path) -> AsyncIterator[SmartServer]:
    """Yield a server that wants a second factor of staff."""
    async with smart_server(mongod_url, database_name, tmp_path, require_second_factor="staff") as server:
        await server.services.resources.database.ensure(("Patient", "Practitioner"))
        await server.add_user("anna", "practitioner", "Practitioner/anna")
        await server.add_user("ben", "patient", "Patient/ben")
        yield server


async def test_staff_enrol_where_they_must(strict: SmartServer) -> None:
    """On the way in, by a first code; recovery codes are shown once, and nobody is signed in before."""
    browser = strict.browser()
    page = await browser.sign_in(await browser.get("/oauth/login"), "anna")
    assert page.url.path == "/oauth/second_factor/enrolment"
    assert "<svg" in page.text
    assert not await _is_signed_in(browser)
    secret = re.search(r"<code>([A-Z2-7 ]+)</code>", page.text)
    assert secret is not None
    code = pyotp.TOTP(secret[1].replace(" ", "")).now()
    assert (await browser.submit(page, "/oauth/second_factor/enrolment", code="000000")).status_code == 401
    shown = await browser.submit(page, "/oauth/second_factor/enrolment", code=code)
    codes = re.findall(r"<code>([a-z2-7]{5}-[a-z2-7]{5})</code>", shown.text)
    assert len(set(codes)) == one_time_codes.RECOVERY_CODES
    assert await _is_signed_in(browser)
    again = strict.browser()
    page = await _asked(strict, again)
    assert (await again.submit(page, "/oauth/second_factor", code=codes[3].upper())).url.path == "/oauth/apps"
    patient = strict.browser()
    assert (await patient.sign_in(await patient.get("/oauth/login"), "ben")).url.path == "/oauth/apps"


async def test_the_apps_login_asks_for_it(smart: SmartServer, anna: dict[str, Any]) -> None:
    """By a challenge, which is answered once with a code; a wrong password is told as before."""
    wrong = await smart.http.post("/user/login", json={"username": "anna", "password": "not it at all"})
    assert wrong.json()["code"] == "invalid_credentials"
    asked = await smart.http.post("/user/login", json={"username": "anna", "password": PASSWORD})
    assert (asked.status_code, asked.json()["code"]) == (401, "second_factor_required")
    answer = {"challenge": asked.json()["challenge"], "code": code_of(anna)}
    for challenge in ("x", anna["id"]):
        body = answer | {"challenge": challenge}
        assert (await smart.http.post("/user/login/second-factor", json=body)).status_code == 401
    assert (await smart.http.post("/user/login/second-factor", json=answer | {"code": "000000"})).status_code == 401
    tokens = await smart.http.post("/user/login/second-factor", json=answer)
    assert tokens.status_code == 200
    assert tokens.json()["access_token"]
    later = answer | {"code": code_of(anna, 1)}
    assert (await smart.http.post("/user/login/second-factor", json=later)).status_code == 401


async def test_the_apps_login_says_where_one_is_missing(strict: SmartServer) -> None:
    """Enrolment is the browser's; patients sign in as the contract says."""
    staff = await strict.http.post("/user/login", json={"username": "anna", "password": PASSWORD})
    assert (staff.status_code, staff.json()["code"]) == (403, "second_factor_missing")


async def test_connecting_a_provider_needs_it_too(
    smart: SmartServer, anna: dict[str, Any], idp: IdentityProvider
) -> None:
    """Else the link would be a way round it."""
    await idp.added_to(smart, accounts={})
    idp.claims = {"sub": "a1"}
    browser = smart.browser()
    page = await idp.sign_in(browser)
    for code in ("", "000000"):
        refused = await browser.submit(page, "/oauth/link", username="anna", password=PASSWORD, code=code)
        assert refused.status_code == 401
    linked = await browser.submit(page, "/oauth/link", username="anna", password=PASSWORD, code=code_of(anna))
    assert linked.url.path == "/oauth/apps"


async def test_the_operator_sets_and_removes_it(smart: SmartServer, anna: dict[str, Any]) -> None:
    """Which ends what was begun before; neither secret nor recovery codes stand in the database as they are."""
    documents = await smart.services.database.collection("oauth_second_factors").find().to_list()
    secret = re.search(r"secret=([A-Z2-7]+)", anna["uri"])
    assert secret is not None
    assert secret[1] not in str(documents)
    assert anna["recovery_codes"][0] not in str(documents)
    await accounts.set_second_factor("anna", remove=True)(smart.services, smart.store)
    browser = smart.browser()
    assert (await browser.sign_in(await browser.get("/oauth/login"), "anna")).url.path == "/oauth/apps"


def test_a_code_holds_for_its_step_and_its_neighbours() -> None:
    """RFC 6238's test secret, at the times of its appendix."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for moment, code in ((59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (2000000000, "279037")):
        step = moment // 30
        assert one_time_codes.step_of(secret, code, moment) == step
        assert one_time_codes.step_of(secret, f" {code[:3]}-{code[3:]} ", moment + 30) == step
        assert one_time_codes.step_of(secret, code, moment + 90) is None
