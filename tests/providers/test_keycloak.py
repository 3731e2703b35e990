"""A day with a real Keycloak: signing in outside, in a real browser, for a SMART app that is launched here.

One test, because Keycloak takes half a minute to start. Needs Java 17, Chromium, and what `make test-data` fetches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from playwright.async_api import Browser, Page, async_playwright

from fhir_server.auth.providers.provider import parse_provider
from fhir_server.cli import accounts
from fhir_server.engine.providers.checks import check_due
from fhir_server.server.app import create_app
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from tests.identity_provider import CLIENT, MAPPING, SECRET
from tests.keycloak import Keycloak, keycloak
from tests.needs import chromium
from tests.providers.conftest import PEOPLE
from tests.smart.over_http import free_port, served
from tests.smart_server import PASSWORD, App

SCOPE = "openid fhirUser offline_access user/*.rs"
REDIRECT = "http://localhost:9/callback"
"""An app of which only the address matters: nobody listens there."""


class Day:
    """The server, Keycloak, a browser, and an app."""

    def __init__(self, server: Any, base: str, browser: Browser, idp: Keycloak) -> None:
        self.server, self.base, self.browser, self.idp = server, base, browser, idp
        self.origin = base.removesuffix("/fhir")

    async def run(self, work: Any) -> Any:
        """Return what an operator's command gives."""
        return await work(self.server.state.services, self.server.state.oauth.store)

    async def signed_in(self, username: str, start: str) -> Page:
        """Return the page that a new browser comes to: opened at `start`, signed in at Keycloak."""
        page = await (await self.browser.new_context()).new_page()
        await page.goto(start)
        await page.click("text=Sign in with Keycloak")
        await page.fill("#username", username)
        await page.fill("#password", username)
        await page.click("#kc-login")
        await page.wait_for_url(f"{self.origin}/**")
        return page

    async def launched(self, username: str, http: httpx.AsyncClient) -> dict[str, Any]:
        """Return the tokens of an app that the user allows everything."""
        made = await self.run(
            accounts.add_client(
                "App", None, secret=False, redirect_uris=[REDIRECT], jwks=None, jwks_uri=None, launch_url=None
            )
        )
        app = App(http, made["client_id"])
        url = app.authorize_url(SCOPE, redirect_uri=REDIRECT, aud=self.base)
        page = await self.signed_in(username, self.origin + url)
        async with page.expect_request(f"{REDIRECT}**") as request:
            await page.click("#approve", no_wait_after=True)
        back = dict(parse_qsl(urlsplit((await request.value).url).query))
        tokens: dict[str, Any] = (await app.exchange(back["code"], redirect_uri=REDIRECT)).json()
        return tokens

    async def read(self, token: str, url: str = "Practitioner/ingrid") -> int:
        """Return how a read by the token is answered."""
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"{self.base}/{url}", headers={"Authorization": f"Bearer {token}"})
        return answer.status_code

    async def works_at(self) -> dict[str, bool]:
        """Return where Ingrid works, and whether she does now."""
        form = {"grant_type": "client_credentials", "scope": "system/PractitionerRole.rs"}
        made = await self.run(_service())
        async with httpx.AsyncClient() as http:
            auth = (made["client_id"], made["client_secret"])
            token = (await http.post(f"{self.origin}/oauth/token", data=form, auth=auth)).json()["access_token"]
            answer = await http.get(f"{self.base}/PractitionerRole", headers={"Authorization": f"Bearer {token}"})
        roles = [entry["resource"] for entry in answer.json().get("entry", [])]
        return {role["location"][0]["reference"]: role["active"] for role in roles}

    async def check(self) -> None:
        """Have all sign-ins checked now."""
        server = self.server.state.oauth
        sign_ins = server.services.database.collection("oauth_provider_sign_ins")
        await sign_ins.update_many({}, {"$set": {"checked": datetime(2020, 1, 1, tzinfo=UTC)}})
        await check_due(server.accounts, server.providers)


def _service() -> Any:
    options: Any = {"redirect_uris": [], "jwks": None, "jwks_uri": None, "launch_url": None}
    return accounts.add_client("Service", "system/*.cruds", secret=True, **options)


@asynccontextmanager
async def day(url: str, name: str, directory: Path) -> AsyncIterator[Day]:
    """Begin the day."""
    executable, port = chromium(), free_port()
    origin = f"http://127.0.0.1:{port}"
    settings = Settings(
        port=port, base_url=f"{origin}/fhir", database_url=url, database_name=name, data_dir=directory,
        log_level="critical", staff_sees="all", publish_definitions=False,
    )  # fmt: skip
    server = create_app(settings)
    async with keycloak(directory, origin) as idp, served(server, port), async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        begun = Day(server, f"{origin}/fhir", browser, idp)
        await _fill(begun)
        yield begun
        await browser.close()


