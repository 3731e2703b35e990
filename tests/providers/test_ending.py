"""How a sign-in with a provider ends: here, there, and because the provider says no more that it holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from fhir_server.engine.providers.checks import check_due
from tests.identity_provider import IdentityProvider
from tests.providers.test_accounts import _works_at
from tests.providers.test_sign_in import allowed, status
from tests.smart_server import ORIGIN, App, Browser, SmartServer, answered

BACK_CHANNEL = "/oauth/providers/idp/back_channel_logout"


async def _is_signed_in(browser: Browser) -> bool:
    return (await browser.get("/oauth/apps")).url.path == "/oauth/apps"


async def _signed_in(hospital: SmartServer, idp: IdentityProvider) -> Browser:
    browser = hospital.browser()
    await idp.sign_in(browser)
    assert await _is_signed_in(browser)
    return browser


async def test_who_signs_out_here_is_led_to_sign_out_there(hospital: SmartServer, idp: IdentityProvider) -> None:
    """With the id_token as the hint, and comes back to be told so; the policy of the page lets the form lead there."""
    browser = await _signed_in(hospital, idp)
    page = await browser.get("/oauth/apps")
    assert "form-action 'self' https://idp.test" in page.headers["content-security-policy"]
    away = await browser.submit(page, "/oauth/logout")
    location = urlsplit(away.headers["location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == idp.url("logout")
    asked = dict(parse_qsl(location.query))
    assert asked["post_logout_redirect_uri"] == f"{ORIGIN}/oauth/signed_out"
    assert asked["id_token_hint"].count(".") == 2
    back = await browser.get(f"{asked['post_logout_redirect_uri']}?state={asked['state']}")
    assert "You are signed out" in back.text
    assert not await _is_signed_in(browser)


async def test_an_app_that_signs_its_user_out_gets_the_browser_back_at_last(
    hospital: SmartServer, idp: IdentityProvider
) -> None:
    """By way of the provider, with its state."""
    app = await hospital.add_client(post_logout_redirect_uris=["https://app.test/bye"])
    browser = await _signed_in(hospital, idp)
    page = await browser.get(app.authorize_url("openid user/*.rs"))
    back = await browser.submit(page, "/oauth/consent", button="approve")
    id_token = (await app.exchange(answered(back)["code"])).json()["id_token"]
    url = f"/oauth/end_session?id_token_hint={id_token}&post_logout_redirect_uri=https://app.test/bye&state=s9"
    away = await browser.get(url)
    state = dict(parse_qsl(urlsplit(away.headers["location"]).query))["state"]
    last = await browser.get(f"/oauth/signed_out?state={state}")
    assert last.headers["location"] == "https://app.test/bye?state=s9"


@pytest.mark.parametrize("changes", [{}, {"sid": None}, {"sub": None}, {"exp": None}])
async def test_a_logout_token_ends_sessions_grants_and_tokens(
    hospital: SmartServer, app: App, idp: IdentityProvider, changes: dict[str, Any]
) -> None:
    """By session or by subject; at once, and on every worker."""
    tokens, browser = await allowed(hospital, app, idp), await _signed_in(hospital, idp)
    answer = await hospital.http.post(BACK_CHANNEL, data={"logout_token": idp.logout_token(**changes)})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert not await _is_signed_in(browser)
    assert await status(hospital, tokens) == 401
    assert (await app.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_it_ends_nothing_of_others(hospital: SmartServer, idp: IdentityProvider) -> None:
    """Nor another session of the same user, where it names one."""
    ingrid = await _signed_in(hospital, idp)
    idp.claims |= {"sub": "d2", "staff_number": "8", "sid": "s2"}
    tom = await _signed_in(hospital, idp)
    for changes in ({"sid": "s1", "sub": "d2"}, {"sid": "s2", "sub": "d1"}, {"sid": "s3"}):
        answer = await hospital.http.post(BACK_CHANNEL, data={"logout_token": idp.logout_token(**changes)})
        assert answer.status_code == 200
    assert await _is_signed_in(ingrid)
    assert await _is_signed_in(tom)
    await hospital.http.post(BACK_CHANNEL, data={"logout_token": idp.logout_token(sid="s2", sub=None)})
    assert await _is_signed_in(ingrid)
    assert not await _is_signed_in(tom)


async def _checked(hospital: SmartServer) -> None:
    """Have the job look, some time after all were looked at last."""
    earlier = {"$set": {"checked": datetime.now(UTC) - timedelta(hours=1)}}
    await hospital.services.database.collection("oauth_provider_sign_ins").update_many({}, earlier)
    server = hospital.app.state.oauth
    await check_due(server.accounts, server.providers)


async def test_whom_the_provider_disables_is_out_after_the_next_check(
    hospital: SmartServer, app: App, idp: IdentityProvider
) -> None:
    """Session, tokens and all; who is not disabled stays, check after check."""
    tokens, browser = await allowed(hospital, app, idp), await _signed_in(hospital, idp)
    await _checked(hospital)
    await _checked(hospital)
    assert await status(hospital, tokens) == 200
    idp.disabled = True
    await _checked(hospital)
    assert await status(hospital, tokens) == 401
    assert not await _is_signed_in(browser)


async def test_the_check_brings_the_groups_of_now(hospital: SmartServer, app: App, idp: IdentityProvider) -> None:
    """A clinic's group that is gone takes the role at the clinic, the last group of staff everything."""
    tokens = await allowed(hospital, app, idp)
    idp.claims["groups"] = ["doctors"]
    await _checked(hospital)
    assert await _works_at(hospital) == {"Location/harbour": False}
    assert await status(hospital, tokens) == 200
    idp.claims["groups"] = []
    await _checked(hospital)
    assert await status(hospital, tokens) == 401


async def test_a_provider_that_is_away_ends_nobodys_work(
    hospital: SmartServer, app: App, idp: IdentityProvider
) -> None:
    """It is asked again; what it says then counts."""
    tokens = await allowed(hospital, app, idp)
    idp.silent = True
    await _checked(hospital)
    assert await status(hospital, tokens) == 200
    idp.silent, idp.disabled = False, True
    hospital.app.state.oauth.providers.party.discovery._kept.clear()
    await _checked(hospital)
    assert await status(hospital, tokens) == 401


async def test_a_sign_in_that_cannot_be_asked_about_ends_at_the_check(
    hospital: SmartServer, app: App, idp: IdentityProvider
) -> None:
    """The provider gave no refresh token: then nobody could say whether the user still may."""
    idp.refreshes = False
    tokens = await allowed(hospital, app, idp)
    assert await status(hospital, tokens) == 200
    await _checked(hospital)
    assert await status(hospital, tokens) == 401
