"""When a user must sign in again, and as whom: prompt, max_age, login_hint, id_token_hint, acr_values.

https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
"""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import urlencode

import httpx
import pytest

from tests.smart_server import App, Browser, SmartServer, answered, forms_of

SCOPE = "openid fhirUser online_access patient/Patient.rs"
HOUR = 3600


@pytest.fixture
async def app(smart: SmartServer) -> App:
    """An app, and two users."""
    await smart.services.resources.database.ensure(("Patient",))
    await smart.add_user("anna", "patient", "Patient/a")
    await smart.add_user("ben", "patient", "Patient/b")
    return await smart.add_client()


async def signed_in(smart: SmartServer, app: App, *, seconds_ago: int = 0, username: str = "anna") -> Browser:
    """Return a browser in which the user signed in some time ago."""
    browser = smart.browser()
    await browser.sign_in(await browser.get(app.authorize_url(SCOPE)), username)
    earlier = {"$dateSubtract": {"startDate": "$signed_in", "unit": "second", "amount": seconds_ago}}
    await smart.services.database.collection("oauth_sessions").update_many({}, [{"$set": {"signed_in": earlier}}])
    return browser


def place(page: httpx.Response) -> str:
    """Return which page it is."""
    assert page.status_code == 200, page.text
    return page.url.path


async def claims(app: App, back: httpx.Response) -> dict[str, object]:
    """Return the claims of the id_token that the app gets in the end."""
    token = (await app.exchange(answered(back)["code"])).json()["id_token"]
    part = token.split(".")[1]
    result: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return result


@pytest.mark.parametrize(
    ("requested", "again"),
    [
        ({}, False),
        ({"max_age": "7200"}, False),
        ({"max_age": "999999999999"}, False),
        ({"prompt": "consent"}, False),
        ({"max_age": "600"}, True),
        ({"max_age": "0"}, True),
        ({"prompt": "login"}, True),
        ({"prompt": "select_account"}, True),
        ({"prompt": "login consent"}, True),
        ({"prompt": "consent", "max_age": "60"}, True),
        ({"prompt": "login", "max_age": "7200"}, True),
    ],
)
async def test_who_signed_in_too_long_ago_signs_in_again(
    smart: SmartServer, app: App, requested: dict[str, str], again: bool
) -> None:
    """Once, then the user decides; the id_token says when that was."""
    browser = await signed_in(smart, app, seconds_ago=HOUR)
    before = int(time.time())
    page = await browser.get(app.authorize_url(SCOPE, **requested))
    assert place(page) == ("/oauth/login" if again else "/oauth/consent")
    if again:
        page = await browser.sign_in(page, "anna")
        assert place(page) == "/oauth/consent"
    token = await claims(app, await browser.submit(page, "/oauth/consent", button="approve"))
    assert (int(str(token["auth_time"])) >= before) is again


@pytest.mark.parametrize("requested", [{"max_age": "600"}, {"prompt": "login"}])
async def test_signing_in_again_cannot_be_passed_by(smart: SmartServer, app: App, requested: dict[str, str]) -> None:
    """Neither by opening the consent page with the request, nor by sending its form."""
    browser = await signed_in(smart, app, seconds_ago=HOUR)
    page = await browser.get(app.authorize_url(SCOPE, **requested))
    request = dict(forms_of(page)[0].fields)["request"]
    assert place(await browser.get("/oauth/consent?" + urlencode({"request": request}))) == "/oauth/login"
    other = await browser.get(app.authorize_url(SCOPE))
    sent = await browser.submit(other, "/oauth/consent", button="approve", request=request)
    assert place(sent) == "/oauth/login"


@pytest.mark.parametrize(
    ("requested", "seconds_ago", "error"),
    [
        ({"prompt": "none"}, 0, "consent_required"),
        ({"prompt": "none", "max_age": "600"}, 0, "consent_required"),
        ({"prompt": "none", "max_age": "600"}, HOUR, "login_required"),
        ({"prompt": "none", "max_age": "0"}, HOUR, "login_required"),
    ],
)
async def test_without_a_page_the_app_is_told_what_is_missing(
    smart: SmartServer, app: App, requested: dict[str, str], seconds_ago: int, error: str
) -> None:
    """Prompt none shows nothing."""
    browser = await signed_in(smart, app, seconds_ago=seconds_ago)
    assert answered(await browser.get(app.authorize_url(SCOPE, **requested)))["error"] == error


@pytest.mark.parametrize(
    ("requested", "error"),
    [
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "create"}, "invalid_request"),
        ({"prompt": "Login"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "1.5"}, "invalid_request"),
        ({"max_age": "9" * 400}, "invalid_request"),
        ({"max_age": "\u0663"}, "invalid_request"),
        ({"id_token_hint": "x"}, "invalid_request"),
        ({"registration": "{}"}, "registration_not_supported"),
        ({"acr_values": "phr"}, "unmet_authentication_requirements"),
    ],
)
async def test_what_is_not_done_is_told(smart: SmartServer, app: App, requested: dict[str, str], error: str) -> None:
    """Nothing of it is passed over in silence."""
    assert answered(await smart.http.get(app.authorize_url(SCOPE, **requested)))["error"] == error


async def test_the_name_of_the_hint_stands_in_the_form(smart: SmartServer, app: App) -> None:
    """As text, whatever it is; who is signed in already is not asked for it."""
    page = await smart.browser().get(app.authorize_url(SCOPE, login_hint='an"na<script>'))
    assert dict(forms_of(page)[0].fields)["username"] == 'an"na<script>'
    assert "<script" not in page.text
    page = await smart.browser().get(app.authorize_url(SCOPE, login_hint="x" * 5000))
    assert len(dict(forms_of(page)[0].fields)["username"]) < 300
    browser = await signed_in(smart, app)
    assert place(await browser.get(app.authorize_url(SCOPE, login_hint="anna"))) == "/oauth/consent"


async def test_the_user_of_an_id_token_is_the_one_who_signs_in(smart: SmartServer, app: App) -> None:
    """Another who is signed in, or signs in, is no answer to the app; nor is an id_token of another app."""
    hint = (await smart.launch(app, "anna", SCOPE))["id_token"]
    requested = app.authorize_url(SCOPE, id_token_hint=hint)
    assert place(await (await signed_in(smart, app)).get(requested)) == "/oauth/consent"
    ben = await signed_in(smart, app, username="ben")
    none = app.authorize_url(SCOPE, id_token_hint=hint, prompt="none")
    assert answered(await ben.get(none))["error"] == "login_required"
    page = await ben.get(requested)
    assert place(page) == "/oauth/login"
    assert answered(await ben.sign_in(page, "ben"))["error"] == "login_required"
    assert place(await ben.sign_in(await ben.get(requested), "anna")) == "/oauth/consent"
    other = await smart.add_client()
    assert answered(await smart.http.get(other.authorize_url(SCOPE, id_token_hint=hint)))["error"] == "invalid_request"
