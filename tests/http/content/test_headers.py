"""Request headers that stand on several lines."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

PATIENT: dict[str, Any] = {"resourceType": "Patient", "id": "a", "active": True}
JSON = ("Content-Type", "application/fhir+json")


async def _send(client: httpx.AsyncClient, method: str, path: str, *lines: tuple[str, str], **body: Any) -> Any:
    request = client.build_request(method, path, **body)
    request.headers = httpx.Headers([*request.headers.multi_items(), *lines])
    return await client.send(request)


@pytest.mark.parametrize("values", [("return=minimal", "handling=strict"), ("handling=strict", "return=minimal")])
async def test_all_prefer_lines_count(client: httpx.AsyncClient, values: tuple[str, str]) -> None:
    """Of several Prefer lines each is followed, in any order."""
    lines = [("Prefer", value) for value in values]
    made = await _send(client, "PUT", "Patient/a", *lines, json=PATIENT)
    assert (made.status_code, made.content) == (201, b"")
    assert (await _send(client, "GET", "Patient?shoesize=42", *lines)).status_code == 400


@pytest.mark.parametrize("tags", [('W/"9"', 'W/"1"'), ('W/"1"', 'W/"9"')])
async def test_all_etag_lines_count(client: httpx.AsyncClient, tags: tuple[str, str]) -> None:
    """If-Match and If-None-Match on several lines are one list."""
    await client.put("Patient/a", json=PATIENT)
    same = await _send(client, "GET", "Patient/a", *(("If-None-Match", tag) for tag in tags))
    assert same.status_code == 304
    changed = PATIENT | {"active": False}
    assert (await _send(client, "PUT", "Patient/a", *(("If-Match", tag) for tag in tags), json=changed)).is_success
    again = await _send(client, "PUT", "Patient/a", *(("If-Match", tag) for tag in tags), json=PATIENT)
    assert again.status_code == 412


async def test_all_accept_lines_count(client: httpx.AsyncClient) -> None:
    """A format that is only named on one of several Accept lines is found."""
    await client.put("Patient/a", json=PATIENT)
    for lines in (("text/plain", "application/fhir+xml"), ("application/fhir+xml", "text/plain")):
        request = client.build_request("GET", "Patient/a")
        del request.headers["Accept"]
        request.headers = httpx.Headers([*request.headers.multi_items(), *(("Accept", line) for line in lines)])
        answer = await client.send(request)
        assert answer.headers["Content-Type"].startswith("application/fhir+xml")


@pytest.mark.parametrize("name", ["If-None-Exist", "Content-Type", "If-Modified-Since"])
async def test_two_values_of_one_condition_are_refused(client: httpx.AsyncClient, name: str) -> None:
    """A header that takes one value, sent with two, is a 400 that names it: following either would be a guess."""
    lines = [(name, "identifier=1"), (name, "identifier=2")]
    answer = await _send(client, "POST", "Patient", *lines, json={"resourceType": "Patient"})
    assert answer.status_code == 400
    assert name.lower() in answer.json()["issue"][0]["diagnostics"]
    assert (await client.get("Patient?_summary=count")).json()["total"] == 0
