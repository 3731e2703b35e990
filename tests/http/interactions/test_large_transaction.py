"""Transactions that are stored part by part: they are whole or not at all, as small ones are."""

from __future__ import annotations

import json

import httpx
import pytest

from fhir_server.engine.transaction import transaction
from fhir_server.errors import BadRequest
from fhir_server.r4 import values
from tests.http.interactions.test_transaction import OBSERVATION, PATIENT, URN, bundle, count, entry


@pytest.fixture(autouse=True)
def part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store after each entry, as if each were large."""
    monkeypatch.setattr(transaction, "_COLLECTED", -1)


async def test_a_failing_entry_leaves_nothing_of_those_stored_before(client: httpx.AsyncClient) -> None:
    """All or nothing: the last entry's If-Match undoes a create, an update and a deletion."""
    for name in "abc":
        await client.put(f"Patient/{name}", json=PATIENT | {"id": name})
    answer = await client.post(
        "",
        json=bundle(
            entry("POST", "Observation", OBSERVATION),
            entry("DELETE", "Patient/a"),
            entry("PUT", "Patient/b", PATIENT | {"id": "b", "active": True}),
            entry("PUT", "Patient/c", PATIENT | {"id": "c", "active": True}, ifMatch='W/"7"'),
        ),
    )
    assert answer.status_code == 412
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[3]"]
    assert await count(client, "Observation") == 0
    assert [(await client.get(f"Patient/{name}")).headers["ETag"] for name in "abc"] == ['W/"1"'] * 3
    assert (await client.get("Patient/b/_history")).json()["total"] == 1


async def test_references_lead_to_what_is_stored_later(client: httpx.AsyncClient) -> None:
    """An entry that comes after the one that refers to it, and a file that a document leads to."""
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": URN},
        "content": [{"attachment": {"url": "urn:uuid:0f1a3c9e-4f6f-4d0e-9a51-2b8f4a1f0c11"}}],
    }
    file = {"resourceType": "Binary", "contentType": "text/plain", "data": "eA=="}
    answer = await client.post(
        "",
        json=bundle(
            entry("POST", "DocumentReference", document),
            entry("POST", "Binary", file, "urn:uuid:0f1a3c9e-4f6f-4d0e-9a51-2b8f4a1f0c11"),
            entry("POST", "Patient", PATIENT, URN),
        ),
        headers={"Prefer": "return=representation"},
    )
    made = [each["resource"] for each in answer.json()["entry"]]
    assert made[0]["subject"]["reference"] == f"Patient/{made[2]['id']}"
    assert made[0]["content"][0]["attachment"]["url"] == f"Binary/{made[1]['id']}"
    assert (await client.get(f"DocumentReference/{made[0]['id']}")).json() == made[0]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("place", ["resourceType", "entry", "fullUrl", "family"])
def test_a_key_that_stands_twice_is_seen_wherever_it_is(place: str, escaped: bool, indent: int | None) -> None:
    """In a Bundle, in an entry and in its resource, whatever white space and escapes there are."""
    family = {"family": "Ng" if not escaped else "Nguyễn"}
    whole = bundle(entry("POST", "Patient", PATIENT | {"name": [family]}, URN), entry("GET", "Patient"))
    text = json.dumps(whole, indent=indent, ensure_ascii=escaped)
    assert values.decode(text.encode()) == whole
    key = f'"{place}":'
    at = text.index(key)
    value_at = at + len(key) + (indent is not None or text[at + len(key)] == " ")
    end = json.JSONDecoder().raw_decode(text, value_at)[1]
    with pytest.raises(BadRequest, match=f"{place!r} appears twice"):
        values.decode((text[:end] + "," + text[at:end] + text[end:]).encode())
