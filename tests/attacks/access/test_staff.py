"""Staff sees over FHIR only what the hospital's policy says, and cannot write its way to more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.store.database.mongo import Database
from tests.smart_server import SmartServer, answered, smart_server

SECRET = "zebra"


def _about(kind: str, patient: str, **overrides: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": patient, "subject": {"reference": f"Patient/{patient}"}, **overrides}


def _visit(patient: str, *actors: str, visit_id: str = "") -> dict[str, Any]:
    people = [{"actor": {"reference": actor}, "status": "accepted"} for actor in (f"Patient/{patient}", *actors)]
    return {"resourceType": "Appointment", "id": visit_id or patient, "status": "proposed", "participant": people}


def _hospital() -> list[dict[str, Any]]:
    """Return two clinics, a doctor at one of them, and patients: of the doctor, of the doctor's clinic, and of none."""
    return [
        {"resourceType": "Location", "id": "harbour"},
        {"resourceType": "Location", "id": "hillside"},
        {"resourceType": "Location", "id": "room", "partOf": {"reference": "Location/harbour"}},
        *({"resourceType": "Practitioner", "id": name} for name in ("dora", "other")),
        {"resourceType": "PractitionerRole", "id": "dora", "practitioner": {"reference": "Practitioner/dora"},
         "location": [{"reference": "Location/harbour"}]},
        {"resourceType": "PractitionerRole", "id": "past", "active": False,
         "practitioner": {"reference": "Practitioner/dora"}, "location": [{"reference": "Location/hillside"}]},
        *({"resourceType": "Patient", "id": name, "name": [{"family": f"{SECRET}{name}"}]} for name in PATIENTS),
        *(_about("Observation", name, status="final", code={"text": f"{SECRET}{name}"}) for name in PATIENTS),
        _visit("treated", "Practitioner/dora", "Location/harbour"),
        _visit("clinics", "Practitioner/other", "Location/harbour"),
        _about("Encounter", "rooms", status="finished", location=[{"location": {"reference": "Location/room"}}],
               **{"class": {"code": "AMB"}}),
        _visit("strangers", "Practitioner/other", "Location/hillside"),
        {"resourceType": "Binary", "id": "strangers", "contentType": "text/plain", "data": "emVicmE=",
         "securityContext": {"reference": "Patient/strangers"}},
        {"resourceType": "Binary", "id": "open", "contentType": "text/plain", "data": "emVicmE="},
        {"resourceType": "Task", "id": "strangers", "status": "ready", "intent": "order",
         "for": {"reference": "Patient/strangers"}, "description": f"{SECRET}strangers"},
        {"resourceType": "Group", "id": "all", "type": "person", "actual": True, "name": f"{SECRET}strangers",
         "member": [{"entity": {"reference": f"Patient/{name}"}} for name in PATIENTS]},
    ]  # fmt: skip


PATIENTS = ("treated", "clinics", "rooms", "strangers")
SEEN = {
    "clinics": {"treated", "clinics", "rooms"},
    "treatment": {"treated"},
    "all": set(PATIENTS),
}


@pytest.fixture(params=sorted(SEEN))
async def policy(
    request: pytest.FixtureRequest, database: Database, mongod_url: str, tmp_path: Path
) -> AsyncIterator[tuple[str, SmartServer]]:
    """Yield a hospital under each policy."""
    async with smart_server(mongod_url, database.name, tmp_path, staff_sees=request.param) as server:
        await store(server, *_hospital())
        await server.add_user("dora", "practitioner", "Practitioner/dora")
        yield request.param, server


@pytest.fixture
async def by_clinics(database: Database, mongod_url: str, tmp_path: Path) -> AsyncIterator[SmartServer]:
    """Yield a hospital under the default policy."""
    async with smart_server(mongod_url, database.name, tmp_path, staff_sees="clinics") as server:
        await store(server, *_hospital())
        await server.add_user("dora", "practitioner", "Practitioner/dora")
        yield server


async def store(server: SmartServer, *resources: dict[str, Any]) -> None:
    """Store resources as a service of the hospital's does."""
    writer = server.fhir(await server.system_token("system/*.cruds"))
    for resource in resources:
        answer = await writer.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code in (200, 201), answer.text


async def dora(server: SmartServer, scope: str = "user/*.cruds") -> httpx.AsyncClient:
    """Return a client with the doctor's token."""
    return server.fhir(await server.token_for("dora", scope))


WAYS = (
    "Patient?_count=100",
    "Observation?_count=100",
    "Observation?_include=Observation:subject&_count=100",
    "Patient?_revinclude=Observation:subject&_count=100",
    "_history?_count=100",
    "Observation/_history?_count=100",
    "Patient/$everything?_count=100",
    "?_type=Patient,Observation,Task,Group,Binary&_count=100",
    "Group",
    "Task",
)


