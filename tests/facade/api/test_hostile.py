"""Odd values at every endpoint: whatever comes, the answer is an answer of the contract and never a fault."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.facade.endpoints import ENDPOINTS, Endpoint
from tests.facade.world import World, sent
from tests.facade_server import ORIGIN, AppUser

pytestmark = pytest.mark.asyncio(loop_scope="module")

REQUESTS = 60
"""How many each endpoint gets; with all of them the run would take ten minutes, and finds no more."""
TEXTS = (
    *("", " ", "\x00", "a\x00b", "\ud800", "\U0001f600", "x" * 10_000, "' OR 1=1 --", "<script>", "%00", "%2e%2e%2f"),
    *("_history", "_search", "$everything", "$validate", "metadata", "..", ".", "../Patient", "1/_history/1", "a/b"),
    *("Patient/1", "a,b", "a|b", "a\\", "a$b", "*", "?_id=x", "#x", "null", "true", "NaN", "-1", "0", "1e400"),
    *("at-20260101T000000Z-0123456789abcdef", "at-00010101T000000Z-0123456789abcdef"),
    "at-99991231T235959Z-0123456789abcdef",
    *("0001-01-01", "9999-12-31", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30", "24:00"),
    *("2026-W01-1", "20260101", "00:00:00.000001", "09:00+05:00", "9:00", "23:59:60"),
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 10**400, 10**18, 1e308, float("nan"), float("inf")),
    *([], [[]], {}, {"$ne": 1}, {"$gt": ""}, [{"$where": "1"}], ["x"] * 1000),
)  # fmt: skip
FILTERS = ("limit", "cursor", "from", "to", "status", "patient", "q", "near", "date", "reason")
FIELDS = ("slot_id", "reason", "profile_picture", "timezone", "language", "gender", "member_id", "latitude", "x\ud800")
"""What some endpoints take besides what their rows give."""


def _names(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    """Yield where a request has a value."""
    yield from (("path", name) for name in endpoint.in_path)
    yield from (("query", name) for name in endpoint.query)
    yield from (("query", name) for name in FILTERS)
    yield from (("body", name) for name in endpoint.body or ())
    yield from (("body", name) for name in FIELDS if endpoint.body is not None)


def require_told(response: httpx.Response, what: object) -> None:
    """Assert that the answer is one of the contract: a success, or a problem that is not a fault."""
    assert response.status_code < 500, (what, response.status_code, response.text[:500])
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/problem+json", what
        problem = response.json()
        assert {"type", "title", "status", "detail", "code"} <= problem.keys(), what
        assert problem["status"] == response.status_code, what
        assert ("errors" in problem) == (response.status_code == 422), (what, problem)
        assert "Traceback" not in response.text, what


def _safe(endpoint: Endpoint) -> bool:
    # Logging out would end the session that the other requests are made in; the stream does not end by itself.
    return endpoint.number not in ("4", "stream")


@pytest.mark.parametrize("endpoint", [row for row in ENDPOINTS if _safe(row)], ids=lambda row: row.title)
async def test_odd_values(world: World, endpoint: Endpoint) -> None:
    """No value in any place of a request makes a fault."""
    transport = httpx.ASGITransport(app=world.hospital.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        user = AppUser(http, world.mara.session)
        faults = [fault async for fault in _faults(world, user, endpoint)]
    assert faults == []


async def _faults(world: World, user: AppUser, endpoint: Endpoint) -> AsyncIterator[Any]:
    plain = world.request_of(endpoint)
    for place, name, value in _chosen(endpoint):
        path, query, body = plain["path"], plain["params"], plain["body"]
        if place == "path":
            path = endpoint.path.replace(f"{{{name}}}", _quoted(str(value)))
        elif place == "query":
            query = {**query, name: _sendable(str(value))}
        else:
            body = {**body, name: value}
        response = await _asked(user, endpoint, path, query, body)
        try:
            require_told(response, value)
        except (AssertionError, ValueError) as error:
            yield place, name, str(value)[:60], str(error)[:200]


def _chosen(endpoint: Endpoint) -> list[tuple[str, str, Any]]:
    """Return some of all values in all places, the same ones in each run."""
    every = [
        (place, name, value)
        for place, name in _names(endpoint)
        for value in (*TEXTS, *(OTHERS if place == "body" and not endpoint.multipart else ()))
    ]
    # The export reads everything each time, and has little to be asked.
    count = min(8 if endpoint.number == "export" else REQUESTS, len(every))
    return random.Random(endpoint.title).sample(every, count)


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass")) or "%20"


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


async def _asked(
    user: AppUser, endpoint: Endpoint, path: str, query: Mapping[str, str], body: Mapping[str, Any]
) -> httpx.Response:
    if endpoint.multipart:
        fields = {_sendable(name): _sendable(str(value)) for name, value in body.items()}
        return await sent(user, endpoint, path, query, fields, {})
    # As a client that is not careful writes it: lone surrogates and NaN included.
    content = json.dumps(body).encode() if endpoint.body is not None else None
    headers = {"Authorization": f"Bearer {user.session['access_token']}", "Content-Type": "application/json"}
    return await user.http.request(endpoint.method, path, params=dict(query), content=content, headers=headers)


BODIES: tuple[tuple[bytes, str, int], ...] = (
    (b"", "application/json", 422),
    (b"{", "application/json", 400),
    (b"\xff\xfe{}", "application/json", 400),
    (b'{"a": "\xff"}', "application/json", 400),
    (b"[" * 100_000, "application/json", 400),
    (b'{"a":' * 100_000, "application/json", 400),
    (b"9" * 10_000, "application/json", 400),
    (b"null", "application/json", 422),
    (b"[]", "application/json", 422),
    (b'"text"', "application/json", 422),
    (b"a=b", "application/x-www-form-urlencoded", 422),
    (b"{}", "text/plain", 422),
    (b"<a/>", "application/xml", 422),
    (b"--x\r\n", "multipart/form-data", 422),
    (b"\x00\x01", "application/octet-stream", 422),
    (b"{}", "\x80", 422),
)
JSON = [row for row in ENDPOINTS if row.body is not None and not row.multipart]


@pytest.mark.parametrize("endpoint", JSON, ids=lambda row: row.title)
async def test_odd_bodies(world: World, endpoint: Endpoint) -> None:
    """A body that is no JSON is 400, and one of another form or type 422."""
    for content, media_type, status in BODIES:
        headers = {b"Authorization": f"Bearer {world.mara.session['access_token']}".encode()}
        headers[b"Content-Type"] = media_type.encode("latin-1")
        response = await world.mara.http.request(
            endpoint.method, world.request_of(endpoint)["path"], content=content, headers=headers
        )
        require_told(response, (content[:20], media_type))
        assert response.status_code == status, (content[:20], media_type, response.text)


FORMS: tuple[tuple[bytes, bytes, int], ...] = (
    (b"", b"multipart/form-data; boundary=x", 422),
    (b"--x--\r\n", b"multipart/form-data; boundary=x", 422),
    (b"--y\r\n", b"multipart/form-data; boundary=x", 400),
    (b"no boundary", b"multipart/form-data", 400),
    (b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n", b"multipart/form-data; boundary=x", 400),
    (
        b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\na\r\n--x--\r\n",
        b"multipart/form-data; boundary=x",
        422,
    ),
)


async def test_odd_forms(world: World) -> None:
    """A form that cannot be read is 400, and one without a file 422."""
    for content, media_type, status in FORMS:
        headers = {b"Authorization": f"Bearer {world.mara.session['access_token']}".encode()}
        response = await world.mara.http.post(
            "/history/documents", content=content, headers={**headers, b"Content-Type": media_type}
        )
        require_told(response, content)
        assert response.status_code == status, (content, response.text)


async def test_a_browser_s_upload_with_a_strange_name(world: World) -> None:
    """Whatever a file is called, it is taken, and its name is a title only."""
    for name in ("../../etc/passwd", "a\x00b.pdf", "x" * 1000 + ".pdf", '";evil="', "é\u202e.pdf", " "):
        user = world.mara
        response = await user.http.post(
            "/history/documents",
            data={"document_type": "other"},
            files={"file": (name, b"%PDF-1.4", "application/pdf")},
            headers={"Authorization": f"Bearer {user.session['access_token']}"},
        )
        require_told(response, name)
        assert response.status_code == 201, response.text
        assert "/" not in (response.json()["title"] or "")


async def test_a_body_without_a_length(world: World) -> None:
    """One that turns out too large while it comes is 413, too, in JSON and in a form."""

    async def endless(part: bytes) -> AsyncIterator[bytes]:
        for _ in range(300):
            yield part

    token = {"Authorization": f"Bearer {world.mara.session['access_token']}"}
    json_type = {"Content-Type": "application/json"}
    response = await world.mara.http.put("/user/profile", content=endless(b" " * 10_000), headers=token | json_type)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    largest = world.hospital.services.settings.max_body_bytes
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    form_type = {"Content-Type": "multipart/form-data; boundary=x"}
    content = endless(head + b"x" * (largest // 250))
    response = await world.mara.http.post("/history/documents", content=content, headers=token | form_type)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
