"""RP-initiated logout: an app's wish ends the session where it is proven or the user agrees, and leads nowhere else."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from fhir_server.cli import accounts
from tests.smart_server import BASE, ORIGIN, App, Browser, SmartServer, answered, forms_of

BYE = "https://app.test/bye"
END = "/oauth/end_session"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def app(smart: SmartServer) -> App:
    """An app that registered where users may return to, and two users."""
    await smart.services.resources.database.ensure(("Patient",))
    await smart.add_user("anna", "patient", "Patient/a")
    await smart.add_user("ben", "patient", "Patient/b")
    return await smart.add_client(post_logout_redirect_uris=[BYE, f"{BYE}?x=1"])


async def _signed_in(smart: SmartServer, app: App, username: str = "anna") -> tuple[Browser, dict[str, Any]]:
    browser = smart.browser()
    page = await browser.get(app.authorize_url("openid online_access patient/Patient.rs"))
    back = await browser.submit(await browser.sign_in(page, username), "/oauth/consent", button="approve")
    return browser, (await app.exchange(answered(back)["code"])).json()


async def _is_signed_in(browser: Browser) -> bool:
    return (await browser.get("/oauth/apps")).url.path == "/oauth/apps"


def _url(**overrides: str | None) -> str:
    return f"{END}?{urlencode({name: value for name, value in overrides.items() if value is not None})}"


async def test_it_is_announced(smart: SmartServer) -> None:
    """OpenID discovery names the endpoint."""
    answer = (await smart.http.get("/fhir/.well-known/openid-configuration")).json()
    assert answer["end_session_endpoint"] == f"{ORIGIN}{END}"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_app_that_proves_whom_it_means_ends_the_session(smart: SmartServer, app: App, method: str) -> None:
    """With the user's id_token nobody is asked: session and online tokens end, the browser returns with the state."""
    browser, token = await _signed_in(smart, app)
    form = {"id_token_hint": token["id_token"], "post_logout_redirect_uri": BYE, "state": "a b&c"}
    if method == "GET":
        answer = await browser.get(_url(**form))
    else:
        # As another site's form comes: without the cookie, which only the redirect brings.
        bare = httpx.AsyncClient(transport=browser.http._transport, base_url=ORIGIN)
        posted = await bare.post(END, content=urlencode(form), headers={**FORM, "Origin": "https://app.test"})
        assert posted.status_code == 303
        answer = await browser.get(posted.headers["location"])
    assert (answer.status_code, answer.headers["location"]) == (303, f"{BYE}?state=a+b%26c")
    assert not await _is_signed_in(browser)
    assert (await smart.fhir(token["access_token"]).get("Patient/a")).status_code == 401
    assert (await app.refresh(token["refresh_token"])).json()["error"] == "invalid_grant"


async def test_the_uri_is_returned_to_as_it_was_registered(smart: SmartServer, app: App) -> None:
    """Without a state nothing is added; a query of its own stays."""
    for uri, state, expected in ((BYE, None, BYE), (f"{BYE}?x=1", "s", f"{BYE}?x=1&state=s")):
        browser, token = await _signed_in(smart, app)
        answer = await browser.get(
            _url(id_token_hint=token["id_token"], post_logout_redirect_uri=uri, state=state, client_id=app.client_id)
        )
        assert answer.headers["location"] == expected


async def test_without_proof_the_user_is_asked(smart: SmartServer, app: App) -> None:
    """A page asks, in the language that the app names; only its button ends the session."""
    for values in ({}, {"client_id": app.client_id}, {"client_id": app.client_id, "post_logout_redirect_uri": BYE}):
        browser, _ = await _signed_in(smart, app)
        page = await browser.get(_url(**values, state="s", ui_locales="es"))
        assert page.url.path == "/oauth/logout"
        assert 'lang="es"' in page.text
        assert ("An app" in page.text) == ("client_id" in values)
        assert await _is_signed_in(browser)
        stayed = await browser.submit(page, "/oauth/logout", button="stay")
        assert stayed.url.path == "/oauth/apps"
        done = await browser.submit(page, "/oauth/logout")
        if "post_logout_redirect_uri" in values:
            assert done.headers["location"] == f"{BYE}?state=s"
        else:
            assert done.status_code == 200
            assert "location" not in done.headers
        assert not await _is_signed_in(browser)


async def test_the_page_runs_nothing_and_leads_to_the_app_alone(smart: SmartServer, app: App) -> None:
    """Its policy allows no script, and its form the app's own address at most."""
    browser, _ = await _signed_in(smart, app)
    for values, allowed in (({}, "form-action 'self'"), ({"post_logout_redirect_uri": BYE}, "'self' https://app.test")):
        page = await browser.get(_url(client_id=app.client_id, **values))
        policy = page.headers["content-security-policy"]
        assert policy.endswith(allowed)
        assert "default-src 'none'" in policy
        assert "<script" not in page.text
        assert page.headers["cache-control"] == "no-store"


