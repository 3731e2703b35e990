"""The authorization endpoint and its pages: who is led back to the app with what, and who is not."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from tests.smart_server import BASE, ORIGIN, REDIRECT, App, Browser, SmartServer, answered, forms_of

SCOPE = "openid fhirUser launch/patient patient/Patient.rs patient/Observation.rs"


@pytest.fixture
async def app(smart: SmartServer) -> App:
    """An app, and a patient who may use it."""
    await smart.services.resources.database.ensure(("Patient",))
    await smart.add_user("anna", "patient", "Patient/a")
    return await smart.add_client()


async def _consent_page(browser: Browser, app: App, scope: str = SCOPE, **parameters: str | None) -> httpx.Response:
    return await browser.sign_in(await browser.get(app.authorize_url(scope, **parameters)), "anna")


async def test_a_user_who_allows_leads_back_with_a_code_and_the_very_state(smart: SmartServer, app: App) -> None:
    """Checklist 2: the exact redirect URI by 303, with code and the same state, and no error."""
    browser = smart.browser()
    state = "ü&=+%2B \"<>'/?#"
    back = await browser.submit(await _consent_page(browser, app, state=state), "/oauth/consent", button="approve")
    result = answered(back)
    assert result["state"] == state
    assert result["iss"] == BASE
    assert "error" not in result
    assert set(result["code"]) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


async def test_a_request_may_come_by_post(smart: SmartServer, app: App) -> None:
    """Checklist 2: authorize-post works as GET does."""
    browser = smart.browser()
    parameters = parse_qsl(urlsplit(app.authorize_url(SCOPE)).query)
    page = await browser._followed(
        await browser.http.post(
            "/oauth/authorize",
            content=urlencode(parameters),
            headers={"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://app.test"},
        )
    )
    back = await browser.submit(await browser.sign_in(page, "anna"), "/oauth/consent", button="approve")
    assert "code" in answered(back)


async def test_a_user_who_denies_leads_back_with_access_denied(smart: SmartServer, app: App) -> None:
    """Checklist 2: denial is told, with the state and without a code."""
    browser = smart.browser()
    result = answered(await browser.submit(await _consent_page(browser, app), "/oauth/consent", button="deny"))
    assert (result["error"], result["state"]) == ("access_denied", "st&te =1")
    assert "code" not in result


async def test_what_is_unticked_is_not_granted(smart: SmartServer, app: App) -> None:
    """Checklist 2: the granted scopes are exactly the ticked ones, and the others are refused."""
    browser = smart.browser()
    page = await _consent_page(browser, app)
    back = await browser.submit(page, "/oauth/consent", button="approve", drop=["patient/Observation.rs", "fhirUser"])
    token = (await app.exchange(answered(back)["code"])).json()
    assert token["scope"] == "openid launch/patient patient/Patient.rs"
    assert (await smart.fhir(token["access_token"]).get("Observation")).status_code == 403
    assert (await smart.fhir(token["access_token"]).get("Patient")).status_code == 200


async def test_scopes_that_were_not_asked_for_cannot_be_ticked_in(smart: SmartServer, app: App) -> None:
    """A forged consent form cannot add a scope."""
    browser = smart.browser()
    page = await _consent_page(browser, app)
    form = next(form for form in forms_of(page) if form.action == "/oauth/consent")
    pairs = [*form.fields, ("scope", "patient/*.cruds"), ("scope", "system/*.cruds"), ("approve", "true")]
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}
    back = await browser.http.post("/oauth/consent", content=urlencode(pairs), headers=headers)
    token = (await app.exchange(answered(back)["code"])).json()
    assert token["scope"] == SCOPE


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.test/"},
        {"redirect_uri": REDIRECT + "/"},
        {"redirect_uri": REDIRECT + "?x=1"},
        {"redirect_uri": REDIRECT + "#x"},
        {"redirect_uri": "https://app.test@evil.test/callback"},
        {"redirect_uri": "https://app.test.evil.test/callback"},
        {"redirect_uri": "https://app.test/x/../callback"},
        {"redirect_uri": "http://app.test/callback"},
        {"redirect_uri": "//app.test/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": REDIRECT + "\r\nX-Evil: 1"},
        {"redirect_uri": None},
        {"client_id": "unknown"},
        {"client_id": '"><script>alert(1)</script>'},
        {"client_id": None},
    ],
)
async def test_an_unknown_client_or_redirect_is_told_on_a_page(
    smart: SmartServer, app: App, changes: dict[str, str | None]
) -> None:
    """Attacks 1 and 2: no redirect, and nothing of the request stands in the page unescaped."""
    answer = await smart.http.get(app.authorize_url(SCOPE, **changes))
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "x-evil" not in answer.headers
    assert "<script>" not in answer.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "id_token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"aud": None}, "invalid_request"),
        ({"aud": "https://elsewhere.test/fhir"}, "invalid_request"),
        ({"aud": "http://server.test/fhir.evil.test"}, "invalid_request"),
        ({"aud": "http://server.test/fhir/x"}, "invalid_request"),
        ({"launch": "unknown"}, "invalid_request"),
        ({"scope": "launch patient/*.rs"}, "invalid_request"),
        ({"scope": "nonsense patient/*.sr"}, "invalid_scope"),
        ({"scope": "system/*.rs"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"prompt": "none"}, "login_required"),
        ({"state": "x" * 5000}, "invalid_request"),
    ],
)
async def test_what_is_wrong_with_a_request_is_told_to_the_app(
    smart: SmartServer, app: App, changes: dict[str, str | None], error: str
) -> None:
    """Checklist 2, attacks 3 to 5: an error and the state in the query of the redirect URI, and no code."""
    result = answered(await smart.http.get(app.authorize_url(SCOPE, **changes)))
    assert result["error"] == error
    assert result["state"] == changes.get("state", "st&te =1")
    assert "code" not in result


async def test_a_parameter_that_stands_twice_is_refused(smart: SmartServer, app: App) -> None:
    """Two readers of such a request could understand different things by it."""
    answer = await smart.http.get(app.authorize_url(SCOPE) + "&redirect_uri=https://evil.test/")
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_the_base_with_a_final_slash_is_the_same_aud(smart: SmartServer, app: App) -> None:
    """Checklist 2: client-js passes iss on as it got it."""
    answer = await smart.http.get(app.authorize_url(SCOPE, aud="http://server.test/fhir/"))
    assert answer.headers["location"].startswith("/oauth/login")


async def test_pages_cannot_be_framed_cached_or_scripted(smart: SmartServer, app: App) -> None:
    """Attack 8: strict CSP, no framing, no caching, no referrer to others, HttpOnly SameSite cookies."""
    browser = smart.browser()
    pages = [await browser.get(app.authorize_url(SCOPE)), await browser.get("/oauth/login")]
    pages.append(await browser.sign_in(pages[0], "anna"))
    pages.append(await browser.get("/oauth/apps"))
    for page in pages:
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "same-origin"
        assert "<script" not in page.text
    assert "https://app.test" in pages[2].headers["content-security-policy"]
    cookie = pages[0].headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


async def test_markup_of_others_is_shown_as_text(smart: SmartServer, app: App) -> None:
    """Attacks 8 and 20: a client's name, a user name and a scope cannot bring markup into a page."""
    evil = await smart.add_client(name='<img src=x onerror="alert(1)">')
    browser = smart.browser()
    page = await browser.get(evil.authorize_url(SCOPE, state='"><script>', ui_locales='"><script>'))
    wrong = await browser.sign_in(page, '"><script>alert(1)</script>', "nothing")
    assert wrong.status_code == 401
    consent = await browser.sign_in(wrong, "anna")
    for shown in (page, wrong, consent):
        assert "<img" not in shown.text
        assert "<script" not in shown.text


