"""The page where a practitioner picks a patient: who is found, how far it goes, and that nobody else is shown."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from fhir_server.store.database.mongo import Database
from tests.smart_server import ORIGIN, App, Browser, SmartServer, answered, forms_of, smart_server

SCOPE = "launch/patient patient/*.rs"
RECORD_NUMBER = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}


def _patient(name: str, family: str, values: str, born: str, number: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient", "id": name, "birthDate": born,
        "name": [{"family": family, "given": [values]}, {"use": "old", "family": "Oldname"}],
        "identifier": [
            {"type": RECORD_NUMBER, "system": "urn:records", "value": number},
            {"system": "urn:social-security", "value": f"SSN-{number}"},
        ],
    }  # fmt: skip


PATIENTS = [
    _patient("p1", "Miller", "Anna", "1980-05-01", "A-1"),
    _patient("p2", "Miller", "Anna", "1992-11-30", "A-2"),
    _patient("p3", "Miller", "Ben", "1980-05-01", "B|3"),
    _patient("p4", "Smith, Jr", "<script>alert(1)</script>", "1971-01-01", "C,4"),
]


@pytest.fixture
async def clinic(smart: SmartServer) -> SmartServer:
    """A server with namesakes and odd names, and a doctor who sees all."""
    fhir = smart.fhir(await smart.system_token("system/*.cruds"))
    for patient in PATIENTS:
        assert (await fhir.put(f"Patient/{patient['id']}", json=patient)).status_code == 201
    await smart.add_user("doctor", "practitioner", "Practitioner/d")
    return smart


async def _picker(smart: SmartServer, app: App, username: str = "doctor") -> tuple[Browser, httpx.Response]:
    browser = smart.browser()
    page = await browser.sign_in(await browser.get(app.authorize_url(SCOPE)), username)
    assert page.url.path == "/oauth/patient"
    return browser, page


async def _search(browser: Browser, shown: httpx.Response, /, **typed: str) -> httpx.Response:
    search = next(form for form in forms_of(shown) if (form.action, form.method) == ("/oauth/patient", "get"))
    pairs = [(name, value) for name, value in search.fields if name not in typed] + list(typed.items())
    return await browser.get(f"/oauth/patient?{urlencode(pairs)}")


def _ids(page: httpx.Response) -> list[str]:
    return re.findall(r'name="patient" value="([^"]*)"', page.text)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({}, {"p1", "p2", "p3", "p4"}),
        ({"name": "miller"}, {"p1", "p2", "p3"}),
        ({"name": "anna miller"}, {"p1", "p2"}),
        ({"name": "Miller, Anna"}, {"p1", "p2"}),
        ({"name": "mil"}, {"p1", "p2", "p3"}),
        ({"name": "miller smith"}, set()),
        ({"name": "miller", "born": "1980-05-01"}, {"p1", "p3"}),
        ({"born": "1980-05"}, {"p1", "p3"}),
        ({"born": "1992"}, {"p2"}),
        ({"identifier": "A-2"}, {"p2"}),
        ({"identifier": "B|3"}, {"p3"}),
        ({"identifier": "C,4"}, {"p4"}),
        ({"identifier": "A-1,A-2"}, set()),
        ({"identifier": "SSN-A-1", "name": "anna"}, {"p1"}),
        ({"name": "anna", "identifier": "B|3"}, set()),
        ({"name": "$"}, set()),
        ({"name": "\\"}, set()),
    ],
)
async def test_who_is_found(clinic: SmartServer, typed: dict[str, str], expected: set[str]) -> None:
    """By words of the name in any order, birth date and any number; what is typed is text and no query."""
    browser, page = await _picker(clinic, await clinic.add_client())
    matches = await _search(browser, page, **typed)
    assert set(_ids(matches)) == expected
    assert ("No patient was found" in matches.text) == (not expected)
    for name, value in typed.items():
        assert f'name="{name}"' in matches.text
        assert f'value="{html.escape(value)}"' in matches.text.replace("&#34;", "&quot;")


async def test_namesakes_can_be_told_apart_and_no_other_number_is_shown(clinic: SmartServer) -> None:
    """Each row has name, birth date and record number; other numbers and old names stay away, and markup is text."""
    _, page = await _picker(clinic, await clinic.add_client())
    shown = html.unescape(page.text)
    assert "Anna Miller, born 1980-05-01, no. A-1" in shown
    assert "Anna Miller, born 1992-11-30, no. A-2" in shown
    assert "SSN" not in shown
    assert "Oldname" not in shown
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("born", ["x", "1980-13-99", "gt1900", "1980-05-01,1992", "01.05.1980", "9" * 50])
async def test_what_is_no_date_is_told(clinic: SmartServer, born: str) -> None:
    """A date that cannot be read finds nobody, and is no fault."""
    browser, page = await _picker(clinic, await clinic.add_client())
    matches = await _search(browser, page, born=born)
    assert matches.status_code == 200
    assert not _ids(matches)
    assert "Write the date as" in matches.text or "No patient was found" in matches.text


@pytest.mark.parametrize("page", ["x", "", "'", "x" * 5000])
async def test_a_page_that_is_none_begins_anew(clinic: SmartServer, page: str) -> None:
    """What is no paging token of this search shows the first page of the search that is typed."""
    browser, first = await _picker(clinic, await clinic.add_client())
    matches = await _search(browser, first, name="ben", page=page)
    assert _ids(matches) == ["p3"]


async def test_more_than_a_thousand_can_be_reached(smart: SmartServer) -> None:
    """Every patient stands on one of the pages, once, in the order of the family names; the last can be picked."""
    fhir = smart.fhir(await smart.system_token("system/*.cruds"))
    for begin in range(0, 1100, 550):
        entries = [
            {
                "resource": _patient(f"n{number:04}", f"Family{number:04}", "X", "1990-01-01", f"N{number}"),
                "request": {"method": "PUT", "url": f"Patient/n{number:04}"},
            }
            for number in range(begin, begin + 550)
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        assert (await fhir.post("", json=bundle)).status_code == 200
    await smart.add_user("doctor", "practitioner", "Practitioner/d")
    app = await smart.add_client()
    browser, page = await _picker(smart, app)
    ids = _ids(page)
    while 'name="page"' in page.text:
        form = next(form for form in forms_of(page) if any(name == "page" for name, _ in form.fields))
        page = await browser.get(f"{form.action}?{urlencode(form.fields)}")
        ids += _ids(page)
    assert ids == [f"n{number:04}" for number in range(1100)]
    pick = next(form for form in forms_of(page) if (form.action, form.method) == ("/oauth/patient", "post"))
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}
    body = urlencode([*pick.fields, ("patient", ids[-1])])
    picked = await browser._followed(await browser.http.post(pick.action, content=body, headers=headers))
    token = (
        await app.exchange(answered(await browser.submit(picked, "/oauth/consent", button="approve"))["code"])
    ).json()
    assert token["patient"] == "n1099"


async def test_a_confined_practitioner_finds_and_pages_the_own_patients_alone(
    mongod_url: str, database: Database, tmp_path: Any
) -> None:
    """`staff_sees=treatment`: no word, date, number or page of another's search shows another patient, or picks one."""
    async with smart_server(mongod_url, database.name, tmp_path, staff_sees="treatment") as server:
        fhir = server.fhir(await server.system_token("system/*.cruds"))
        for doctor in ("d", "e"):
            practitioner = {"resourceType": "Practitioner", "id": doctor}
            (await fhir.put(f"Practitioner/{doctor}", json=practitioner)).raise_for_status()
            await server.add_user(f"doctor-{doctor}", "practitioner", f"Practitioner/{doctor}")
        for number in range(50):
            doctor = "d" if number % 2 else "e"
            patient = _patient(f"{doctor}{number}", "Miller", "Anna", "1980-05-01", f"N{number}")
            patient["generalPractitioner"] = [{"reference": f"Practitioner/{doctor}"}]
            (await fhir.put(f"Patient/{patient['id']}", json=patient)).raise_for_status()
        app = await server.add_client()
        browser, page = await _picker(server, app, "doctor-d")
        other, foreign = await _picker(server, app, "doctor-e")
        theirs = next(value for form in forms_of(foreign) for name, value in form.fields if name == "page")
        for typed in ({}, {"name": "miller"}, {"born": "1980"}, {"identifier": "N2"}, {"page": theirs}):
            matches = await _search(browser, page, **typed)
            assert all(one.startswith("d") for one in _ids(matches)), typed
        pick = next(form for form in forms_of(page) if (form.action, form.method) == ("/oauth/patient", "post"))
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}
        for patient_id in ("e2", "nobody", "../Patient/e2", "e2/_history/1", "d1/_history/1", "e2?x=1", "*", ""):
            body = urlencode([*pick.fields, ("patient", patient_id)])
            answer = await browser.http.post(pick.action, content=body, headers=headers)
            assert answer.headers["location"].startswith("/oauth/patient?")
        assert other


async def test_patients_have_no_picker(clinic: SmartServer) -> None:
    """Who is a patient works on the own record, and is led away from the page."""
    await clinic.add_user("anna", "patient", "Patient/p1")
    app, browser = await clinic.add_client(), clinic.browser()
    page = await browser.sign_in(await browser.get(app.authorize_url(SCOPE)), "anna")
    assert page.url.path == "/oauth/consent"
    sealed = dict(forms_of(page)[0].fields)["request"]
    led = await browser.get("/oauth/patient?" + urlencode({"request": sealed}))
    assert led.url.path == "/oauth/consent"
    assert not _ids(led)