async def test_nobody_is_asked_where_nobody_is_signed_in(smart: SmartServer, app: App) -> None:
    """The browser goes on to the app, or sees that it is signed out; no session is touched."""
    _, token = await _signed_in(smart, app)
    browser = smart.browser()
    answer = await browser.get(_url(id_token_hint=token["id_token"], post_logout_redirect_uri=BYE))
    assert answer.headers["location"] == BYE
    assert "signed out" in (await browser.get(END)).text
    assert (await smart.fhir(token["access_token"]).get("Patient")).status_code == 200


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.test/", BYE + "/", BYE + "#x", BYE + "?", BYE + "?x=2", "http://app.test/bye", "//app.test/bye",
        "https://app.test@evil.test/bye", "https://app.test.evil.test/bye", "https://app.test/x/../bye",
        "javascript:alert(1)", BYE + "\r\nX-Evil: 1", "/oauth/apps", "https://app.test/callback", BYE.upper(),
        f" {BYE}",
    ],
)  # fmt: skip
async def test_a_uri_that_is_not_registered_is_never_led_to(smart: SmartServer, app: App, uri: str) -> None:
    """No open redirect, with a good hint neither; the redirect URI of sign-in is none of signing out. Nothing ends."""
    browser, token = await _signed_in(smart, app)
    for values in ({"id_token_hint": token["id_token"]}, {"client_id": app.client_id}, {}):
        answer = await browser.get(_url(**values, post_logout_redirect_uri=uri))
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "x-evil" not in answer.headers
        assert "<script>" not in answer.text
    assert await _is_signed_in(browser)


async def test_a_hint_of_another_client_opens_nothing(smart: SmartServer, app: App) -> None:
    """An app returns to its own address by its own hint: not with another's id_token, and not in another's name."""
    other = await smart.add_client(post_logout_redirect_uris=["https://other.test/bye"])
    browser, token = await _signed_in(smart, app)
    for values in (
        {"id_token_hint": token["id_token"], "client_id": other.client_id},
        {"id_token_hint": token["id_token"], "post_logout_redirect_uri": "https://other.test/bye"},
        {"id_token_hint": token["id_token"], "client_id": other.client_id, "post_logout_redirect_uri": BYE},
        {"client_id": other.client_id, "post_logout_redirect_uri": BYE},
        {"client_id": "unknown", "post_logout_redirect_uri": BYE},
    ):
        answer = await browser.get(_url(**values))
        assert (answer.status_code, answer.headers.get("location")) == (400, None)
    assert await _is_signed_in(browser)


async def test_the_hint_of_another_user_ends_nobodys_session(smart: SmartServer, app: App) -> None:
    """Who has an id_token of their own cannot sign others out with it: those are asked."""
    _, own = await _signed_in(smart, app, "ben")
    victim, token = await _signed_in(smart, app)
    page = await victim.get(_url(id_token_hint=own["id_token"], post_logout_redirect_uri=BYE))
    assert (page.status_code, page.url.path) == (200, "/oauth/logout")
    sealed = dict(forms_of(page)[0].fields)["request"]
    straight = await victim.get("/oauth/logout/now?" + urlencode({"request": sealed}))
    assert straight.url.path == "/oauth/logout"
    assert await _is_signed_in(victim)
    assert (await app.refresh(token["refresh_token"])).status_code == 200


