"""Attacks on signing in with providers: whoever lies, replays, mixes up or waits signs in nobody."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt

from fhir_server.auth.outbound import Answer, Outgoing, Refused
from fhir_server.auth.providers.discovery import Discovery, ask_provider, read_metadata
from fhir_server.auth.providers.provider import parse_provider
from tests.identity_provider import CLIENT, DOCTOR, IdentityProvider, new_key, reachable
from tests.smart_server import App, Browser, SmartServer

CALLBACK = "/oauth/providers/idp/callback"


async def _is_signed_in(browser: Browser) -> bool:
    return (await browser.get("/oauth/apps")).url.path == "/oauth/apps"


async def _refused(browser: Browser, page: httpx.Response) -> None:
    assert page.status_code in (400, 403, 503), page.text
    assert not await _is_signed_in(browser)


def _unsigned(header: dict[str, Any], claims: dict[str, Any], alg: str = "none") -> str:
    parts = [json.dumps(part).encode() for part in (header | {"alg": alg}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def _by_public_key(idp: IdentityProvider) -> Callable[[dict[str, Any], dict[str, Any]], str]:
    """Sign by HMAC with the public key as the secret, which everybody knows."""

    def encode(header: dict[str, Any], claims: dict[str, Any]) -> str:
        signed = _unsigned(header, claims, alg="HS256").rstrip(".")
        proof = hmac.digest(idp.key.as_pem(private=False), signed.encode(), "sha256")
        return f"{signed}.{base64.urlsafe_b64encode(proof).rstrip(b'=').decode()}"

    return encode


def _with_own_key(**more: Any) -> Callable[[dict[str, Any], dict[str, Any]], str]:
    key = new_key("k1")

    def encode(header: dict[str, Any], claims: dict[str, Any]) -> str:
        brought = {"jwk": key.as_dict(private=False)} if "jwk" in more else more
        text = jwt.encode(header, claims, key)
        head = base64.urlsafe_b64encode(json.dumps(header | brought).encode()).rstrip(b"=").decode()
        return f"{head}.{text.partition('.')[2]}"

    return encode


@pytest.mark.parametrize("how", ["none", "hmac", "another key", "jwk", "jku", "x5u", "logout token", "unknown kid"])
async def test_a_signature_that_proves_nothing(hospital: SmartServer, idp: IdentityProvider, how: str) -> None:
    """`alg` none, a public key as a secret, a key of somebody's own, a token of another kind."""
    encoders: dict[str, Any] = {
        "none": _unsigned,
        "hmac": _by_public_key(idp),
        "another key": _with_own_key(),
        "jwk": _with_own_key(jwk=True),
        "jku": _with_own_key(jku="https://evil.test/keys"),
        "x5u": _with_own_key(x5u="https://evil.test/keys"),
    }
    idp.encode = encoders.get(how)
    idp.headers = {"logout token": {"typ": "logout+jwt"}, "unknown kid": {"kid": "k9"}}.get(how, {})
    browser = hospital.browser()
    page = await idp.sign_in(browser)
    await _refused(browser, page)
    assert "cannot be used" in page.text  # it was read and refused, and not unreadable


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.test"},
        {"iss": "https://idp.test/realm/"},
        {"aud": "another client"},
        {"aud": [CLIENT, "another client"]},
        {"aud": [CLIENT, "another client"], "azp": "another client"},
        {"azp": "another client"},
        {"exp": 1},
        {"exp": "soon"},
        {"exp": None},
        {"iat": None},
        {"nbf": 4102444800},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 1},
        {"sub": "x" * 256},
        {"at_hash": "wrong"},
    ],
)
async def test_an_id_token_that_is_not_for_this_sign_in(
    hospital: SmartServer, idp: IdentityProvider, changes: dict[str, Any]
) -> None:
    """Of another issuer, audience or time, for another nonce, about nobody."""
    idp.signs = lambda claims: {name: value for name, value in {**claims, **changes}.items() if value is not None}
    browser = hospital.browser()
    await _refused(browser, await idp.sign_in(browser))


@pytest.mark.parametrize("iss", ["https://evil.test", "https://idp.test/realm/", None, ""])
async def test_an_answer_that_names_another_issuer_or_none(
    hospital: SmartServer, idp: IdentityProvider, iss: str | None
) -> None:
    """RFC 9207: a provider that names itself is believed in nothing where another name stands, or none."""
    browser = hospital.browser()
    await _refused(browser, await browser.get(idp.authorize(await idp.begun(browser), iss=iss)))
    assert "/token" not in idp.asked


