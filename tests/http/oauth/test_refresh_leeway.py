"""A refresh token that its client uses twice: within the leeway both answers work, later it ends the grant."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fhir_server.cli import accounts
from fhir_server.store.database.mongo import Database
from tests.smart_server import App, SmartServer, smart_server

SCOPE = "offline_access patient/*.rs"
LEEWAY = 5


@pytest.fixture
async def app(smart: SmartServer) -> App:
    """An app without a secret, and a patient who uses it."""
    service = smart.fhir(await smart.system_token("system/*.cruds"))
    (await service.put("Patient/a", json={"resourceType": "Patient", "id": "a"})).raise_for_status()
    await smart.add_user("anna", "patient", "Patient/a")
    return await smart.add_client()


async def _works(smart: SmartServer, answer: dict[str, Any]) -> bool:
    return (await smart.fhir(answer["access_token"]).get("Patient/a")).status_code == 200


async def test_a_second_use_within_the_leeway_gets_an_answer_that_works(smart: SmartServer, app: App) -> None:
    """The second answer has an access token of its own, and the refresh token of the first: there is one at a time."""
    first = await smart.launch(app, "anna", SCOPE)
    one = (await app.refresh(first["refresh_token"])).json()
    other = (await app.refresh(first["refresh_token"])).json()
    assert one["access_token"] != other["access_token"]
    assert one["refresh_token"] == other["refresh_token"] != first["refresh_token"]
    for answer in (first, one, other):
        assert await _works(smart, answer)
    assert (await app.refresh(other["refresh_token"])).status_code == 200


async def test_a_use_that_comes_late_gets_the_refresh_token_that_goes_on(smart: SmartServer, app: App) -> None:
    """Where the successor has been used up meanwhile, too, a straggler is given the last of the family."""
    first = await smart.launch(app, "anna", SCOPE)
    second = (await app.refresh(first["refresh_token"])).json()
    third = (await app.refresh(second["refresh_token"])).json()
    straggler = (await app.refresh(first["refresh_token"])).json()
    assert straggler["refresh_token"] == third["refresh_token"]
    assert (await app.refresh(straggler["refresh_token"])).status_code == 200


async def test_a_refresh_token_that_is_used_again_ends_the_family(smart: SmartServer, app: App) -> None:
    """Attack 13: re-use after rotation revokes all, the rotated token and the access tokens too."""
    first = await smart.launch(app, "anna", SCOPE)
    second = (await app.refresh(first["refresh_token"])).json()
    await smart.age_refresh_tokens(LEEWAY)
    assert (await app.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await app.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"
    for token in (first, second):
        assert not await _works(smart, token)


async def test_a_thief_within_the_leeway_is_still_found_out(smart: SmartServer, app: App) -> None:
    """Who steals a token and is as fast as its owner shares the successor: whoever is second to use that ends both."""
    first = await smart.launch(app, "anna", SCOPE)
    owner = (await app.refresh(first["refresh_token"])).json()
    thief = (await app.refresh(first["refresh_token"])).json()
    stolen = (await app.refresh(thief["refresh_token"])).json()
    await smart.age_refresh_tokens(LEEWAY)
    assert (await app.refresh(owner["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await app.refresh(stolen["refresh_token"])).json()["error"] == "invalid_grant"
    assert not await _works(smart, stolen)


async def test_refreshes_at_the_same_instant_all_work_on_every_worker(
    smart: SmartServer, app: App, mongod_url: str, database: Database, tmp_path: Path
) -> None:
    """Twenty at once over two workers: each gets its own access token, all get one refresh token, no family ends."""
    async with smart_server(mongod_url, database.name, tmp_path) as second:
        apps = [app, App(second.http, app.client_id)]
        token = (await smart.launch(app, "anna", SCOPE))["refresh_token"]
        for _ in range(3):
            answers = await asyncio.gather(*(apps[number % 2].refresh(token) for number in range(20)))
            assert [answer.status_code for answer in answers] == [200] * 20
            body = [answer.json() for answer in answers]
            assert len({one["access_token"] for one in body}) == 20
            assert len({one["refresh_token"] for one in body}) == 1
            assert all([await _works(second, one) for one in body])
            token = body[0]["refresh_token"]


@pytest.mark.parametrize("how", ["revoke", "logout", "password", "disable", "remove"])
async def test_the_leeway_opens_nothing_that_was_ended(smart: SmartServer, app: App, how: str) -> None:
    """Within the leeway too: revocation, sign-out, a new password, a disabled account or a removed app end it."""
    scope = "online_access patient/*.rs" if how == "logout" else SCOPE
    browser = smart.browser()
    page = await browser.sign_in(await browser.get(app.authorize_url(scope)), "anna")
    back = await browser.submit(page, "/oauth/consent", button="approve")
    first = (await app.exchange(dict(back.next_request.url.params)["code"])).json()  # type: ignore[union-attr]
    second = (await app.refresh(first["refresh_token"])).json()
    if how == "revoke":
        form = {"token": second["refresh_token"], "client_id": app.client_id}
        assert (await smart.http.post("/oauth/revoke", data=form)).status_code == 200
    elif how == "logout":
        await browser.submit(await browser.get("/oauth/apps"), "/oauth/logout")
    else:
        work: Any = {
            "password": accounts.change_password("anna", "another good password"),
            "disable": accounts.disable_user("anna"),
            "remove": accounts.remove_client(app.client_id),
        }[how]
        await work(smart.services, smart.store)
    for token in (first["refresh_token"], second["refresh_token"]):
        answer = await app.refresh(token)
        assert answer.json()["error"] in ("invalid_grant", "invalid_client")
    assert not await _works(smart, second)


async def test_a_revocation_while_refreshes_run_leaves_nothing(smart: SmartServer, app: App) -> None:
    """Whatever was issued beside a revocation is dead when it has been answered, and stays so."""
    token = (await smart.launch(app, "anna", SCOPE))["refresh_token"]
    form = {"token": token, "client_id": app.client_id}
    revoked = smart.http.post("/oauth/revoke", data=form)
    *answers, done = await asyncio.gather(*(app.refresh(token) for _ in range(8)), revoked)
    assert done.status_code == 200
    for answer in answers:
        if answer.status_code == 200:
            body = answer.json()
            assert not await _works(smart, body)
            assert (await app.refresh(body["refresh_token"])).status_code == 400


async def test_a_spent_token_can_still_be_revoked(smart: SmartServer, app: App) -> None:
    """RFC 7009: a client that signs out with the token it has ends the grant, though another tab has renewed it."""
    first = await smart.launch(app, "anna", SCOPE)
    second = (await app.refresh(first["refresh_token"])).json()
    other = await smart.add_client()
    for client_id, status in ((other.client_id, 200), (app.client_id, 401)):
        form = {"token": first["refresh_token"], "client_id": client_id}
        assert (await smart.http.post("/oauth/revoke", data=form)).status_code == 200
        assert (await smart.fhir(second["access_token"]).get("Patient/a")).status_code == status
    assert (await app.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"


async def test_the_leeway_is_the_client_s_alone(smart: SmartServer, app: App) -> None:
    """Another client gets nothing by a token within its leeway, and does not end the family by trying."""
    first = await smart.launch(app, "anna", SCOPE)
    second = (await app.refresh(first["refresh_token"])).json()
    for other in (await smart.add_client(), await smart.add_client(secret=True)):
        for token in (first["refresh_token"], second["refresh_token"]):
            assert (await other.refresh(token)).json()["error"] == "invalid_grant"
    assert (await app.refresh(second["refresh_token"])).status_code == 200


async def test_a_spent_token_is_not_active(smart: SmartServer, app: App) -> None:
    """Introspection tells of the one that goes on."""
    first = await smart.launch(app, "anna", SCOPE)
    second = (await app.refresh(first["refresh_token"])).json()
    service = await smart.add_client("system/*.rs", secret=True, redirect_uris=[])
    for token, active in ((first["refresh_token"], False), (second["refresh_token"], True)):
        form = {"token": token}
        answer = await smart.http.post("/oauth/introspect", data=form, auth=(service.client_id, service.secret or ""))
        assert answer.json()["active"] is active


async def test_an_answer_that_was_lost_can_be_asked_for_again(smart: SmartServer, app: App) -> None:
    """A worker that dies between the two steps, or a connection that breaks, does not cost the session."""
    token = (await smart.launch(app, "anna", SCOPE))["refresh_token"]
    await smart.store.grants.rotate(token, smart.store.keys.refresh_key())
    answer = (await app.refresh(token)).json()
    assert await _works(smart, answer)
    assert (await app.refresh(answer["refresh_token"])).status_code == 200


async def test_of_parallel_refreshes_at_most_one_wins(mongod_url: str, database: Database, tmp_path: Path) -> None:
    """`refresh_leeway_seconds=0`: of several at the same instant at most one wins, and the grant ends."""
    async with smart_server(mongod_url, database.name, tmp_path, refresh_leeway_seconds=0) as server:
        await server.services.resources.database.ensure(("Patient",))
        await server.add_user("anna", "patient", "Patient/a")
        app = await server.add_client()
        token = (await server.launch(app, "anna", SCOPE))["refresh_token"]
        answers = await asyncio.gather(*(app.refresh(token) for _ in range(5)))
        assert sum(answer.status_code == 200 for answer in answers) <= 1
        for answer in answers:
            if answer.status_code == 200:
                assert (await app.refresh(answer.json()["refresh_token"])).json()["error"] == "invalid_grant"