async def test_every_way_shows_the_patients_of_the_policy(policy: tuple[str, SmartServer]) -> None:
    """Searches, includes, histories and $everything show the records of those patients, and no word of others."""
    name, server = policy
    doctor = await dora(server)
    for way in WAYS:
        text = (await doctor.get(way)).text
        for patient in set(PATIENTS) - SEEN[name]:
            assert f"{SECRET}{patient}" not in text, (way, patient)
    for patient in PATIENTS:
        for place in (f"Patient/{patient}", f"Observation/{patient}", f"Observation/{patient}/_history/1"):
            assert (await doctor.get(place)).status_code == (200 if patient in SEEN[name] else 404), place
    total = (await doctor.get("Patient?_summary=count")).json()["total"]
    assert total == len(SEEN[name])
    count = (await doctor.get(f"Observation?subject:Patient.family={SECRET}strangers&_summary=count")).json()["total"]
    assert count == (name == "all")
    assert (await doctor.get("Binary/open")).status_code == (200 if name == "all" else 404)
    assert (await doctor.get("Location")).json()["total"] == 3


async def test_who_comes_to_the_clinic_is_seen_at_once(by_clinics: SmartServer) -> None:
    """A patient who books at the clinic is seen with the booking, and one whose role ended sees nobody there."""
    doctor = await dora(by_clinics)
    assert (await doctor.get("Patient/strangers")).status_code == 404
    await store(by_clinics, _visit("strangers", "Location/harbour", visit_id="new"))
    assert (await doctor.get("Patient/strangers")).status_code == 200
    writer = by_clinics.fhir(await by_clinics.system_token("system/*.cruds"))
    await writer.delete("PractitionerRole/dora")
    assert (await doctor.get("Patient/strangers")).status_code == 404
    assert (await doctor.get("Patient/treated")).status_code == 200


async def test_staff_does_not_write_its_way_to_a_patient(by_clinics: SmartServer) -> None:
    """No visit, team, role, shared resource or correction of the doctor's makes a stranger one of the doctor's."""
    doctor = await dora(by_clinics)
    people = [{"member": {"reference": "Practitioner/dora"}}]
    attempts = [
        _visit("strangers", "Practitioner/dora", "Location/harbour", visit_id="x"),
        _visit("treated", "Patient/strangers", "Location/harbour", visit_id="x"),
        _about("Encounter", "strangers", status="finished", **{"class": {"code": "AMB"}}),
        _about("CareTeam", "strangers", participant=people),
        _about("Observation", "treated", status="final", code={"text": "x"},
               performer=[{"reference": "Patient/strangers"}]),
        {"resourceType": "Patient", "id": "strangers", "generalPractitioner": [{"reference": "Practitioner/dora"}]},
        {"resourceType": "Patient", "link": [{"other": {"reference": "Patient/strangers"}, "type": "seealso"}]},
    ]  # fmt: skip
    for resource in attempts:
        kind = resource["resourceType"]
        unnamed = {name: value for name, value in resource.items() if name != "id"}
        if kind != "Patient" or "id" not in resource:
            assert (await doctor.post(kind, json=unnamed)).status_code == 403, resource
        if "id" in resource:
            assert (await doctor.put(f"{kind}/{resource['id']}", json=resource)).status_code in (403, 404), resource
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
            {"resource": unnamed, "request": {"method": "POST", "url": kind}}]}  # fmt: skip
        if kind != "Patient" or "link" in resource:
            assert (await doctor.post("", json=bundle)).status_code == 403, resource
    assert (await doctor.get("Patient/strangers")).status_code == 404
    own = _about("Observation", "treated", status="final", code={"text": "x"})
    assert (await doctor.post("Observation", json=own)).status_code == 201
    assert (await doctor.post("Patient", json={"resourceType": "Patient"})).status_code == 201