async def test_a_mix_up_of_two_providers(
    hospital: SmartServer, idp: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A code of the honest one is never sent to the other, though the browser began with that."""
    evil = IdentityProvider("https://evil.test", claims=dict(DOCTOR), metadata={})
    with reachable(monkeypatch, idp, evil):
        await evil.added_to(hospital, id="evil", name="Evil")
        browser = hospital.browser()
        begun = await browser.get("/oauth/providers/evil")
        state = dict(parse_qsl(urlsplit(begun.headers["location"]).query))["state"]
        honest = idp.authorize(await browser.get("/oauth/providers/idp"))
        code = dict(parse_qsl(urlsplit(honest).query))["code"]
        for provider, issuer in (("evil", idp.issuer), ("evil", evil.issuer), ("idp", idp.issuer)):
            begun = await browser.get("/oauth/providers/evil")
            state = dict(parse_qsl(urlsplit(begun.headers["location"]).query))["state"]
            query = urlencode({"state": state, "code": code, "iss": issuer})
            await _refused(browser, await browser.get(f"/oauth/providers/{provider}/callback?{query}"))
        assert "/token" not in idp.asked


async def test_a_subject_of_another_issuer_is_somebody_else(
    hospital: SmartServer, idp: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same `sub`, name and address at another provider lead to no account of the first."""
    await idp.sign_in(hospital.browser())
    other = IdentityProvider("https://other.test", claims={**DOCTOR, "email": "ingrid@hospital.example"})
    with reachable(monkeypatch, idp, other):
        await other.added_to(hospital, id="other", name="Other", accounts={})
        browser = hospital.browser()
        page = await browser.get(other.authorize(await browser.get("/oauth/providers/other")))
        assert page.url.path == "/oauth/link"
        assert not await _is_signed_in(browser)


@pytest.mark.parametrize("verified", [True, False, None])
async def test_an_address_links_nothing(hospital: SmartServer, idp: IdentityProvider, verified: bool | None) -> None:
    """Verified or not: whoever can choose an address there would choose that of a patient here."""
    await hospital.add_user("mara@example.org", "patient", "Patient/mara")
    idp.claims = {
        "sub": "p9",
        "email": "mara@example.org",
        "preferred_username": "mara@example.org",
        "email_verified": verified,
    }
    browser = hospital.browser()
    assert (await idp.sign_in(browser)).url.path == "/oauth/link"
    assert not await _is_signed_in(browser)


async def test_an_identifier_of_who_has_an_account_takes_nothing_over(
    hospital: SmartServer, idp: IdentityProvider
) -> None:
    """The account's own proof is needed, whatever the provider says of the person."""
    await hospital.add_user("tom", "practitioner", "Practitioner/tom")
    idp.claims |= {"sub": "d8", "staff_number": "8"}
    browser = hospital.browser()
    assert (await idp.sign_in(browser)).url.path == "/oauth/link"
    assert not await _is_signed_in(browser)


async def test_an_answer_counts_once_and_in_one_browser(hospital: SmartServer, idp: IdentityProvider) -> None:
    """A state of another browser, of an earlier answer, or of nobody; so no code can be injected."""
    victim, attacker = hospital.browser(), hospital.browser()
    answer = idp.authorize(await idp.begun(attacker))
    await _refused(victim, await victim.get(answer))
    await victim.get("/oauth/login")
    await _refused(victim, await victim.get(answer))
    await _refused(attacker, await attacker.get(answer))  # whoever tried with it has used it up
    used = idp.authorize(await idp.begun(victim))
    assert (await victim.get(used)).url.path == "/oauth/apps"
    assert (await victim.get(used)).status_code == 400
    await _refused(attacker, await attacker.get(used))
    for state in ("", "x", "a" * 5000):
        await _refused(attacker, await attacker.get(f"{CALLBACK}?{urlencode({'state': state, 'code': 'c'})}"))


async def test_a_code_of_another_sign_in_is_injected(hospital: SmartServer, idp: IdentityProvider) -> None:
    """A stolen code in an answer to one's own request fails by PKCE and by the nonce."""
    victim, attacker = hospital.browser(), hospital.browser()
    stolen = dict(parse_qsl(urlsplit(idp.authorize(await idp.begun(victim))).query))["code"]
    await _refused(attacker, await attacker.get(idp.authorize(await idp.begun(attacker), code=stolen)))


async def test_a_link_is_the_browsers_own(hospital: SmartServer, idp: IdentityProvider) -> None:
    """An attacker's subject cannot be connected by leading a victim to the page, nor by a form of another site."""
    await hospital.add_user("mara@example.org", "patient", "Patient/mara")
    idp.claims = {"sub": "attacker"}
    attacker, victim = hospital.browser(), hospital.browser()
    page = await idp.sign_in(attacker)
    own = await victim.get("/oauth/login")
    assert own.status_code == 200
    assert (await victim.get(str(page.url))).status_code == 400
    secret = dict(parse_qsl(urlsplit(str(page.url)).query))["request"]
    form = {"username": "mara@example.org", "password": "correct horse", "request": secret}
    for headers in ({"Origin": "https://evil.test"}, {}):
        assert (await attacker.http.post("/oauth/link", data=form, headers=headers)).status_code == 400
    assert await hospital.store.identities.find(idp.issuer, "attacker") is None


async def test_guesses_at_the_link_count_as_guesses(hospital: SmartServer, idp: IdentityProvider) -> None:
    """The page is no second place to try passwords at."""
    await hospital.add_user("mara@example.org", "patient", "Patient/mara")
    idp.claims = {"sub": "attacker"}
    browser = hospital.browser()
    page = await idp.sign_in(browser)
    tries = [
        (await browser.submit(page, "/oauth/link", username="mara@example.org", password=f"guess {number}")).status_code
        for number in range(7)
    ]
    assert tries[0] == 401
    assert tries[-1] == 429


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.test"},
        {"aud": "another client"},
        {"iat": 1},
        {"iat": None},
        {"exp": 1},
        {"jti": None},
        {"sub": None, "sid": None},
        {"events": {}},
        {"events": None},
        {"nonce": "n"},
    ],
)
async def test_a_logout_token_that_is_none(
    hospital: SmartServer, idp: IdentityProvider, changes: dict[str, Any]
) -> None:
    """Nor is an id_token one, nor a token that was sent before, nor one that the provider did not sign."""
    browser = hospital.browser()
    await idp.sign_in(browser)
    other = IdentityProvider(idp.issuer, claims=idp.claims)
    id_token = idp.id_token(None)
    for text in (idp.logout_token(**changes), other.logout_token(), id_token, "x", ""):
        answer = await hospital.http.post("/oauth/providers/idp/back_channel_logout", data={"logout_token": text})
        assert answer.status_code == 400, text
    assert await _is_signed_in(browser)


