"""Apps that register themselves: nobody vouches for them, so they get little, lead nowhere else, and are not many."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.auth.clients import redirects
from fhir_server.store.database.mongo import Database
from tests.smart_server import REDIRECT, App, SmartServer, smart_server

APP: dict[str, Any] = {
    "client_name": "App",
    "redirect_uris": ["https://app.test/callback"],
    "token_endpoint_auth_method": "none",
}
BAD_URIS = [
    "javascript:alert(1)",
    "JaVaScRiPt://app.test/%0aalert(1)",
    "data:text/html,x",
    "com.example.app#fragment",
    "https://app.test/callback#",
    "http://app.test/callback",
    "http://localhost.app.test/",
    "http://127.0.0.1@app.test/",
    "http://[::ffff:10.0.0.1]/",
    "https://*.app.test/callback",
    "https://*/callback",
    "https://app.test;script-src/callback",
    "https://app.test,evil.test/callback",
    "https://'unsafe-inline'/callback",
    "https://app.test\\@evil.test/",
    "https://user:secret@app.test/",
    "https:///callback",
    "https://",
    "//app.test/callback",
    "/callback",
    "callback",
    "https://app.test/a b",
    "https://app.test/\r\nSet-Cookie:x=y",
    "https://\u0430pp.test/",
    "https://app.test:0x50/",
    "https://app.test:99999/",
    "https://[::1/",
    "myapp://callback",
    "intent://app.test/#Intent;scheme=https;end",
    "",
]

ORDINARY_URIS = [
    "https://app.test/callback?a=b",
    "https://my_app.intra.test:8443/",
    "https://xn--80ak6aa92e.test/",
    "http://localhost:3000/",
    "http://127.0.0.1/",
    "http://[::1]:8080/",
    "org.example.app:/callback",
]
NAMES = ["", " ", "a\nb", "App\u202eevil", "App\u200b", "\u2066Clinic", "x" * 101, "\ud800", 5]


async def register(server: SmartServer, **changes: Any) -> httpx.Response:
    return await server.http.post("/oauth/register", json={**APP, **changes})


@pytest.mark.parametrize("member", ["redirect_uris", "post_logout_redirect_uris", "initiate_login_uri"])
async def test_no_browser_is_led_to_such_a_uri(smart: SmartServer, member: str) -> None:
    """A registered URI is where codes are sent to: it is one place, of the app's, and nothing that runs."""
    for uri in BAD_URIS:
        refused = await register(smart, **{member: uri if member == "initiate_login_uri" else [uri]})
        assert refused.status_code == 400, uri
        assert refused.json()["error"] in ("invalid_redirect_uri", "invalid_client_metadata"), uri


async def test_ordinary_uris_are_registered(smart: SmartServer) -> None:
    """Names, addresses, ports, and an app's own scheme."""
    for uri in ORDINARY_URIS:
        assert redirects.fault(uri) is None
        assert (await register(smart, redirect_uris=[uri])).status_code == 201, uri


@pytest.mark.parametrize(
    "scope",
    ["system/*.cruds", "user/AuditEvent.rs", "patient/AuditEvent.rs", "ehr_launch", "system/AuditEvent.rs ehr_launch"],
)
async def test_scopes_beyond_are_not_given(smart: SmartServer, scope: str) -> None:
    """Alone they are refused, and beside others left out: in the answer, and of what a token may then be asked for."""
    assert (await register(smart, scope=scope)).json()["error"] == "invalid_client_metadata"
    made = (
        await register(smart, scope=f"patient/*.rs {scope}", token_endpoint_auth_method="client_secret_basic")
    ).json()
    assert made["scope"] == "patient/*.rs"
    form = {"grant_type": "client_credentials", "scope": scope}
    answer = await smart.http.post("/oauth/token", data=form, auth=(made["client_id"], made["client_secret"]))
    assert answer.json()["error"] == "unauthorized_client"


async def test_a_name_is_what_it_looks_like(smart: SmartServer) -> None:
    """No control, direction or invisible characters: a name stands where users decide."""
    for name in NAMES:
        body = json.dumps({**APP, "client_name": name})
        refused = await smart.http.post("/oauth/register", content=body)
        assert refused.status_code == 400, name
        assert refused.json()["error"] == "invalid_client_metadata"