async def test_staff_does_not_appoint_itself(by_clinics: SmartServer) -> None:
    """Who works where, and whether colleagues may sign in, is the hospital's to write: not a doctor's by any door."""
    doctor = await dora(by_clinics)
    place = [{"reference": "Location/hillside"}]
    role = {"resourceType": "PractitionerRole", "practitioner": {"reference": "Practitioner/dora"}, "location": place}
    hillside = {"resourceType": "Location", "id": "hillside", "partOf": {"reference": "Location/harbour"}}
    retired = {"resourceType": "Practitioner", "id": "other", "active": False}
    patch = {"headers": {"Content-Type": "application/json-patch+json"}}
    entry = {"resource": role, "request": {"method": "POST", "url": "PractitionerRole"}}
    answers = [
        await doctor.post("PractitionerRole", json=role),
        await doctor.put("PractitionerRole/dora", json={**role, "id": "dora"}),
        await doctor.put("PractitionerRole?practitioner=Practitioner/dora&active:not=false", json=role),
        await doctor.patch("PractitionerRole/past", json=[{"op": "remove", "path": "/active"}], **patch),
        await doctor.delete("PractitionerRole/past"),
        await doctor.put("Location/hillside", json=hillside),
        await doctor.post("Location", json={**hillside, "id": "x"}),
        await doctor.put("Practitioner/other", json=retired),
        await doctor.delete("Practitioner/other"),
        await doctor.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": [entry]}),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert "patient's token" not in answers[0].text
    assert (await doctor.get("Patient/strangers")).status_code == 404
    assert (await doctor.get("Practitioner/other/_history")).json()["total"] == 1


async def test_the_picker_shows_the_same(by_clinics: SmartServer) -> None:
    """The page on which a doctor picks a patient for an app shows the doctor's patients only."""
    app = await by_clinics.add_client()
    browser = by_clinics.browser()
    page = await browser.get(app.authorize_url("launch/patient patient/*.rs"))
    page = await browser.sign_in(page, "dora")
    assert f"{SECRET}treated" in page.text
    assert f"{SECRET}strangers" not in page.text


async def test_admins_and_services_are_not_confined(by_clinics: SmartServer) -> None:
    """The policy is about practitioners; one without a FHIR user, or with an unknown one, sees no patient."""
    await by_clinics.add_user("olga", "admin")
    await by_clinics.add_user("nemo", "practitioner")
    await by_clinics.add_user("role", "practitioner", "PractitionerRole/dora")
    totals = {}
    for name in ("olga", "nemo", "role"):
        client = by_clinics.fhir(await by_clinics.token_for(name, "user/*.rs"))
        totals[name] = (await client.get("Patient?_summary=count")).json()["total"]
    assert totals == {"olga": 4, "nemo": 0, "role": 3}


async def _launch_decided(server: SmartServer, username: str, patient: str) -> dict[str, str]:
    """Return what an app is told after an EHR's launch for that user and patient."""
    app = await server.add_client()
    ehr = {"Authorization": f"Bearer {await server.system_token('ehr_launch')}"}
    form = {"client_id": app.client_id, "user": username, "patient": patient}
    prepared = await server.http.post("/oauth/launch", json=form, headers=ehr)
    assert prepared.status_code == 201, prepared.text
    browser = server.browser()
    url = app.authorize_url("launch patient/*.rs", launch=prepared.json()["launch"])
    page = await browser.sign_in(await browser.get(url), username)
    return answered(page if page.status_code != 200 else await browser.submit(page, "/oauth/consent", button="approve"))


async def test_a_launch_opens_no_record_that_the_user_does_not_see(by_clinics: SmartServer) -> None:
    """Whatever patient an EHR launches an app with, the user's own right decides: also somebody related's."""
    await store(by_clinics, {"resourceType": "RelatedPerson", "id": "r", "patient": {"reference": "Patient/rooms"}})
    await by_clinics.add_user("rhea", "practitioner", "RelatedPerson/r")
    assert (await _launch_decided(by_clinics, "dora", "strangers"))["error"] == "access_denied"
    assert (await _launch_decided(by_clinics, "rhea", "strangers"))["error"] == "access_denied"
    assert "code" in await _launch_decided(by_clinics, "dora", "treated")
    assert "code" in await _launch_decided(by_clinics, "rhea", "rooms")


async def test_who_is_under_care_is_no_staff_by_any_policy(policy: tuple[str, SmartServer]) -> None:
    """A user who is a RelatedPerson picks no patient, though the account's role is a practitioner's."""
    _, server = policy
    await server.add_user("rhea", "practitioner", "RelatedPerson/r")
    app = await server.add_client()
    browser = server.browser()
    page = await browser.sign_in(await browser.get(app.authorize_url("launch/patient patient/*.rs")), "rhea")
    assert SECRET not in page.text


async def test_an_app_loses_the_patient_whom_its_user_sees_no_more(by_clinics: SmartServer) -> None:
    """A grant of `patient/` scopes goes no further than its user: each request and each refresh asks anew."""
    app = await by_clinics.add_client()
    ehr = {"Authorization": f"Bearer {await by_clinics.system_token('ehr_launch')}"}
    form = {"client_id": app.client_id, "user": "dora", "patient": "clinics"}
    prepared = (await by_clinics.http.post("/oauth/launch", json=form, headers=ehr)).json()
    browser = by_clinics.browser()
    url = app.authorize_url("launch patient/*.cruds offline_access", launch=prepared["launch"])
    page = await browser.sign_in(await browser.get(url), "dora")
    page = await browser.submit(page, "/oauth/consent", button="approve")
    tokens = (await app.exchange(answered(page)["code"])).json()
    doctor = by_clinics.fhir(tokens["access_token"])
    assert (await doctor.get("Observation/clinics")).status_code == 200
    await store(by_clinics, _visit("clinics", "Practitioner/other", "Location/hillside"))
    refreshed = (await app.refresh(tokens["refresh_token"])).json()
    again = by_clinics.fhir(refreshed["access_token"])
    written = _about("Observation", "clinics", status="final", code={"text": "x"})
    for client in (doctor, again):
        for path in ("Observation/clinics", "Patient/clinics", "Observation", "Patient/clinics/$everything"):
            answer = await client.get(path)
            assert answer.status_code in (403, 404), path
            assert SECRET not in answer.text
        assert (await client.put("Observation/clinics", json=written)).status_code in (403, 404)
    await store(by_clinics, _visit("clinics", "Practitioner/other", "Location/harbour"))
    assert (await doctor.get("Observation/clinics")).status_code == 200
