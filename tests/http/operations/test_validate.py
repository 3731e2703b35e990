"""$validate."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

GOOD: dict[str, Any] = {"resourceType": "Patient", "id": "a", "birthDate": "1974-12-25"}
BAD: dict[str, Any] = {"resourceType": "Patient", "birthDate": "1974-02-30", "colour": "red"}


def wrapped(resource: dict[str, Any] | None, **overrides: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"name": "resource", "resource": resource}] if resource else []
    parts += [
        {"name": name, "valueUri" if name == "profile" else "valueCode": value} for name, value in overrides.items()
    ]
    return {"resourceType": "Parameters", "parameter": parts}


ADVICE = {"information", "warning"}
"""What a valid resource without a narrative is answered: dom-6 warns of it."""


def issues(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    outcome = response.json()
    assert outcome["resourceType"] == "OperationOutcome"
    result: list[dict[str, Any]] = outcome["issue"]
    return result


def severities(response: httpx.Response) -> set[str]:
    return {issue["severity"] for issue in issues(response)}


async def test_a_valid_resource_has_no_fault(client: httpx.AsyncClient) -> None:
    """A valid resource answers 200 with information only, sent bare or in Parameters, and nothing is stored."""
    assert severities(await client.post("Patient/$validate", json=GOOD)) == ADVICE
    assert severities(await client.post("Patient/$validate", json=wrapped(GOOD, mode="create"))) == ADVICE
    assert severities(await client.post("Patient/$validate?mode=create", json=GOOD)) == ADVICE
    assert (await client.get("Patient/a")).status_code == 404


async def test_every_fault_is_told_with_its_place(client: httpx.AsyncClient) -> None:
    """A faulty resource answers 200 with an error for each fault, at its FHIRPath in the resource."""
    for body in (BAD, wrapped(BAD)):
        result = issues(await client.post("Patient/$validate", json=body))
        places = {tuple(issue["expression"]) for issue in result if issue["severity"] == "error"}
        assert places == {("Patient.birthDate",), ("Patient.colour",)}


async def test_another_type_is_a_fault(client: httpx.AsyncClient) -> None:
    """A resource of a type other than the URL's is told to be one."""
    result = issues(await client.post("Observation/$validate", json=GOOD))
    assert ["resourceType"] in [issue.get("expression") for issue in result]


async def test_an_update_is_checked_against_its_place(client: httpx.AsyncClient) -> None:
    """Mode update finds an id other than the URL's, and a version that is not current."""
    await client.put("Patient/a", json=GOOD)
    assert severities(await client.post("Patient/a/$validate", json=wrapped(GOOD, mode="update"))) == ADVICE
    other = wrapped(GOOD | {"id": "b"}, mode="update")
    assert "error" in severities(await client.post("Patient/a/$validate", json=other))
    stale = await client.post("Patient/a/$validate", json=wrapped(GOOD, mode="update"), headers={"If-Match": 'W/"7"'})
    assert "error" in severities(stale)


async def test_a_deletion_is_checked_without_content(client: httpx.AsyncClient) -> None:
    """Mode delete needs no resource, and warns where there is nothing to delete."""
    await client.put("Patient/a", json=GOOD)
    assert severities(await client.get("Patient/a/$validate?mode=delete")) == {"information"}
    assert "warning" in severities(await client.post("Patient/b/$validate", json=wrapped(None, mode="delete")))


@pytest.mark.parametrize("mode", ["update", "delete"])
async def test_update_and_delete_are_about_one_resource(client: httpx.AsyncClient, mode: str) -> None:
    """Modes update and delete at the type level answer 400."""
    answer = await client.post("Patient/$validate", json=wrapped(GOOD, mode=mode))
    assert answer.status_code == 400
    assert "Patient/[id]/$validate" in answer.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize(("query", "word"), [("?mode=review", "mode"), ("", "resource"), ("?mode=profile", "profile")])
async def test_a_question_that_cannot_be_answered(client: httpx.AsyncClient, query: str, word: str) -> None:
    """An unknown mode, no resource, or a mode without what it needs answers 400: nothing is said of the resource."""
    body = GOOD if query else None
    answer = await client.request("POST", f"Patient/$validate{query}", json=body)
    assert answer.status_code == 400
    assert word in answer.json()["issue"][0]["diagnostics"]


async def test_the_profile_of_the_type_itself_is_known(client: httpx.AsyncClient) -> None:
    """The base definition of the resource type is a profile that the server validates against."""
    profile = "http://hl7.org/fhir/StructureDefinition/Patient"
    assert severities(await client.post("Patient/$validate", json=wrapped(GOOD, profile=profile))) == ADVICE


REFERRING: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "x"},
    "subject": {"reference": "Patient?identifier=urn:mrn|1"},
}


@pytest.mark.parametrize(
    ("kind", "severity"), [(None, "warning"), ("batch", "warning"), ("collection", "warning"), ("transaction", None)]
)
async def test_a_conditional_reference_outside_a_transaction_is_told(
    client: httpx.AsyncClient, kind: str | None, severity: str | None
) -> None:
    """Nothing resolves it there, and a create would be refused; in a transaction it is right."""
    body, place = REFERRING, "Observation.subject.reference"
    if kind is not None:
        request = {} if kind == "collection" else {"request": {"method": "POST", "url": "Observation"}}
        full_url = "urn:uuid:0f1a3c9e-4f6f-4d0e-9a51-2b8f4a1f0c11"
        body = {
            "resourceType": "Bundle",
            "type": kind,
            "entry": [{"fullUrl": full_url, "resource": REFERRING} | request],
        }
        place = "Bundle.entry[0].resource.subject.reference"
    result = issues(await client.post(f"{body['resourceType']}/$validate", json=body))
    reported = [issue["severity"] for issue in result if place in issue.get("expression", ())]
    assert reported == ([severity] if severity else [])


async def test_a_conditional_reference_keeps_a_resource_from_being_created(client: httpx.AsyncClient) -> None:
    """With a mode it is the error that the interaction would be."""
    result = issues(await client.post("Observation/$validate", json=wrapped(REFERRING, mode="create")))
    assert [issue["severity"] for issue in result if issue["code"] != "invariant"] == ["error"]