async def test_pages_speak_spanish_and_english(smart: SmartServer, app: App) -> None:
    """The language is what the browser prefers, what the app asks for, or what the user picks on the page."""
    spanish = await smart.browser().http.get("/oauth/login", headers={"Accept-Language": "es-MX,es;q=0.9,en;q=0.5"})
    assert '<html lang="es">' in spanish.text
    assert "Contraseña" in spanish.text
    requested = await smart.browser().get(app.authorize_url(SCOPE, ui_locales="es"))
    assert '<html lang="es">' in requested.text
    picked = await smart.browser().get("/oauth/login?lang=en")
    assert '<html lang="en">' in picked.text


async def test_a_forged_consent_grants_nothing(smart: SmartServer, app: App) -> None:
    """Attack 6: another session's form, a bare decision, a foreign origin: no code."""
    victim, attacker = smart.browser(), smart.browser()
    await smart.add_user("mallory", "patient", "Patient/m")
    page = await _consent_page(victim, app)
    foreign = await attacker.sign_in(await attacker.get(app.authorize_url(SCOPE)), "mallory")
    own = next(form for form in forms_of(page) if form.action == "/oauth/consent").fields
    theirs = next(form for form in forms_of(foreign) if form.action == "/oauth/consent").fields
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for fields, origin in (
        (theirs, ORIGIN),
        ([pair for pair in own if pair[0] != "csrf"], ORIGIN),
        ([], ORIGIN),
        (own, "https://evil.test"),
        (own, "null"),
    ):
        body = urlencode([*fields, ("approve", "true")])
        answer = await victim.http.post("/oauth/consent", content=body, headers={**form, "Origin": origin})
        assert answer.status_code == 400
        assert "location" not in answer.headers
    anonymous = await smart.browser().http.post(
        "/oauth/consent", content=urlencode([*own, ("approve", "true")]), headers=form
    )
    assert anonymous.headers["location"].startswith("/oauth/login")


