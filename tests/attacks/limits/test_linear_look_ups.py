"""What a caller's body refers to is looked up in time that grows with the body, not with its square."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fhir_server.engine.transaction import conditional_references
from fhir_server.r4.fhirpath import items
from fhir_server.r4.validation.faults import Scope
from fhir_server.search.index.index import index


def _list(size: int) -> dict[str, Any]:
    """Return a List that contains so many Patients, each linked to the next."""
    contained = [
        {"resourceType": "Patient", "id": f"p{at}", "link": [_link(f"#p{(at + 1) % size}")]} for at in range(size)
    ]
    entries = [{"item": {"reference": f"#p{at}"}} for at in range(size)]
    return {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "contained": contained,
        "entry": entries,
    }


def _link(reference: str) -> dict[str, Any]:
    return {"other": {"reference": reference}, "type": "refer"}


def test_contained_resources_are_gathered_once_for_all_that_refer_to_them() -> None:
    """Each contained resource is checked in a scope of its own, and all share what their container has gathered."""
    container = Scope(_list(3))
    inner = [Scope(each, container) for each in container.root["contained"]]
    assert all(each.contained() is container.contained() for each in inner)
    assert container.contained() == {"p0": "Patient", "p1": "Patient", "p2": "Patient"}


def test_references_to_contained_resources_gather_them_once_an_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search index asks of every reference what it leads to, and does not go through all of them each time."""

    def looks(size: int) -> int:
        gathered = [0]
        original = items._contained_in

        def counting(holder: dict[str, Any] | None) -> list[dict[str, Any]]:
            gathered[0] += 1
            return original(holder)

        with monkeypatch.context() as patched:
            patched.setattr(items, "_contained_in", counting)
            index(_list(size))
        return gathered[0]

    assert looks(200) - looks(100) <= 4 * 100


async def test_relative_references_are_below_the_base_of_their_own_entry(client: httpx.AsyncClient) -> None:
    """Entries from many servers may have the same type and id; a relative reference means that of its own server."""
    entries = []
    for at in range(50):
        patient = {"resourceType": "Patient", "name": [{"family": f"Family{at}"}]}
        observation = {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": str(at)},
            "subject": {"reference": "Patient/1"},
        }
        for resource, name in ((patient, "Patient"), (observation, "Observation")):
            entries.append(
                {
                    "fullUrl": f"http://server{at}.example/{name}/1",
                    "resource": resource,
                    "request": {"method": "POST", "url": name},
                }
            )
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = await client.post("", json=bundle, headers={"Prefer": "return=representation"})
    assert answer.status_code == 200, answer.text
    stored = [entry["resource"] for entry in answer.json()["entry"]]
    for patient, observation in zip(stored[::2], stored[1::2], strict=True):
        assert observation["subject"]["reference"] == f"Patient/{patient['id']}"


async def test_conditional_references_index_what_the_transaction_writes_once(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many conditional references there are, each resource of the transaction is indexed for them once."""
    indexed: list[str] = []
    original = conditional_references.index_entry

    def counting(resource: dict[str, Any], timezone: str, base_url: str) -> dict[str, Any]:
        indexed.append(resource["id"])
        return original(resource, timezone, base_url)

    monkeypatch.setattr(conditional_references, "index_entry", counting)
    entries = []
    for at in range(20):
        patient = {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": str(at)}]}
        entries.append({"resource": patient, "request": {"method": "POST", "url": "Patient"}})
        observation = {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "x"},
            "subject": {"reference": f"Patient?identifier=urn:x|{at}"},
        }
        entries.append({"resource": observation, "request": {"method": "POST", "url": "Observation"}})
    answer = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text
    assert len(indexed) == len(set(indexed)) == 20