async def test_a_logout_token_counts_once(hospital: SmartServer, idp: IdentityProvider) -> None:
    """A copy ends no later session."""
    await idp.sign_in(hospital.browser())
    form = {"logout_token": idp.logout_token()}
    url = "/oauth/providers/idp/back_channel_logout"
    assert (await hospital.http.post(url, data=form)).status_code == 200
    browser = hospital.browser()
    await idp.sign_in(browser)
    assert (await hospital.http.post(url, data=form)).status_code == 400
    assert await _is_signed_in(browser)


@pytest.mark.parametrize("internal", [True, False])
@pytest.mark.parametrize("url", ["http://127.0.0.1:1/keys", "https://127.0.0.1:1/keys", "https://[::1]:1/keys"])
async def test_keys_at_an_internal_address(url: str, internal: bool) -> None:
    """A provider, even one of the own network, cannot have this server ask another host of that network."""
    document = {"id": "p", "name": "P", "issuer": "https://127.0.0.2/r", "client_id": "c", "authentication": "none"}
    provider = parse_provider(document | {"internal": internal})
    with pytest.raises(Refused, match=r"public Internet|only https"):
        await ask_provider(provider, url, Outgoing())


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.test"},
        {"issuer": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "//evil.test"},
        {"token_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "https://user:pass@idp.test/keys"},
        {"authorization_endpoint": "https://idp.test/a; script-src *"},
    ],
)
def test_a_discovery_document_that_leads_elsewhere(changes: dict[str, Any]) -> None:
    """Of another issuer, or to what is no address of a web server."""
    idp = IdentityProvider()
    document = {"id": "p", "name": "P", "issuer": idp.issuer, "client_id": "c", "authentication": "none"}
    answer = Answer(200, "application/json", json.dumps(idp.document() | changes).encode())
    with pytest.raises(Refused):
        read_metadata(parse_provider(document), answer)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"issuer": 1}'])