async def test_a_session_planted_before_signing_in_is_worth_nothing_after(smart: SmartServer, app: App) -> None:
    """Attack 7: signing in makes a new session; the cookie from before leads to the sign-in page."""
    browser, other = smart.browser(), smart.browser()
    page = await browser.get(app.authorize_url(SCOPE))
    planted = browser.http.cookies["fhir_session"]
    await browser.sign_in(page, "anna")
    assert browser.http.cookies["fhir_session"] != planted
    other.http.cookies.set("fhir_session", planted)
    assert "/oauth/login" in str((await other.get("/oauth/apps")).url)


async def test_a_wrong_password_and_an_unknown_user_look_the_same(smart: SmartServer, app: App) -> None:
    """Attack 9: same status, same words."""
    answers = []
    for username in ("anna", "nobody"):
        browser = smart.browser()
        page = await browser.get("/oauth/login")
        answers.append(await browser.sign_in(page, username, "wrong password"))
    assert answers[0].status_code == answers[1].status_code == 401
    assert [one.text.count("wrong") for one in answers] == [1, 1]


async def test_guessing_is_slowed_down_and_the_owner_still_gets_in(smart: SmartServer, app: App) -> None:
    """Attack 9: after five failures 429 with Retry-After; a browser that the owner used before is not kept out."""
    owner = smart.browser()
    await owner.sign_in(await owner.get("/oauth/login"), "anna")
    attacker = smart.browser()
    statuses = []
    for _ in range(8):
        page = await attacker.get("/oauth/login")
        answer = await attacker.sign_in(page, "anna", "guess guess")
        statuses.append(answer.status_code)
        # However slow the machine is, the last failure was just now: the first waits are short.
        failures = smart.services.database.collection("oauth_failures")
        await failures.update_many({}, [{"$set": {"last": "$$NOW"}}])
    assert statuses[:5] == [401] * 5
    assert statuses[-1] == 429
    assert int(answer.headers["retry-after"]) >= 1
    correct = await attacker.sign_in(await attacker.get("/oauth/login"), "anna")
    assert correct.status_code == 429
    owner.http.cookies.delete("fhir_session")
    again = await owner.sign_in(await owner.get("/oauth/login"), "anna")
    assert str(again.url).endswith("/oauth/apps")


async def test_parallel_guesses_do_not_slip_through(smart: SmartServer, app: App) -> None:
    """Attack 9: an attempt is counted before it is judged, so of many at once few are."""
    pages = [(browser := smart.browser(), await browser.get("/oauth/login")) for _ in range(20)]
    answers = await asyncio.gather(*(browser.sign_in(page, "anna", "guess guess") for browser, page in pages))
    statuses = sorted(answer.status_code for answer in answers)
    assert set(statuses) == {401, 429}
    assert statuses.count(401) <= 6


async def test_a_disabled_user_cannot_sign_in(smart: SmartServer, app: App) -> None:
    """The account is refused as if the password were wrong."""
    user = await smart.store.users.find_by_name("ANNA")
    await smart.store.users.change(user.id, disabled=True)
    browser = smart.browser()
    assert (await browser.sign_in(await browser.get("/oauth/login"), "anna")).status_code == 401