async def test_the_page_says_that_nobody_vouches_for_the_app(smart: SmartServer) -> None:
    """A name that looks like the hospital's is text, beside where the answer goes to and that it registered itself."""
    await smart.add_user("anna", "patient", "Patient/a")
    name = "<img src=x onerror=alert(1)>H\u0430rbour Clinic"
    made = (await register(smart, client_name=name, scope="patient/*.rs launch/patient")).json()
    app = App(smart.http, made["client_id"])
    browser = smart.browser()
    page = await browser.get(app.authorize_url("patient/*.rs", redirect_uri="https://app.test/callback"))
    page = await browser.sign_in(page, "anna")
    assert page.status_code == 200
    assert "<img" not in page.text
    assert "app.test" in page.text
    plain = await smart.add_client("patient/*.rs", name="An app")
    vouched = await browser.get(plain.authorize_url("patient/*.rs"))
    assert vouched.text.count("<p") < page.text.count("<p")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_a_registration_is_nobody_else_s_to_change(smart: SmartServer, method: str) -> None:
    """There is no door to a registration: RFC 7592 is not served; and an id that is sent along is not taken."""
    victim = (await register(smart)).json()["client_id"]
    for path in ("/oauth/register", f"/oauth/register/{victim}", f"/oauth/register?client_id={victim}"):
        assert (await smart.http.request(method, path, json=APP)).status_code in (404, 405)
    other = (await register(smart, client_id=victim, redirect_uris=["https://evil.test/"])).json()
    assert other["client_id"] != victim
    assert (await smart.store.clients.find(victim)).redirect_uris == ("https://app.test/callback",)


async def test_no_flood_of_registrations(database: Database, mongod_url: str, tmp_path: Path) -> None:
    """So many from one address, and no more are stored; what is refused for a fault is not counted."""
    async with smart_server(
        mongod_url, database.name, tmp_path, dynamic_registration=True, max_registrations=10
    ) as server:
        for _ in range(20):
            assert (await register(server, scope="nonsense")).status_code == 400
        answers = await asyncio.gather(*(register(server) for _ in range(40)))
        made = [each for each in answers if each.status_code == 201]
        refused = [each for each in answers if each.status_code == 429]
        assert len(made) + len(refused) == 40
        assert 10 <= len(made) <= 11
        assert all(int(each.headers["Retry-After"]) >= 1 for each in refused)
        assert {each.json()["error"] for each in refused} == {"temporarily_unavailable"}
        clients = await server.services.database.collection("oauth_clients").count_documents({"self_registered": True})
        assert clients == len(made)


async def test_unused_registrations_are_few_and_end(database: Database, mongod_url: str, tmp_path: Path) -> None:
    """Past the limit an unused one older than an hour gives way, else the next is refused; one with a token stays."""
    most = {"max_registrations": 1000, "max_unused_clients": 3, "unused_client_hours": 24}
    async with smart_server(mongod_url, database.name, tmp_path, **most) as server:
        clients = server.services.database.collection("oauth_clients")
        await server.add_user("anna", "patient", "Patient/a")
        ids = [(await register(server, redirect_uris=[REDIRECT])).json()["client_id"] for _ in range(3)]
        await server.launch(App(server.http, ids[0]), "anna", "patient/*.rs")
        ids.append((await register(server)).json()["client_id"])
        refused = await register(server)
        assert (refused.status_code, refused.json()["error"]) == (429, "temporarily_unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        kept = await clients.find({"self_registered": True}).to_list()
        assert {each["_id"] for each in kept} == set(ids)
        assert {each["_id"] for each in kept if "unused_until" in each} == set(ids[1:])

        hour_ago = datetime.now(UTC) + timedelta(hours=23) - timedelta(minutes=1)
        await clients.update_one({"_id": ids[2]}, {"$set": {"unused_until": hour_ago}})
        assert (await register(server)).status_code == 201
        assert await server.store.clients.find(ids[2]) is None
        assert (await register(server)).status_code == 429
        indexes = await clients.index_information()
        assert indexes["unused_until_ttl"]["expireAfterSeconds"] == 0


async def test_unused_registrations_of_before_end_too(smart: SmartServer) -> None:
    """What an earlier build stored without an end gets one at the next start, unless it has had a token."""
    clients = smart.services.database.collection("oauth_clients")
    unused, used = [(await register(smart)).json()["client_id"] for _ in range(2)]
    await clients.update_many({"_id": {"$in": [unused, used]}}, {"$unset": {"unused_until": ""}})
    await clients.update_one({"_id": used}, {"$set": {"used": datetime.now(UTC)}})
    operators = await smart.add_client("patient/*.rs")
    await smart.store.clients.prepare(timedelta(hours=1))
    ending = [each["_id"] async for each in clients.find({"unused_until": {"$exists": True}})]
    assert unused in ending
    assert not {used, operators.client_id} & set(ending)


async def test_a_large_registration_is_refused(smart: SmartServer) -> None:
    """A body, a list or a key set beyond what anybody needs is not stored."""
    many = [f"https://app.test/{number}" for number in range(21)]
    keys = {"keys": [{"kty": "RSA", "kid": str(number), "n": "AQAB", "e": "AQAB"} for number in range(2000)]}
    for changes in (
        {"redirect_uris": many},
        {"jwks": keys, "token_endpoint_auth_method": "private_key_jwt"},
        {"software_statement": "x" * 70_000},
    ):
        assert (await register(smart, **changes)).status_code in (400, 413)
