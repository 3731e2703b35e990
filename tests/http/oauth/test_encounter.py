"""A standalone launch with an encounter: the user picks it after the patient, on a page that needs no JavaScript."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.smart_server import ORIGIN, App, Browser, SmartServer, answered, forms_of

SCOPE = "launch/patient launch/encounter patient/*.rs offline_access"


def _encounter(name: str, patient: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Encounter", "id": name, "status": "finished", "subject": {"reference": f"Patient/{patient}"},
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB", "display": "ambulatory"},
        **more,
    }  # fmt: skip


@pytest.fixture
async def clinic(smart: SmartServer) -> SmartServer:
    """A server with two patients who had encounters, one who had none, and users of each role."""
    fhir = smart.fhir(await smart.system_token("system/*.cruds"))
    for name in ("a", "b", "none"):
        patient = {"resourceType": "Patient", "id": name, "name": [{"text": f"Patient {name}"}]}
        assert (await fhir.put(f"Patient/{name}", json=patient)).status_code == 201
    for encounter in (
        _encounter("a1", period={"start": "2024-03-01T09:30:00Z"}, type=[{"text": "Knee <b>pain</b>"}]),
        _encounter("a2", period={"start": "2025-01-20T11:00:00Z"}),
        _encounter("wrong", status="entered-in-error"),
        _encounter("b1", "b"),
    ):
        assert (await fhir.put(f"Encounter/{encounter['id']}", json=encounter)).status_code == 201
    await smart.add_user("anna", "patient", "Patient/a")
    await smart.add_user("ben", "patient", "Patient/b")
    await smart.add_user("nora", "patient", "Patient/none")
    await smart.add_user("doctor", "practitioner")
    return smart


async def _picker(browser: Browser, app: App, username: str, scope: str = SCOPE, **overrides: str) -> httpx.Response:
    """Return the page after the sign-in, and for a doctor after picking patient A."""
    page = await browser.sign_in(await browser.get(app.authorize_url(scope, **overrides)), username)
    if username != "doctor":
        return page
    form = next(form for form in forms_of(page) if (form.action, form.method) == ("/oauth/patient", "post"))
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}
    answer = await browser.http.post(form.action, content=urlencode([*form.fields, ("patient", "a")]), headers=headers)
    return await browser.get(answer.headers["location"])


async def _tokens(browser: Browser, app: App, page: httpx.Response) -> dict[str, Any]:
    assert page.url.path == "/oauth/consent"
    back = answered(await browser.submit(page, "/oauth/consent", button="approve"))
    answer: dict[str, Any] = (await app.exchange(back["code"])).json()
    return answer


@pytest.mark.parametrize("username", ["anna", "doctor"])
async def test_the_picked_encounter_is_the_context(clinic: SmartServer, username: str) -> None:
    """Patients pick among their own, practitioners among their patient's; it can be read, and stays after a refresh."""
    app, browser = await clinic.add_client(), clinic.browser()
    page = await _picker(browser, app, username)
    assert page.url.path == "/oauth/encounter"
    assert page.text.index("2025-01-20 11:00, ambulatory") < page.text.index("2024-03-01 09:30, Knee &lt;b&gt;pain")
    assert 'value="wrong"' not in page.text
    assert 'value="b1"' not in page.text
    page = await browser.submit(page, "/oauth/encounter", encounter="a1")
    assert "It concerns the encounter 2024-03-01 09:30" in html.unescape(page.text)
    result = await _tokens(browser, app, page)
    assert (result["patient"], result["encounter"]) == ("a", "a1")
    assert "launch/encounter" in result["scope"].split()
    assert (await clinic.fhir(result["access_token"]).get("Encounter/a1")).status_code == 200
    renewed = (await app.refresh(result["refresh_token"])).json()
    assert (renewed["patient"], renewed["encounter"]) == ("a", "a1")


async def test_one_may_go_on_without(clinic: SmartServer) -> None:
    """Then there is no encounter in the answer, and the scope is not granted."""
    app, browser = await clinic.add_client(), clinic.browser()
    page = await browser.submit(await _picker(browser, app, "anna"), "/oauth/encounter", button="none")
    result = await _tokens(browser, app, page)
    assert "encounter" not in result
    assert "launch/encounter" not in result["scope"].split()


@pytest.mark.parametrize(("username", "scope"), [("nora", SCOPE), ("anna", "launch/patient patient/*.rs")])
async def test_nobody_is_asked_in_vain(clinic: SmartServer, username: str, scope: str) -> None:
    """Without an encounter to pick, or an app that asks for one, the consent follows at once."""
    app, browser = await clinic.add_client(), clinic.browser()
    result = await _tokens(browser, app, await _picker(browser, app, username, scope))
    assert "encounter" not in result


async def test_an_encounter_alone_has_a_patient_too(clinic: SmartServer) -> None:
    """An app that asks for an encounter only learns whose it is: it is picked among that patient's."""
    app, browser = await clinic.add_client(), clinic.browser()
    page = await _picker(browser, app, "doctor", "launch/encounter user/*.rs")
    result = await _tokens(browser, app, await browser.submit(page, "/oauth/encounter", encounter="a2"))
    assert (result["patient"], result["encounter"]) == ("a", "a2")


