"""A search as NDJSON: everything that it finds, as lines, by the rules of its pages."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

LINES = {"Accept": "application/fhir+ndjson"}


@pytest.fixture
async def patients(client: httpx.AsyncClient) -> list[str]:
    """450 patients, of which every third is active, and the ids of those."""
    entries = [
        {
            "resource": {"resourceType": "Patient", "id": f"p{number:03}", "active": number % 3 == 0},
            "request": {"method": "PUT", "url": f"Patient/p{number:03}"},
        }
        for number in range(450)
    ]
    answer = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text
    return [f"p{number:03}" for number in range(0, 450, 3)]


def read(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/fhir+ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_all_pages_come_as_lines(client: httpx.AsyncClient, patients: list[str]) -> None:
    """By GET and by POST, by Accept and by `_format`, in the order that is asked for, with what is included."""
    everybody = read(await client.get("Patient?_sort=_id", headers=LINES))
    assert [each["id"] for each in everybody] == [f"p{number:03}" for number in range(450)]
    active = read(await client.get("Patient?active=true&_sort=-_id&_format=ndjson"))
    assert [each["id"] for each in active] == patients[::-1]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    posted = read(await client.post("Patient/_search?_format=ndjson", content="active=false", headers=form))
    assert len(posted) == 300
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "a"}, "subject": {"reference": "Patient/p000"}}
    assert (await client.post("Flag", json=flag)).status_code == 201
    headers = read(await client.get("Flag?_include=Flag:subject", headers=LINES))
    assert [each["resourceType"] for each in headers] == ["Flag", "Patient"]
    assert read(await client.get("Patient?_id=nobody", headers=LINES)) == []


async def test_what_is_about_pages_is_refused(client: httpx.AsyncClient) -> None:
    """Lines have no pages and no totals; other faults are answered as always."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for query in ("_count=5", "_total=accurate", "_summary=count", "_pretty=true", "_format=xml"):
        answers = [await client.post("Patient/_search", content=query, headers=LINES | form)]
        if query != "_format=xml":
            answers.append(await client.get(f"Patient?{query}", headers=LINES))
        for answer in answers:
            assert answer.status_code == 400, query
            assert query.partition("=")[0] in answer.json()["issue"][0]["diagnostics"]
    answer = await client.get("Patient?birthdate=soon", headers=LINES)
    assert answer.status_code == 400
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(
    ("accept", "lines"),
    [
        ("application/fhir+ndjson;q=0, application/fhir+json", False),
        ("application/fhir+json, application/fhir+ndjson", False),
        ("application/fhir+json;q=0.5, application/fhir+ndjson", True),
    ],
)
async def test_the_preferred_form_counts(client: httpx.AsyncClient, accept: str, lines: bool) -> None:
    """By the qualities of Accept; the first of equal ones."""
    answer = await client.get("Patient", headers={"Accept": accept})
    assert answer.status_code == 200
    assert ("ndjson" in answer.headers["content-type"]) is lines


async def test_only_searches_have_lines(client: httpx.AsyncClient) -> None:
    """Any other interaction says that it has JSON and XML."""
    for path in ("metadata", "Patient/1", "Patient/_history"):
        assert (await client.get(path, headers=LINES)).status_code == 406
    assert (await client.get("Patient", headers=LINES | {"Prefer": "respond-async"})).status_code == 406


async def test_a_form_says_the_format(client: httpx.AsyncClient) -> None:
    """Of a search by POST the parameters about its form may stand in the body."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await client.post("Patient/_search", content="_format=xml", headers=form)
    assert answer.headers["content-type"].startswith("application/fhir+xml")
    assert (await client.post("Patient/_search", content="_format=nonsense", headers=form)).status_code == 406
