"""Binary as raw content and as a resource, and resources beyond MongoDB's document limit."""

from __future__ import annotations

import base64
import os

import httpx
import pytest

from fhir_server.settings import Settings

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
FHIR = {"Accept": "application/fhir+json"}


@pytest.fixture
def settings() -> Settings:
    """Room for large resources."""
    return Settings()


async def test_raw_content_becomes_a_binary_and_comes_back_raw(client: httpx.AsyncClient) -> None:
    """POST of an image makes a Binary; a read gives the bytes with their type unless FHIR is asked for."""
    made = await client.post("Binary", content=PNG, headers={"Content-Type": "image/png"})
    assert made.status_code == 201
    location = made.headers["Location"].split("/_history")[0]
    raw = await client.get(location, headers={"Accept": "image/*"})
    assert raw.content == PNG
    assert raw.headers["Content-Type"] == "image/png"
    assert raw.headers["X-Content-Type-Options"] == "nosniff"
    resource = (await client.get(location, headers=FHIR)).json()
    assert resource["contentType"] == "image/png"
    assert base64.b64decode(resource["data"]) == PNG


async def test_raw_content_can_be_put_with_its_security_context(client: httpx.AsyncClient) -> None:
    """X-Security-Context becomes Binary.securityContext."""
    headers = {"Content-Type": "text/plain", "X-Security-Context": "Patient/a"}
    assert (await client.put("Binary/b", content=b"hello", headers=headers)).status_code == 201
    resource = (await client.get("Binary/b", headers=FHIR)).json()
    assert resource["securityContext"] == {"reference": "Patient/a"}
    assert (await client.get("Binary/b", headers={"Accept": "*/*"})).text == "hello"


@pytest.mark.parametrize("size", [15_000_000, 30_000_000])
async def test_content_beyond_a_document_is_kept(client: httpx.AsyncClient, size: int) -> None:
    """Trap 60: 15 and 30 MB are stored, read, updated and found in history; the bytes are the same."""
    content = os.urandom(size)
    made = await client.put("Binary/big", content=content, headers={"Content-Type": "application/dicom"})
    assert made.status_code == 201
    assert (await client.get("Binary/big", headers={"Accept": "*/*"})).content == content
    assert (await client.put("Binary/big", content=b"small", headers={"Content-Type": "text/plain"})).status_code == 200
    old = await client.get("Binary/big/_history/1", headers={"Accept": "*/*"})
    assert old.content == content


async def test_a_document_with_a_large_attachment_is_found_by_search(client: httpx.AsyncClient) -> None:
    """The search index of a resource that is kept apart is the same as of any other."""
    data = base64.b64encode(os.urandom(13_000_000)).decode()
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "identifier": [{"value": "d1"}],
        "content": [{"attachment": {"contentType": "application/pdf", "data": data}}],
    }
    assert (await client.post("DocumentReference", json=document)).status_code == 201
    found = (await client.get("DocumentReference?identifier=d1")).json()["entry"]
    assert found[0]["resource"]["content"][0]["attachment"]["data"] == data


async def test_a_body_past_the_limit_is_413(client: httpx.AsyncClient) -> None:
    """70 MB are more than the default limit takes."""
    answer = await client.put("Binary/x", content=bytes(70_000_000), headers={"Content-Type": "application/dicom"})
    assert answer.status_code == 413
    assert answer.json()["issue"][0]["code"] == "too-long"