def test_a_discovery_document_that_is_none(body: bytes) -> None:
    """Is told as that."""
    document = {"id": "p", "name": "P", "issuer": "https://idp.test", "client_id": "c", "authentication": "none"}
    with pytest.raises(Refused):
        read_metadata(parse_provider(document), Answer(200, "application/json", body))


async def test_a_provider_that_never_answers_keeps_nobody_waiting(
    hospital: SmartServer, idp: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sign-in elsewhere goes on meanwhile, and the page, too; who waits for it is told in the end."""
    await hospital.add_user("mara@example.org", "patient", "Patient/mara")
    asked, answers = asyncio.Event(), asyncio.Event()

    async def hang(url: str, sent: Outgoing) -> Answer:
        asked.set()
        await answers.wait()
        raise Refused("it cannot be fetched (TimeoutError)")

    slow = IdentityProvider("https://slow.test")
    monkeypatch.setattr(
        IdentityProvider,
        "answer",
        lambda self, url, sent: hang(url, sent) if self is slow else _real_answer(self, url, sent),
    )
    with reachable(monkeypatch, idp, slow):
        await slow.added_to(hospital, id="slow", name="Slow")
        waiting = asyncio.create_task(hospital.browser().get("/oauth/providers/slow"))
        await asked.wait()
        browser, other = hospital.browser(), hospital.browser()
        assert (await browser.sign_in(await browser.get("/oauth/login"), "mara@example.org")).status_code == 200
        assert (await other.get(idp.authorize(await other.get("/oauth/providers/idp")))).url.path == "/oauth/apps"
        answers.set()
        page = await waiting
        assert (page.status_code, "does not answer" in page.text) == (503, True)


_real_answer = IdentityProvider.answer


async def test_a_provider_that_failed_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask for it."""
    idp = IdentityProvider(silent=True)
    document = {"id": "p", "name": "P", "issuer": idp.issuer, "client_id": "c", "authentication": "none"}
    now = [1000.0]
    discovery = Discovery(lambda: now[0])
    with reachable(monkeypatch, idp):
        for _ in range(5):
            with pytest.raises(Refused):
                await discovery.of(parse_provider(document))
        assert len(idp.asked) == 1
        now[0] += 11
        idp.silent = False
        assert (await discovery.of(parse_provider(document))).token_endpoint == idp.url("token")


async def test_sign_ins_that_begin_are_counted_by_address(hospital: SmartServer, idp: IdentityProvider) -> None:
    """So that nobody fills the database with what is never answered."""
    hospital.services.settings.max_provider_sign_ins = 3
    answers = [(await hospital.browser().get("/oauth/providers/idp")).status_code for _ in range(5)]
    assert answers == [303, 303, 303, 429, 429]


async def test_a_request_that_was_not_sealed_here_begins_nothing(
    hospital: SmartServer, app: App, idp: IdentityProvider
) -> None:
    """The way back leads where the app's own request says, or nowhere."""
    for request in ("x", "https://evil.test", "a.b.c"):
        page = await hospital.browser().get(f"/oauth/providers/idp?{urlencode({'request': request})}")
        assert page.status_code == 400
    assert (await hospital.browser().get("/oauth/providers/none")).status_code == 400
    page = await hospital.browser().get("/oauth/signed_out?state=https://evil.test")
    assert page.status_code == 400


async def test_a_secret_is_sealed_and_told_nowhere(hospital: SmartServer, idp: IdentityProvider) -> None:
    """Neither the client's, nor the tokens of a sign-in, stand in the database as they are."""
    await idp.sign_in(hospital.browser())
    stored = ""
    for name in ("oauth_providers", "oauth_provider_sign_ins", "oauth_provider_pending", "oauth_sessions"):
        documents = await hospital.services.database.collection(name).find().to_list()
        stored += str(documents)
    assert "s3cret" not in stored
    assert "eyJ" not in stored
