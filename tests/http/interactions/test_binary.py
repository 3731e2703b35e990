"""Binary as raw content and as a resource, and resources beyond MongoDB's document limit."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime

import httpx
import pytest

from fhir_server.engine.context import Services
from fhir_server.r4.values import encode
from fhir_server.search.index.index import index
from fhir_server.settings import Settings
from fhir_server.store.resources.documents import Draft

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
    answer = (await client.get("DocumentReference?identifier=d1")).json()["entry"]
    assert answer[0]["resource"]["content"][0]["attachment"]["data"] == data


async def test_a_body_past_the_limit_is_413(client: httpx.AsyncClient) -> None:
    """70 MB are more than the default limit takes."""
    answer = await client.put("Binary/x", content=bytes(70_000_000), headers={"Content-Type": "application/dicom"})
    assert answer.status_code == 413
    assert answer.json()["issue"][0]["code"] == "too-long"


TEXT = {"Content-Type": "text/plain"}
RAW = {"Accept": "*/*"}


@pytest.mark.parametrize(
    ("requested", "part", "where"),
    [
        ("bytes=2-4", b"234", "2-4"),
        ("bytes=7-", b"789", "7-9"),
        ("bytes=-2", b"89", "8-9"),
        ("bytes=8-50", b"89", "8-9"),
    ],
)
async def test_a_range_of_raw_content_is_read(
    client: httpx.AsyncClient, requested: str, part: bytes, where: str
) -> None:
    """RFC 9110: 206 with the part and its place, of the current version and of one by its number."""
    await client.put("Binary/b", content=b"0123456789", headers=TEXT)
    for path in ("Binary/b", "Binary/b/_history/1"):
        answer = await client.get(path, headers=RAW | {"Range": requested})
        assert (answer.status_code, answer.content) == (206, part)
        assert answer.headers["Content-Range"] == f"bytes {where}/10"
        assert answer.headers["Content-Length"] == str(len(part))
        assert answer.headers["Content-Type"] == "text/plain"
        assert answer.headers["ETag"] == 'W/"1"'
        assert "sandbox" in answer.headers["Content-Security-Policy"]


async def test_a_range_outside_of_raw_content_is_416(client: httpx.AsyncClient) -> None:
    """The answer tells the size, in Content-Range and in its OperationOutcome."""
    await client.put("Binary/b", content=b"0123456789", headers=TEXT)
    for requested in ("bytes=10-", "bytes=-0", "bytes=" + "9" * 5000 + "-"):
        answer = await client.get("Binary/b", headers=RAW | {"Range": requested})
        assert answer.status_code == 416
        assert answer.headers["Content-Range"] == "bytes */10"
        assert "10 bytes" in answer.json()["issue"][0]["diagnostics"]


async def test_several_ranges_of_raw_content_are_one_multipart_body(client: httpx.AsyncClient) -> None:
    """RFC 9110, 14.6: a part each, none twice; one that is left is sent as it is."""
    await client.put("Binary/b", content=b"0123456789", headers=TEXT)
    answer = await client.get("Binary/b", headers=RAW | {"Range": "bytes=0-1, 8-"})
    assert answer.status_code == 206
    assert "Content-Range" not in answer.headers
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    media_type, _, boundary = answer.headers["Content-Type"].partition("; boundary=")
    assert media_type == "multipart/byteranges"
    _, first, second, end = answer.content.split(f"--{boundary}".encode())
    assert first == b"\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n"
    assert second == b"\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n"
    assert end == b"--\r\n"
    joined = await client.get("Binary/b", headers=RAW | {"Range": "bytes=0-5,4-7,90-99"})
    assert (joined.status_code, joined.headers["Content-Range"]) == (206, "bytes 0-7/10")
    outside = await client.get("Binary/b", headers=RAW | {"Range": "bytes=10-,20-30"})
    assert (outside.status_code, outside.headers["Content-Range"]) == (416, "bytes */10")


async def test_what_is_no_set_of_ranges_of_raw_content_is_answered_with_the_whole(client: httpx.AsyncClient) -> None:
    """Thousands of ranges, other units, HEAD, and a read of the resource itself: 200 with all of it."""
    await client.put("Binary/b", content=b"0123456789", headers=TEXT)
    for requested in ("bytes=" + "0-0," * 5000, "lines=1-2", "bytes=5-2"):
        answer = await client.get("Binary/b", headers=RAW | {"Range": requested})
        assert (answer.status_code, answer.content) == (200, b"0123456789")
        assert answer.headers["Accept-Ranges"] == "bytes"
    twice = await client.get("Binary/b", headers=[("Accept", "*/*"), ("Range", "bytes=0-1"), ("Range", "bytes=3-4")])
    assert twice.status_code == 200
    head = await client.head("Binary/b", headers=RAW | {"Range": "bytes=0-1"})
    assert (head.status_code, head.headers["Content-Length"]) == (200, "10")
    resource = await client.get("Binary/b", headers=FHIR | {"Range": "bytes=0-1"})
    assert (resource.status_code, resource.json()["resourceType"]) == (200, "Binary")
    assert "Accept-Ranges" not in resource.headers


async def test_if_range_takes_strong_validators_alone(client: httpx.AsyncClient) -> None:
    """A weak ETag never matches; a date does where no two versions can share it, and not after a change."""
    first = await client.put("Binary/b", content=b"0123456789", headers=TEXT)
    modified, part = first.headers["Last-Modified"], RAW | {"Range": "bytes=2-4"}

    async def status(path: str, if_range: str) -> int:
        return (await client.get(path, headers=part | {"If-Range": if_range})).status_code

    assert await status("Binary/b", modified) == 206
    assert await status("Binary/b", 'W/"1"') == 200
    assert await status("Binary/b", '"1"') == 200
    assert await status("Binary/b", "Thu, 01 Jan 1970 00:00:00 GMT") == 200
    changed = await client.put("Binary/b", content=b"abcdefghij", headers=TEXT)
    assert await status("Binary/b", changed.headers["Last-Modified"]) == 200
    assert await status("Binary/b/_history/1", modified) == 206
    unchanged = await client.get("Binary/b", headers=part | {"If-None-Match": 'W/"2"'})
    assert unchanged.status_code == 304


@pytest.mark.parametrize("declared", ["text/plain\r\nX-Evil: 1", "text/\u00e9", " text/plain", "", "a\tb"])
async def test_a_stored_type_that_no_header_can_hold_is_told_as_bytes(
    client: httpx.AsyncClient, services: Services, declared: str
) -> None:
    """What was stored before such types were refused stays readable, and says nothing in a header of its own."""
    resource = {"resourceType": "Binary", "id": "old", "contentType": declared, "data": "YWJj"}
    now = datetime.now(UTC)
    await services.resources.insert(Draft("Binary", "old", 1, now, "PUT", encode(resource), resource, index(resource)))
    raw = await client.get("Binary/old", headers={"Accept": "*/*"})
    assert (raw.status_code, raw.content) == (200, b"abc")
    assert raw.headers["Content-Type"] == "application/octet-stream"
    assert "X-Evil" not in raw.headers
    assert (await client.get("Binary/old", headers=FHIR)).json()["contentType"] == declared
