"""The page of sessions: users see their own, and end one or all."""

from __future__ import annotations

import httpx
import pytest

from tests.smart_server import App, Browser, SmartServer, answered, forms_of

PATH = "/oauth/sessions"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
async def app(smart: SmartServer) -> App:
    """An app, and two users."""
    await smart.services.resources.database.ensure(("Patient",))
    await smart.add_user("anna", "patient", "Patient/a")
    await smart.add_user("ben", "patient", "Patient/b")
    return await smart.add_client()


async def _signed_in(smart: SmartServer, username: str = "anna") -> Browser:
    browser = smart.browser()
    browser.http.headers["User-Agent"] = FIREFOX
    await browser.sign_in(await browser.get("/oauth/login"), username)
    return browser


async def _is_signed_in(browser: Browser) -> bool:
    return (await browser.get(PATH)).url.path == PATH


def _ids(page: httpx.Response) -> list[str]:
    forms = [dict(form.fields) for form in forms_of(page) if form.action == PATH]
    return [fields["session"] for fields in forms]


async def test_users_see_their_own_sessions(smart: SmartServer, app: App) -> None:
    """By the kind of browser, the latest first, and which one this is; nobody else's."""
    await _signed_in(smart)
    second = await _signed_in(smart)
    await _signed_in(smart, "ben")
    page = await second.get(PATH)
    assert len(_ids(page)) == 2
    assert page.text.count("Firefox, Windows") == 2
    assert page.text.index("(this one)") < page.text.rindex("Firefox, Windows")


async def test_a_session_is_ended_with_what_lasts_as_long(smart: SmartServer, app: App) -> None:
    """From another browser; this one, and what was granted for longer, go on."""
    first = await _signed_in(smart)
    tokens = {}
    for scope in ("online_access patient/Patient.rs", "offline_access patient/Patient.rs"):
        page = await first.get(app.authorize_url(f"launch/patient {scope}"))
        back = await first.submit(page, "/oauth/consent", button="approve")
        tokens[scope[:7]] = (await app.exchange(answered(back)["code"])).json()["refresh_token"]
    second = await _signed_in(smart)
    page = await second.get(PATH)
    other = _ids(page)[1]
    await second.submit(page, PATH, session=other)
    assert not await _is_signed_in(first)
    assert await _is_signed_in(second)
    assert (await app.refresh(tokens["online_"])).status_code == 400
    assert (await app.refresh(tokens["offline"])).status_code == 200


async def test_everything_is_ended_at_once(smart: SmartServer, app: App) -> None:
    """All sessions, this one included, and the access of all apps."""
    granted = await smart.launch(app, "anna", "launch/patient offline_access patient/Patient.rs")
    first, second = await _signed_in(smart), await _signed_in(smart)
    await second.submit(await second.get(PATH), f"{PATH}/all", button="all")
    assert not await _is_signed_in(first)
    assert not await _is_signed_in(second)
    assert (await app.refresh(granted["refresh_token"])).status_code == 400


async def test_nobody_ends_anothers(smart: SmartServer, app: App) -> None:
    """Not by its id, not by a form of another site, not without a session."""
    anna, ben = await _signed_in(smart), await _signed_in(smart, "ben")
    ids = _ids(await anna.get(PATH))
    await ben.submit(await ben.get(PATH), PATH, session=ids[0])
    assert await _is_signed_in(anna)
    for browser in (anna, smart.browser()):
        for path in (PATH, f"{PATH}/all"):
            answer = await browser.http.post(path, data={"session": ids[0], "all": "true"})
            assert answer.status_code == 400
    assert await _is_signed_in(anna)