async def _fill(begun: Day) -> None:
    made = await begun.run(_service())
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}} for one in PEOPLE
    ]
    async with httpx.AsyncClient() as http:
        form = {"grant_type": "client_credentials", "scope": "system/*.cruds"}
        auth = (made["client_id"], made["client_secret"])
        token = (await http.post(f"{begun.origin}/oauth/token", data=form, auth=auth)).json()["access_token"]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        headers = {"Authorization": f"Bearer {token}"}
        assert (await http.post(begun.base, json=bundle, headers=headers)).status_code == 200
    await begun.run(accounts.add_user("mara", PASSWORD, "patient", "Patient/mara", create_patient=False))
    document = {
        "id": "keycloak",
        "name": "Keycloak",
        "issuer": begun.idp.issuer,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "internal": True,
        "accounts": MAPPING,
        "tokens": {"machine_clients": ["loader"]},
    }
    await begun.server.state.oauth.store.providers.add(parse_provider(document))
    begun.server.state.oauth.providers._read = float("-inf")


async def test_a_day_with_keycloak(database: Database, mongod_url: str, tmp_path: Path) -> None:
    """Each part says what it shows."""
    async with day(mongod_url, database.name, tmp_path) as today, httpx.AsyncClient(base_url=today.origin) as http:
        await _a_doctor_signs_in_outside_and_launches_an_app(today, http)
        await _a_machine_token_loads_a_bundle(today, http)
        await _a_patient_connects_an_account(today)
        await _keys_rotate_while_requests_run(today, http)
        await _a_group_is_taken_away_and_the_right_is_gone(today)
        await _a_back_channel_logout_ends_all(today, http)
        await _who_signs_out_here_is_signed_out_there(today)
        await _whom_keycloak_disables_is_out(today, http)


async def _a_doctor_signs_in_outside_and_launches_an_app(today: Day, http: httpx.AsyncClient) -> None:
    tokens = await today.launched("ingrid", http)
    assert await today.read(tokens["access_token"]) == 200
    assert await today.works_at() == {"Location/harbour": True}


async def _a_machine_token_loads_a_bundle(today: Day, http: httpx.AsyncClient) -> None:
    resource = {"resourceType": "Patient", "id": "loaded"}
    entry = {"resource": resource, "request": {"method": "PUT", "url": "Patient/loaded"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    headers = {"Authorization": f"Bearer {await today.idp.machine_token()}"}
    assert (await http.post("/fhir", json=bundle, headers=headers)).status_code == 200


async def _a_patient_connects_an_account(today: Day) -> None:
    page = await today.signed_in("mara", f"{today.origin}/oauth/login")
    await page.fill("#username", "mara")
    await page.fill("#password", PASSWORD)
    await page.click("button.main")
    await page.wait_for_url(f"{today.origin}/oauth/apps")
    again = await today.signed_in("mara", f"{today.origin}/oauth/login")
    assert urlsplit(again.url).path == "/oauth/apps"


async def _keys_rotate_while_requests_run(today: Day, http: httpx.AsyncClient) -> None:
    # A key that is not there is looked for at most every half minute; the last look is made to lie further back.
    for key_sets in today.server.state.oauth.providers.party._key_sets.values():
        key_sets._clock = _later(key_sets._clock)
    first, _ = await asyncio.gather(today.launched("ingrid", http), today.idp.rotate_keys())
    second = await today.launched("ingrid", http)
    assert [await today.read(tokens["access_token"]) for tokens in (first, second)] == [200, 200]


def _later(clock: Any) -> Any:
    return lambda: clock() + 31


async def _a_group_is_taken_away_and_the_right_is_gone(today: Day) -> None:
    await today.idp.leave("ingrid", "harbour")
    await today.check()
    assert await today.works_at() == {"Location/harbour": False}


async def _a_back_channel_logout_ends_all(today: Day, http: httpx.AsyncClient) -> None:
    tokens = await today.launched("ingrid", http)
    assert await today.read(tokens["access_token"]) == 200
    await today.idp.manage("POST", f"users/{await today.idp.user('ingrid')}/logout")
    assert await today.read(tokens["access_token"]) == 401


async def _who_signs_out_here_is_signed_out_there(today: Day) -> None:
    page = await today.signed_in("mara", f"{today.origin}/oauth/login")
    await page.click("button.link")
    await page.wait_for_url(f"{today.origin}/oauth/signed_out**")
    await page.goto(f"{today.origin}/oauth/login")
    await page.click("text=Sign in with Keycloak")
    assert await page.locator("#kc-login").is_visible()


async def _whom_keycloak_disables_is_out(today: Day, http: httpx.AsyncClient) -> None:
    tokens = await today.launched("ingrid", http)
    user = await today.idp.user("ingrid")
    await today.idp.manage("PUT", f"users/{user}", {"enabled": False})
    await today.check()
    assert await today.read(tokens["access_token"]) == 401