async def test_another_patient_s_encounter_cannot_be_picked(clinic: SmartServer) -> None:
    """Neither by its id in the form, nor in a request that another user has filled in."""
    app, browser = await clinic.add_client(), clinic.browser()
    page = await _picker(browser, app, "anna")
    for encounter in ("b1", "wrong", "nothing", "a1,b1", "../Patient/a"):
        refused = await browser.submit(page, "/oauth/encounter", encounter=encounter)
        assert refused.url.path == "/oauth/encounter"
    picked = await browser.submit(page, "/oauth/encounter", encounter="a1")
    other = clinic.browser()
    await other.sign_in(await other.get("/oauth/login"), "ben")
    page = await other.get(str(picked.url).removeprefix(ORIGIN))
    assert "2024-03-01" not in page.text
    result = await _tokens(other, app, page)
    assert result["patient"] == "b"
    assert "encounter" not in result


async def test_a_foreign_form_picks_nothing(clinic: SmartServer) -> None:
    """The form must be this browser's own, from this server."""
    app, browser = await clinic.add_client(), clinic.browser()
    page = await _picker(browser, app, "anna")
    form = next(form for form in forms_of(page) if form.action == "/oauth/encounter")
    sent = {**dict(form.fields), "encounter": "a1"}
    for changed, origin in (({"csrf": "x"}, ORIGIN), ({}, "https://evil.test")):
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin}
        refused = await browser.http.post("/oauth/encounter", content=urlencode({**sent, **changed}), headers=headers)
        assert refused.status_code == 400


async def test_earlier_encounters_are_a_page_away(clinic: SmartServer) -> None:
    """The latest twenty are shown first; each of the others can be reached."""
    fhir = clinic.fhir(await clinic.system_token("system/*.cruds"))
    for number in range(45):
        start = f"2023-{1 + number // 28:02d}-{1 + number % 28:02d}T08:00:00Z"
        await fhir.put(f"Encounter/n{number}", json=_encounter(f"n{number}", period={"start": start}))
    app, browser = await clinic.add_client(), clinic.browser()
    page, reached = await _picker(browser, app, "anna"), set[str]()
    for _ in range(4):
        reached |= set(re.findall(r'name="encounter" value="([^"]+)"', page.text))
        if not any(form.method == "get" and form.action == "/oauth/encounter" for form in forms_of(page)):
            break
        earlier = next(form for form in forms_of(page) if form.method == "get")
        page = await browser.get(f"/oauth/encounter?{urlencode(earlier.fields)}")
    assert "2023-01-01 08:00" in page.text
    assert reached == {"a1", "a2", *(f"n{number}" for number in range(45))}
    result = await _tokens(browser, app, await browser.submit(page, "/oauth/encounter", encounter="n0"))
    assert result["encounter"] == "n0"


async def test_the_page_speaks_spanish(clinic: SmartServer) -> None:
    """As the app asks by ui_locales."""
    app, browser = await clinic.add_client(), clinic.browser()
    page = await _picker(browser, app, "anna", ui_locales="es")
    assert "Elija un encuentro" in page.text
    assert "Continuar sin encuentro" in page.text


async def test_it_is_advertised(clinic: SmartServer) -> None:
    """As a capability, so that apps know to ask."""
    answer = (await clinic.http.get("/fhir/.well-known/smart-configuration")).json()
    assert {"context-standalone-patient", "context-standalone-encounter"} <= set(answer["capabilities"])


async def test_an_ehr_s_launch_is_not_asked_about(clinic: SmartServer) -> None:
    """The EHR knows whether there is an encounter."""
    app, browser = await clinic.add_client(), clinic.browser()
    token = {"Authorization": f"Bearer {await clinic.system_token('ehr_launch')}"}
    form = {"client_id": app.client_id, "user": "doctor", "patient": "a"}
    launch = (await clinic.http.post("/oauth/launch", json=form, headers=token)).json()["launch"]
    url = app.authorize_url("launch launch/encounter patient/*.rs", launch=launch)
    page = await browser.sign_in(await browser.get(url), "doctor")
    assert "encounter" not in await _tokens(browser, app, page)


async def test_an_encounter_among_more_than_can_be_paged_is_found_by_its_day(clinic: SmartServer) -> None:
    """A patient with more than 1,000 encounters finds each by its day; a day without one says so."""
    fhir = clinic.fhir(await clinic.system_token("system/*.cruds"))
    entries = [
        {
            "resource": _encounter(f"m{number}", period={"start": f"20{10 + number // 365:02}-01-01T08:00:00Z"}),
            "request": {"method": "PUT", "url": f"Encounter/m{number}"},
        }
        for number in range(1100)
    ]
    old = _encounter("old", period={"start": "1999-07-04T10:00:00Z", "end": "1999-07-04T11:00:00Z"})
    entries.append({"resource": old, "request": {"method": "PUT", "url": "Encounter/old"}})
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    assert (await fhir.post("", json=bundle)).status_code == 200
    app, browser = await clinic.add_client(), clinic.browser()
    page = await _picker(browser, app, "anna")
    search = (form for form in forms_of(page) if form.method == "get" and form.types.get("day") == "date")
    form = next(search)
    for day, expected in (("1999-07-05", False), ("x", False), ("1999-07-04", True)):
        fields = [pair for pair in form.fields if pair[0] != "day"]
        page = await browser.get(f"/oauth/encounter?{urlencode([*fields, ('day', day)])}")
        assert ('value="old"' in page.text) is expected
        assert ("no encounters of that day" in page.text) is (day == "1999-07-05")
    result = await _tokens(browser, app, await browser.submit(page, "/oauth/encounter", encounter="old"))
    assert result["encounter"] == "old"
