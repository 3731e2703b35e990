"""JSON and XML, pretty and plain, compressed and not."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import httpx
import pytest
import zstandard

from fhir_server.r4 import values

PATIENT: dict[str, Any] = {"resourceType": "Patient", "id": "a", "active": True, "name": [{"family": "Rossi"}]}
XML = (
    b'<Patient xmlns="http://hl7.org/fhir"><id value="a"/><active value="true"/>'
    b'<name><family value="Rossi"/></name></Patient>'
)


async def test_xml_in_is_json_out_and_back(client: httpx.AsyncClient) -> None:
    """A resource sent as XML is the same as sent as JSON: the JSON afterwards makes no new version."""
    made = await client.put("Patient/a", content=XML, headers={"Content-Type": "application/fhir+xml"})
    assert made.status_code == 201
    assert (await client.put("Patient/a", json=PATIENT)).headers["ETag"] == 'W/"1"'
    read = await client.get("Patient/a", headers={"Accept": "application/fhir+xml"})
    assert read.headers["Content-Type"].startswith("application/fhir+xml")
    assert b'<family value="Rossi"/>' in read.content


async def test_errors_and_bundles_come_in_the_format_asked_for(client: httpx.AsyncClient) -> None:
    """OperationOutcomes and searchsets too; _format wins over Accept."""
    missing = await client.get("Patient/none?_format=xml")
    assert missing.status_code == 404
    assert b"<OperationOutcome" in missing.content
    await client.put("Patient/a", json=PATIENT)
    bundle = await client.get("Patient?_format=application/fhir%2Bxml", headers={"Accept": "application/fhir+json"})
    assert b"<searchset" not in bundle.content
    assert b'<type value="searchset"/>' in bundle.content


async def test_pretty_is_for_people(client: httpx.AsyncClient) -> None:
    """_pretty=true indents, and changes nothing else."""
    await client.put("Patient/a", json=PATIENT)
    plain, pretty = await client.get("Patient/a"), await client.get("Patient/a?_pretty=true")
    assert plain.json() == pretty.json()
    assert b'\n  "id": "a"' in pretty.content


@pytest.mark.parametrize(
    "bad", [b"<Patient", b'<!DOCTYPE x [<!ENTITY a "b">]>' + XML, XML.replace(b"<id", b"<idd"), b""]
)
async def test_bad_xml_is_refused(client: httpx.AsyncClient, bad: bytes) -> None:
    """Trap 50: broken XML, entities, unknown elements: a clear 4xx."""
    answer = await client.post("Patient", content=bad, headers={"Content-Type": "application/fhir+xml"})
    assert answer.status_code in (400, 422)
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
async def test_compressed_bodies_are_taken(client: httpx.AsyncClient, coding: str, compress: Any) -> None:
    """gzip and zstd, undone before parsing; broken data is 400, an unknown coding 415."""
    body = b'{"resourceType":"Patient","id":"a"}'
    headers = {"Content-Encoding": coding}
    assert (await client.put("Patient/a", content=compress(body), headers=headers)).status_code == 201
    assert (await client.put("Patient/a", content=b"garbage", headers=headers)).status_code == 400
    assert (await client.put("Patient/a", content=body, headers={"Content-Encoding": "snappy"})).status_code == 415


async def test_a_forged_host_changes_no_link(client: httpx.AsyncClient) -> None:
    """Trap 51: Host and X-Forwarded-* are not believed."""
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    made = await client.post("Patient", json=PATIENT, headers=headers)
    answer = await client.get("Patient", headers=headers)
    assert "evil" not in made.headers["Location"] + answer.text


async def test_a_byte_order_mark_is_passed_over(client: httpx.AsyncClient) -> None:
    """JSON, XML, JSON Patch and a JSON Patch inside a Binary may begin with the mark of UTF-8."""
    mark = b"\xef\xbb\xbf"
    assert (await client.put("Patient/a", content=mark + values.encode(PATIENT))).status_code == 201
    as_xml = await client.put("Patient/a", content=mark + XML, headers={"Content-Type": "application/fhir+xml"})
    assert as_xml.headers["ETag"] == 'W/"1"'
    patch = mark + b'[{"op": "replace", "path": "/active", "value": false}]'
    headers = {"Content-Type": "application/json-patch+json"}
    assert (await client.patch("Patient/a", content=patch, headers=headers)).json()["active"] is False
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json"}
    entry = {
        "request": {"method": "PATCH", "url": "Patient/a"},
        "resource": binary | {"data": base64.b64encode(patch.replace(b"false", b"true")).decode()},
    }
    body = values.encode({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    assert (await client.post("", content=mark + body)).status_code == 200
    assert (await client.get("Patient/a")).json()["active"] is True
