"""Chains are evaluated inside contained resources. https://hl7.org/fhir/R4/search.html#contained"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.search.asking import bundle, coded, entries, found, link, observation, patient, refused, store

RX = "urn:rx"


def _request(resource_id: str, medication: str, *contained: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        "id": resource_id,
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p"},
        "medicationReference": {"reference": medication},
        **({"contained": list(contained)} if contained else {}),
    }


def _medication(resource_id: str, code: str, **fields: Any) -> dict[str, Any]:
    return {"resourceType": "Medication", "id": resource_id, "code": coded((RX, code)), **fields}


async def _stored(client: httpx.AsyncClient) -> None:
    organization = {"resourceType": "Organization", "name": "Acme Pharma"}
    await store(
        client,
        patient("p"),
        organization | {"id": "maker"},
        _medication("m", "a", manufacturer={"reference": "Organization/maker"}),
        _request("outside", "Medication/m"),
        _request("inside", "#m", _medication("m", "a", manufacturer={"reference": "Organization/maker"})),
        _request("other", "#m", _medication("m", "b", form={"text": "Tablet"})),
        _request("codeless", "#m", {"resourceType": "Medication", "id": "m", "status": "active"}),
        _request("deep", "#m", _medication("m", "c", manufacturer={"reference": "#o"}), organization | {"id": "o"}),
    )


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ("medication.code=a", {"outside", "inside"}),
        (f"medication.code={RX}|a", {"outside", "inside"}),
        (f"medication.code={RX}|", {"outside", "inside", "other", "deep"}),
        ("medication:Medication.code=a,b", {"outside", "inside", "other"}),
        ("medication.code:not=a", {"other", "codeless", "deep"}),
        ("medication.code:missing=true", {"codeless"}),
        ("medication.code:missing=false", {"outside", "inside", "other", "deep"}),
        ("medication.form:text=tab", {"other"}),
        ("medication._content=tablet", {"other"}),
        ("medication._id=m", {"outside"}),
        ("medication._id:not=x", {"outside", "inside", "other", "codeless", "deep"}),
        ("medication.status=active", {"codeless"}),
        ("medication.manufacturer=Organization/maker", {"outside", "inside"}),
        ("medication.manufacturer.name=acme", {"outside", "inside", "deep"}),
        ("medication.manufacturer.name:exact=Acme Pharma", {"outside", "inside", "deep"}),
        ("medication.manufacturer.name:missing=false", {"outside", "inside", "deep"}),
        ("medication.code=a&medication.manufacturer.name=acme", {"outside", "inside"}),
        ("medication.code=a&status=active", {"outside", "inside"}),
        ("_filter=medication.code eq b or medication.code eq c", {"other", "deep"}),
        ("_filter=medication[code eq a].manufacturer.name sw acme", {"outside", "inside"}),
    ],
)
async def test_a_chain_looks_into_contained_resources(
    client: httpx.AsyncClient, criteria: str, expected: set[str]
) -> None:
    """Each modifier, type and length of a chain finds a match by what is contained as by what is referred to."""
    await _stored(client)
    assert await found(client, f"MedicationRequest?{criteria}") == expected
    counted = await bundle(client, f"MedicationRequest?{criteria}&_summary=count")
    assert counted["total"] == len(expected)
    ids: list[str] = []
    url: str | None = f"MedicationRequest?{criteria}&_count=1"
    while url:
        page = await bundle(client, url)
        ids += entries(page)
        url = link(page, "next")
    assert sorted(ids) == sorted(expected)
    ordered = await bundle(client, f"MedicationRequest?{criteria}&_sort=-_id")
    assert entries(ordered) == sorted(expected, reverse=True)
    first = criteria.split("&", maxsplit=1)[0]
    if not first.startswith("_filter"):
        assert await found(client, f"Patient?_has:MedicationRequest:subject:{first}") == {"p"}


async def test_facts_of_two_contained_resources_are_not_mixed(client: httpx.AsyncClient) -> None:
    """One contained resource must meet all conditions of a filter, and only what the parameter refers to counts."""
    people = [
        {"resourceType": "Practitioner", "id": "a", "active": True, "name": [{"family": "Ames"}]},
        {"resourceType": "Practitioner", "id": "b", "active": False, "name": [{"family": "Bell"}]},
        {"resourceType": "Patient", "id": "c", "name": [{"family": "Cole"}]},
    ]
    references = [{"reference": "#a"}, {"reference": "#b"}]
    await store(client, observation("o", contained=people, performer=references, subject={"reference": "#c"}))
    assert await found(client, "Observation?performer:Practitioner.name=ames") == {"o"}
    assert await found(client, "Observation?_filter=performer:Practitioner[active eq true].name eq ames") == {"o"}
    assert await found(client, "Observation?_filter=performer:Practitioner[active eq true].name eq bell") == set()
    assert await found(client, "Observation?performer.name=cole") == set()
    assert await found(client, "Observation?subject.name=cole") == {"o"}
    assert await found(client, "Observation?subject:Location.name=cole") == set()
    assert await found(client, "Observation?patient.name=cole") == {"o"}


async def test_places_and_dates_of_contained_resources(client: httpx.AsyncClient) -> None:
    """Values that are ranges, positions, quantities and composites are looked for inside as well."""
    place = {"resourceType": "Location", "id": "l", "position": {"longitude": 10.0, "latitude": 50.0}}
    inner = observation("i", effectiveDateTime="2020-05-01", valueQuantity={"value": 5})
    encounter = {"resourceType": "Encounter", "id": "e", "status": "finished", "class": {"code": "AMB"}}
    report = {"resourceType": "DiagnosticReport", "id": "r", "status": "final", "code": {"text": "x"}}
    await store(
        client,
        encounter | {"contained": [place], "location": [{"location": {"reference": "#l"}}]},
        report | {"contained": [inner | {"code": coded((RX, "k"))}], "result": [{"reference": "#i"}]},
    )
    assert await found(client, "Encounter?location.near=50.0|10.0|1|km") == {"e"}
    assert await found(client, "Encounter?location.near=51.0|10.0|1|km") == set()
    for criterion, matches in (
        ("date=2020-05", True),
        ("date=ge2021", False),
        ("value-quantity=gt4", True),
        ("value-quantity=gt6", False),
        (f"code-value-quantity={RX}|k$5", True),
        (f"code-value-quantity={RX}|k$6", False),
        ("_lastUpdated=gt2000", False),
    ):
        assert await found(client, f"DiagnosticReport?result.{criterion}") == ({"r"} if matches else set()), criterion


async def test_a_bundle_s_composition_contains_its_author(client: httpx.AsyncClient) -> None:
    """The first resource of a document is looked into, with what it contains."""
    composition = {
        "resourceType": "Composition",
        "id": "c",
        "status": "final",
        "type": {"text": "x"},
        "date": "2020",
        "title": "T",
        "contained": [{"resourceType": "Practitioner", "id": "a", "name": [{"family": "Ames"}]}],
        "author": [{"reference": "#a"}],
    }
    document = {
        "resourceType": "Bundle",
        "id": "b",
        "type": "document",
        "identifier": {"system": "urn:x", "value": "1"},
        "timestamp": "2020-01-01T00:00:00Z",
        "entry": [{"fullUrl": "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a", "resource": composition}],
    }
    await store(client, document)
    assert await found(client, "Bundle?composition.author:Practitioner.name=ames") == {"b"}
    assert await found(client, "Bundle?composition.author:Practitioner.name=bell") == set()


async def test_value_sets_are_resolved_inside(client: httpx.AsyncClient) -> None:
    """`:in` asks for the codes of a contained resource, too."""
    value_set = {
        "resourceType": "ValueSet",
        "id": "v",
        "url": "urn:v",
        "status": "active",
        "compose": {"include": [{"system": RX}], "exclude": [{"system": RX, "concept": [{"code": "b"}]}]},
    }
    await _stored(client)
    await store(client, value_set)
    assert await found(client, "MedicationRequest?medication.code:in=urn:v") == {"outside", "inside", "deep"}
    assert await found(client, "MedicationRequest?medication.code:not-in=urn:v") == {"other", "codeless"}
    await refused(client, "MedicationRequest?medication.code:in=urn:unheard-of", "urn:unheard-of")
