"""Whatever is sent: a clear 4xx with an OperationOutcome, never a 5xx, and nothing stored."""

from __future__ import annotations

import gzip
from typing import Any

import httpx
import pytest

DEEP = '{"resourceType":"Patient","extension":[' * 300 + "]}" * 300


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"Patient"',
        b'{"resourceType":"Patient","active":NaN}',
        b'{"resourceType":"Patient","gender":"male","gender":"female"}',
        b'{"resourceType":"Patient","name":[{"family":"\\ud800"}]}',
        b'{"resourceType":"Patient","name":[{"family":"\xff"}]}',
        b'{"resourceType":"Patient","name":[{"family":"\\u0000"}]}',
        b'{"resourceType":"Patient","name":"Smith"}',
        b'{"resourceType":"Patient","name":[{"family":1}]}',
        b'{"resourceType":"Patient","active":"true"}',
        b'{"resourceType":"Patient","birthDate":"2023-02-29"}',
        b'{"resourceType":"Patient","unknown":1}',
        b'{"resourceType":"Patient","name":[]}',
        b'{"resourceType":"Patient","name":[null]}',
        b'{"resourceType":"Patient","name":[{}]}',
        b'{"resourceType":"Patient","deceasedBoolean":true,"deceasedDateTime":"2020"}',
        b'{"resourceType":"Patient","gender":"masculine"}',
        b'{"resourceType":"Patient","multipleBirthInteger":99999999999}',
        b'{"resourceType":"Observation","status":"final","code":{"text":"x"}}',
        b'{"resourceType":"Patience"}',
        b'{"name":[{"family":"x"}]}',
        b'{"resourceType":["Patient"]}',
        DEEP.encode(),
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: body[:50].decode("latin-1"),
)
async def test_a_bad_body_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    """Malformed JSON, wrong shapes and values, duplicate keys, deep nesting: 400 or 422."""
    for answer in (await client.post("Patient", content=body), await client.put("Patient/a", content=body)):
        assert answer.status_code in (400, 422)
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert answer.json()["issue"][0]["diagnostics"]
    assert "entry" not in (await client.get("Patient")).json()


async def test_every_fault_is_told_at_once_with_its_place(client: httpx.AsyncClient) -> None:
    """One answer names all three faults by FHIRPath."""
    patient = {"resourceType": "Patient", "gender": "x", "birthDate": "y", "name": [{"family": "a", "use": "z"}]}
    answer = await client.post("Patient", json=patient)
    places = {path for issue in answer.json()["issue"] for path in issue["expression"]}
    assert places == {"Patient.gender", "Patient.birthDate", "Patient.name[0].use"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "Patience", 404),
        ("GET", "patient/1", 404),
        ("GET", "Patient/1/2/3/4/5", 404),
        ("GET", "Patient//1", 404),
        ("GET", "Organization/1/Patient", 404),
        ("GET", "$nonsense", 404),
        ("PUT", "Patient/a_b", 400),
        ("PUT", "Patient/" + "a" * 65, 400),
        ("GET", "Patient/%00", 404),
        ("GET", "Patient/%ff", 400),
        ("GET", "Patient/a%2Fb", 404),
        ("POST", "Patient/a", 405),
        ("DELETE", "", 405),
        ("PUT", "metadata", 405),
        ("TRACE", "Patient", 405),
        ("GET", "Patient?_format=yaml", 406),
        ("GET", "Patient/_history?_count=x", 400),
        ("GET", "Patient/_history?_since=yesterday", 400),
        ("GET", "Patient/_history?_page=nonsense", 400),
        ("GET", "Patient/none/_history", 404),
    ],
)
async def test_a_bad_url_is_refused(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    """Unknown types, paths, ids and methods: the right 4xx with an OperationOutcome."""
    content = b'{"resourceType":"Patient","id":"a"}' if method == "PUT" else None
    answer = await client.request(method, path, content=content)
    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"
    if status == 405:
        assert answer.headers["Allow"]


async def test_a_body_past_the_limit_is_413(client: httpx.AsyncClient) -> None:
    """Also one that is small only while compressed."""
    large = b'{"resourceType":"Patient","name":[{"family":"' + b"a" * 9_000_000 + b'"}]}'
    assert (await client.post("Patient", content=large)).status_code == 413
    bomb = gzip.compress(large)
    assert (await client.post("Patient", content=bomb, headers={"Content-Encoding": "gzip"})).status_code == 413


@pytest.mark.parametrize("content_type", ["text/plain", "image/png", "application/fhir+json; charset=latin-1", ""])
async def test_a_body_of_another_type_is_415(client: httpx.AsyncClient, content_type: str) -> None:
    """Only FHIR's formats are taken."""
    answer = await client.post("Patient", content=b'{"resourceType":"Patient"}', headers={"Content-Type": content_type})
    assert answer.status_code == 415


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("value", ["", "x y", "W/", '"', "W/1,,", "\x00"])
async def test_a_bad_etag_is_refused(client: httpx.AsyncClient, header: str, value: str) -> None:
    """A condition that cannot be read is 400, not ignored."""
    patient: dict[str, Any] = {"resourceType": "Patient", "id": "a"}
    await client.put("Patient/a", json=patient)
    answer = await client.put("Patient/a", json=patient | {"active": True}, headers={header: value})
    assert answer.status_code == 400
    assert (await client.get("Patient/a")).headers["ETag"] == 'W/"1"'