def _forged(smart: SmartServer, key: Any, token: str, **changes: Any) -> dict[str, str]:
    """Return id_tokens that this server did not sign, by how each was made."""
    encoded_header, encoded_claims, signature = token.split(".")
    header = json.loads(base64.urlsafe_b64decode(encoded_header + "=="))
    claims = json.loads(base64.urlsafe_b64decode(encoded_claims + "==")) | changes

    def packed(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    stranger = RSAKey.generate_key(2048)
    return {
        "none": f"{packed({'alg': 'none'})}.{packed(claims)}.",
        "None": f"{packed({**header, 'alg': 'None'})}.{packed(claims)}.{signature}",
        "tampered": f"{encoded_header}.{packed({**claims, 'aud': 'x'})}.{signature}",
        "stranger": jwt.encode({"alg": "RS256", "kid": header["kid"]}, claims, stranger),
        "own key": jwt.encode({"alg": "RS256", "jwk": stranger.as_dict(private=False)}, claims, stranger),
        "other kid": jwt.encode({"alg": "RS256", "kid": "x"}, claims, key.key),
        "other algorithm": jwt.encode({"alg": "RS512", "kid": header["kid"]}, claims, key.key, algorithms=["RS512"]),
        "other issuer": jwt.encode({"alg": "RS256", "kid": header["kid"]}, {**claims, "iss": ORIGIN}, key.key),
        "several": jwt.encode({"alg": "RS256", "kid": header["kid"]}, {**claims, "aud": [claims["aud"]]}, key.key),
        "cut": token[:-4], "empty": "..", "text": "x", "long": "x" * 20_000,
        "list kid": f"{packed({'alg': 'RS256', 'kid': []})}.e30.e30",
        "nul": "\x00", "not a token": packed(claims),
    }  # fmt: skip


async def test_what_this_server_did_not_sign_proves_nothing(smart: SmartServer, app: App) -> None:
    """Algorithm none, a foreign or embedded key, another algorithm, tampered claims: asked, or refused."""
    browser, token = await _signed_in(smart, app)
    key = await smart.store.keys.current()
    for how, hint in _forged(smart, key, token["id_token"]).items():
        page = await browser.get(_url(id_token_hint=hint, client_id=app.client_id, post_logout_redirect_uri=BYE))
        assert (page.status_code, page.url.path) == (200, "/oauth/logout"), how
        refused = await browser.get(_url(id_token_hint=hint, post_logout_redirect_uri=BYE))
        assert refused.status_code == 400, how
        assert await _is_signed_in(browser), how


async def test_an_expired_hint_and_one_of_an_earlier_key_still_count(smart: SmartServer, app: App) -> None:
    """An id_token names its user after its hour, too, and while its key is still published."""
    browser, token = await _signed_in(smart, app)
    key = await smart.store.keys.current()
    claims = json.loads(base64.urlsafe_b64decode(token["id_token"].split(".")[1] + "=="))
    expired = jwt.encode({"alg": "RS256", "kid": key.id}, {**claims, "exp": 1, "iat": 0}, key.key)
    await accounts.rotate_keys(smart.services, smart.store)
    answer = await browser.get(_url(id_token_hint=expired, post_logout_redirect_uri=BYE))
    assert answer.headers["location"] == BYE
    assert not await _is_signed_in(browser)


async def test_a_forged_form_ends_nothing(smart: SmartServer, app: App) -> None:
    """The decision needs the page's own token and origin, and a wish that this server sealed."""
    browser, _ = await _signed_in(smart, app)
    page = await browser.get(_url(client_id=app.client_id, post_logout_redirect_uri=BYE))
    fields = dict(next(form for form in forms_of(page) if form.action == "/oauth/logout").fields)
    page = await browser.get(app.authorize_url("openid patient/*.rs"))
    elsewhere = dict(forms_of(page)[0].fields)["request"]
    for changes, origin in (
        ({"csrf": "x"}, ORIGIN), ({"csrf": ""}, ORIGIN), ({}, "https://evil.test"), ({"request": "x"}, ORIGIN),
        ({"request": elsewhere}, ORIGIN),
    ):  # fmt: skip
        answer = await browser.http.post(
            "/oauth/logout", content=urlencode(fields | changes), headers={**FORM, "Origin": origin}
        )
        assert (answer.status_code, answer.headers.get("location")) == (400, None)
    for path in ("/oauth/logout", "/oauth/logout/now"):
        answer = await browser.http.get(f"{path}?{urlencode({'request': elsewhere})}")
        assert answer.status_code == 400
    assert (await browser.http.get("/oauth/logout/now")).status_code == 303
    assert await _is_signed_in(browser)
    assert (await browser.get(app.authorize_url("openid", aud=BASE, state=fields["request"]))).status_code == 200
    consent = await browser.http.get("/oauth/consent?" + urlencode({"request": fields["request"]}))
    assert consent.status_code == 400


async def test_where_to_return_to_is_registered(smart: SmartServer) -> None:
    """By the operator's command and by registration, with the rules of redirect URIs."""
    body = {
        "client_name": "A", "redirect_uris": ["https://app.test/x"], "post_logout_redirect_uris": [BYE],
        "token_endpoint_auth_method": "none",
    }  # fmt: skip
    made = await smart.http.post("/oauth/register", json=body)
    assert made.json()["post_logout_redirect_uris"] == [BYE]
    client = await smart.store.clients.find(made.json()["client_id"])
    assert client.post_logout_redirect_uris == (BYE,)
    for wrong in (
        ["http://app.test/bye"],
        ["javascript:alert(1)"],
        [BYE + "#x"],
        [],
        "x",
        [1],
        ["https://u@app.test/"],
    ):
        refused = await smart.http.post("/oauth/register", json={**body, "post_logout_redirect_uris": wrong})
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_redirect_uri")


async def test_it_is_told_in_the_audit_trail(smart: SmartServer, app: App) -> None:
    """One event for a session that ended, with who and by which app; none for a page that only asks."""
    browser, token = await _signed_in(smart, app)
    await browser.get(_url(client_id=app.client_id))
    await browser.get(_url(id_token_hint=token["id_token"], post_logout_redirect_uri=BYE))
    await smart.app.state.audit.flush()
    auditor = smart.fhir(await smart.system_token("system/AuditEvent.rs"))
    answer = (await auditor.get("AuditEvent?subtype=logout&_total=accurate")).json()
    assert answer["total"] == 1
    event = answer["entry"][0]["resource"]
    assert app.client_id in json.dumps(event)
    assert event["agent"][0]["who"]["reference"] == "Patient/a"
    assert urlsplit(BYE).path not in json.dumps(event)
