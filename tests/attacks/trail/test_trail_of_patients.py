"""The audit trail cannot be dodged: however data are asked for, it names their patients and the question."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest

from tests.smart_server import BASE, SmartServer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
NAMES = ["ana", "ben", "cleo"]


@pytest.fixture
async def fhir(smart: SmartServer) -> AsyncIterator[httpx.AsyncClient]:
    """Yield FHIR with all rights, and three patients with two observations each."""
    client = smart.fhir(await smart.system_token("system/*.cruds"))
    for name in NAMES:
        await client.put(f"Patient/{name}", json={"resourceType": "Patient", "id": name, "name": [{"family": name}]})
        for number in "12":
            subject = {"reference": f"Patient/{name}" if number == "1" else f"{BASE}/Patient/{name}"}
            await client.put(f"Observation/{name}{number}", json=_observation(f"{name}{number}", subject))
    await client.put("Basic/nobodys", json={"resourceType": "Basic", "id": "nobodys", "code": {"text": "x"}})
    yield client
    await client.aclose()


def _observation(own_id: str, subject: dict[str, str]) -> dict[str, Any]:
    code = {"coding": [{"code": own_id}]}
    return {"resourceType": "Observation", "id": own_id, "status": "final", "code": code, "subject": subject}


async def _event(smart: SmartServer) -> tuple[set[str], set[str]]:
    """Return whose data the last event tells of, and what was asked."""
    await smart.app.state.audit.flush()
    auditor = smart.fhir(await smart.system_token("system/AuditEvent.rs"))
    page = (await auditor.get("AuditEvent?_sort=-date&_count=10&type=rest")).json()
    events = [entry["resource"] for entry in page["entry"]]
    event = max((each for each in events if "AuditEvent" not in _questions_of(each)), key=lambda each: each["id"])
    values = {entity["what"]["reference"] for entity in event.get("entity", ()) if "what" in entity}
    patients = {reference.partition("/")[2] for reference in values if reference.startswith("Patient/")}
    items = {base64.b64decode(entity["query"]).decode() for entity in event.get("entity", ()) if "query" in entity}
    return patients, items


def _questions_of(event: dict[str, Any]) -> str:
    return str([each.get("description") for each in event.get("entity", ())])


@pytest.mark.parametrize(
    ("path", "patients"),
    [
        ("Patient/ana", {"ana"}),
        ("Observation/ben1", {"ben"}),
        ("Observation/ben2", {"ben"}),
        ("Observation/ben2?_elements=code", {"ben"}),
        ("Observation/ben1/_history/1", {"ben"}),
        ("Observation/ben1/_history", {"ben"}),
        ("Observation/_history?_count=2", {"cleo"}),
        ("Observation/ben1/$meta", {"ben"}),
        ("Observation?code=ana1,cleo2", {"ana", "cleo"}),
        ("Observation?code=ana1,cleo2&_elements=code", {"ana", "cleo"}),
        ("Observation?code=ana1&_summary=count", set()),
        ("Observation?code=ana1&_include=Observation:subject", {"ana"}),
        ("Patient?family=cleo&_revinclude=Observation:subject", {"cleo"}),
        ("Patient/ben/Observation?code=ben1", {"ben"}),
        ("?_type=Patient,Observation&_id=ana,ben1", {"ana", "ben"}),
        ("Patient/ana/$everything", {"ana"}),
        ("Patient/$everything", set(NAMES)),
        ("$graphql?query={Observation(id:ana1){status}}", {"ana"}),
        ("$graphql?query={ObservationList(code:\"cleo1\"){status}}", {"cleo"}),
        ("Patient/ben/$graphql?query={birthDate}", {"ben"}),
        ("Basic/nobodys", set()),
    ],
)  # fmt: skip
async def test_each_way_of_reading_names_the_patients(
    smart: SmartServer, fhir: httpx.AsyncClient, path: str, patients: set[str]
) -> None:
    """Also where the answer holds only elements that name nobody; and nobody else is named."""
    answer = await fhir.get(path)
    assert answer.status_code == 200, answer.text
    reported, requested = await _event(smart)
    assert reported == patients
    if "?" in path:
        (question,) = requested
        assert _pairs(question) == _pairs(path)


@pytest.mark.parametrize(
    ("path", "headers", "body", "patients", "question"),
    [
        ("Observation/_search", FORM, "code=ana1", {"ana"}, "Observation/_search?code=ana1"),
        ("Observation/_search?code=ana1", FORM, "_count=5", {"ana"}, "Observation/_search?code=ana1&_count=5"),
        ("_search", FORM, "_type=Patient&_id=ben", {"ben"}, "_search?_type=Patient&_id=ben"),
        ("Patient/ben/Observation/_search", FORM, "code=ben2", {"ben"}, "Patient/ben/Observation/_search?code=ben2"),
        (
            "$graphql",
            JSON,
            '{"query":"query q($c: token) {ObservationList(code: $c) {status}}","variables":{"c":"ben1"}}',
            {"ben"},
            "$graphql?query=query q($c: token) {ObservationList(code: $c) {status}}&variables={\"c\":\"ben1\"}",
        ),
        (
            "$graphql",
            {"Content-Type": "application/graphql"},
            "{Patient(id:cleo){gender}}",
            {"cleo"},
            "$graphql?query={Patient(id:cleo){gender}}",
        ),
        (
            "Patient/ana/$everything",
            JSON,
            '{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"Observation"}]}',
            {"ana"},
            "Patient/ana/$everything?_type=Observation",
        ),
    ],
)  # fmt: skip
async def test_a_question_in_a_body_is_told_as_it_was_asked(
    smart: SmartServer,
    fhir: httpx.AsyncClient,
    path: str,
    headers: dict[str, str],
    body: str,
    patients: set[str],
    question: str,
) -> None:
    """A POST leaves the same record as the GET that says the same."""
    answer = await fhir.post(path, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    reported, requested = await _event(smart)
    assert reported == patients
    assert _pairs(question) in [_pairs(each) for each in requested]


async def test_a_long_question_does_not_hide_its_end(smart: SmartServer, fhir: httpx.AsyncClient) -> None:
    """Comments before a statement, or empty criteria, push nothing out of the record."""
    statement = "#" + "x" * 20_000 + "\n{Patient(id:cleo){gender}}"
    await fhir.post("$graphql", json={"query": statement})
    reported, (requested,) = await _event(smart)
    assert reported == {"cleo"}
    assert "Patient(id:cleo)" in dict(_pairs(requested)[1])["query"]


async def test_a_page_is_told_with_the_search_it_belongs_to(smart: SmartServer, fhir: httpx.AsyncClient) -> None:
    """The token of a link tells nothing; the record says what it stands for, and whose data the page held."""
    for begins in ("Observation?code=ana1,ben1&_count=1", "?_type=Patient&_count=1"):
        bundle = (await fhir.get(begins)).json()
        before, _ = await _event(smart)
        token = parse_qs(urlsplit(bundle["link"][1]["url"]).query)["_page"][0]
        path = begins.partition("?")[0]
        following = (await fhir.get(f"{path}?{urlencode({'_page': token})}")).json()
        assert len(following["entry"]) == 1
        reported, requested = await _event(smart)
        assert reported
        assert not reported & before
        assert _pairs(begins) in [_pairs(each) for each in requested]
        again = await fhir.post(f"{path}/_search".strip("/"), content=urlencode({"_page": token}), headers=FORM)
        assert again.status_code == 200
        assert (await _event(smart))[0] == reported


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_a_bundle_names_the_patients_of_all_its_entries(
    smart: SmartServer, fhir: httpx.AsyncClient, kind: str
) -> None:
    """Reads, searches and writes within a bundle are told like direct ones, conditions included."""
    entries = [
        {"request": {"method": "GET", "url": "Observation/ana1"}},
        {"request": {"method": "GET", "url": "Observation?code=ben1&_elements=code"}},
        {
            "resource": _observation("cleo9", {"reference": "Patient/cleo"}),
            "request": {"method": "POST", "url": "Observation", "ifNoneExist": "code=cleo9"},
        },
    ]
    answer = await fhir.post("", json={"resourceType": "Bundle", "type": kind, "entry": entries})
    assert answer.status_code == 200, answer.text
    reported, requested = await _event(smart)
    assert reported == set(NAMES)
    assert {"Observation?code=ben1&_elements=code", "Observation?code=cleo9"} <= requested


@pytest.mark.parametrize("header", ["If-None-Exist"])
async def test_a_condition_in_a_header_is_told(smart: SmartServer, fhir: httpx.AsyncClient, header: str) -> None:
    """A conditional create asks whether there is something; that is a question too, and its answer has a patient."""
    body = _observation("x", {"reference": "Patient/ana"})
    answer = await fhir.post("Observation", json=body, headers={header: "code=ana1"})
    assert answer.status_code in (200, 412), answer.text
    _, requested = await _event(smart)
    assert "Observation?code=ana1" in requested


async def test_many_patients_are_all_named(smart: SmartServer, fhir: httpx.AsyncClient) -> None:
    """There is no number of patients past which nobody is named."""
    entries = [
        {"resource": {"resourceType": "Patient", "id": f"p{n}"}, "request": {"method": "PUT", "url": f"Patient/p{n}"}}
        for n in range(1100)
    ]
    for part in (entries[:600], entries[600:]):
        answer = await fhir.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": part})
        assert answer.status_code == 200
    answer = await fhir.post("Patient/$everything", headers=JSON)
    assert answer.status_code == 200
    reported, _ = await _event(smart)
    assert {f"p{n}" for n in range(1100)} <= reported


def _pairs(url: str) -> tuple[str, list[tuple[str, str]]]:
    path, _, query = url.partition("?")
    return path, sorted(parse_qsl(query, keep_blank_values=True))
