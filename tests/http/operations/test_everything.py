"""Patient/$everything and Encounter/$everything."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

SEEN: dict[str, Any] = {"status": "final", "code": {"text": "x"}}
RECORD: list[dict[str, Any]] = [
    {"resourceType": "Patient", "id": "a", "generalPractitioner": [{"reference": "Practitioner/gp"}]},
    {"resourceType": "Patient", "id": "b"},
    {"resourceType": "Practitioner", "id": "gp"},
    {"resourceType": "Practitioner", "id": "stranger"},
    {"resourceType": "Organization", "id": "clinic", "name": "clinic", "partOf": {"reference": "Organization/group"}},
    {"resourceType": "Organization", "id": "group", "name": "group"},
    {"resourceType": "Medication", "id": "drug", "manufacturer": {"reference": "Organization/maker"}},
    {"resourceType": "Organization", "id": "maker", "name": "maker"},
    {"resourceType": "Binary", "id": "scan", "contentType": "text/plain", "data": "YQ=="},
    {
        "resourceType": "Encounter",
        "id": "visit",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/a"},
        "period": {"start": "2020-03-01", "end": "2020-03-02"},
        "serviceProvider": {"reference": "Organization/clinic"},
    },
    {
        "resourceType": "Observation",
        "id": "early",
        **SEEN,
        "subject": {"reference": "Patient/a"},
        "effectiveDateTime": "2010-01-01",
    },
    {
        "resourceType": "Observation",
        "id": "late",
        **SEEN,
        "subject": {"reference": "Patient/a"},
        "encounter": {"reference": "Encounter/visit"},
        "effectiveDateTime": "2020-03-01",
        "hasMember": [{"reference": "Observation/other"}],
    },
    {"resourceType": "Observation", "id": "undated", **SEEN, "subject": {"reference": "Patient/a"}},
    {"resourceType": "Observation", "id": "other", **SEEN, "subject": {"reference": "Patient/b"}},
    {
        "resourceType": "MedicationRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/a"},
        "medicationReference": {"reference": "Medication/drug"},
        "authoredOn": "2020-03-02",
    },
    {
        "resourceType": "DocumentReference",
        "id": "document",
        "status": "current",
        "subject": {"reference": "Patient/a"},
        "content": [{"attachment": {"url": "Binary/scan"}}],
    },
    {
        "resourceType": "Condition",
        "id": "child",
        "subject": {"reference": "Patient/b"},
        "asserter": {"reference": "Patient/a"},
    },
]
MATCHES = {
    "Patient/a",
    "Encounter/visit",
    "Observation/early",
    "Observation/late",
    "Observation/undated",
    "MedicationRequest/order",
    "DocumentReference/document",
    "Condition/child",
}
INCLUDED = {
    "Practitioner/gp",
    "Organization/clinic",
    "Organization/group",
    "Medication/drug",
    "Organization/maker",
    "Binary/scan",
}


@pytest.fixture
async def stored(client: httpx.AsyncClient) -> None:
    """Store two patients with what belongs to them."""
    entries = [
        {"resource": result, "request": {"method": "PUT", "url": f"{result['resourceType']}/{result['id']}"}}
        for result in RECORD
    ]
    (await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})).raise_for_status()


def found(answer: httpx.Response, mode: str) -> list[str]:
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert bundle["type"] == "searchset"
    entries = [entry for entry in bundle.get("entry", []) if entry["search"]["mode"] == mode]
    for entry in entries:
        resource = entry["resource"]
        assert entry["fullUrl"] == f"http://server.test/fhir/{resource['resourceType']}/{resource['id']}"
    return [f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in entries]


def link(answer: httpx.Response, relation: str) -> str | None:
    links = {each["relation"]: each["url"] for each in answer.json()["link"]}
    return links.get(relation)


@pytest.mark.usefixtures("stored")
async def test_the_record_of_a_patient_is_whole(client: httpx.AsyncClient) -> None:
    """Everything in the compartment is there once, with all that it refers to, and nothing of another's record."""
    for answer in (
        await client.get("Patient/a/$everything"),
        await client.post("Patient/a/$everything", json={"resourceType": "Parameters"}),
    ):
        assert sorted(found(answer, "match")) == sorted(MATCHES)
        assert sorted(found(answer, "include")) == sorted(INCLUDED)
        assert link(answer, "next") is None


@pytest.mark.usefixtures("stored")
async def test_the_record_of_an_encounter(client: httpx.AsyncClient) -> None:
    """The encounter, what belongs to it, and what these refer to, the patient among them."""
    answer = await client.get("Encounter/visit/$everything")
    assert sorted(found(answer, "match")) == ["Encounter/visit", "Observation/late"]
    assert set(found(answer, "include")) == {
        "Patient/a",
        "Practitioner/gp",
        "Organization/clinic",
        "Organization/group",
    }


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("query", "observations"),
    [
        ("start=2015-01-01", {"late", "undated"}),
        ("end=2015-01-01", {"early", "undated"}),
        ("start=2009&end=2011", {"early", "undated"}),
        ("start=2020-03-01&end=2020-03-01", {"late", "undated"}),
        ("start=2020-03&end=2020-03", {"late", "undated"}),
        ("start=2019&end=2020", {"late", "undated"}),
        ("start=0001-01-01&end=9999-12-31", {"early", "late", "undated"}),
    ],
)
async def test_dates_of_care_narrow_the_record(client: httpx.AsyncClient, query: str, observations: set[str]) -> None:
    """start and end are about when care was given; what bears no such date stays."""
    matches = found(await client.get(f"Patient/a/$everything?{query}"), "match")
    assert {each.removeprefix("Observation/") for each in matches if each.startswith("Observation")} == observations
    assert {"Patient/a", "DocumentReference/document"} <= set(matches)
    assert ("Encounter/visit" in matches) == ("late" in observations)


@pytest.mark.usefixtures("stored")
async def test_types_narrow_the_record(client: httpx.AsyncClient) -> None:
    """_type, repeated or with commas, says which types are there, of matches and of what they refer to."""
    answer = await client.get("Patient/a/$everything?_type=Encounter,Organization&_type=Patient")
    assert sorted(found(answer, "match")) == ["Encounter/visit", "Patient/a"]
    assert sorted(found(answer, "include")) == ["Organization/clinic", "Organization/group"]
    refused = await client.get("Patient/a/$everything?_type=Nonsense")
    assert refused.status_code == 400
    assert "_type" in refused.json()["issue"][0]["diagnostics"]


@pytest.mark.usefixtures("stored")
async def test_only_what_changed_since(client: httpx.AsyncClient) -> None:
    """_since leaves out what has not changed since then."""
    changed = RECORD[0] | {"active": True}
    since = (await client.put("Patient/a", json=changed)).json()["meta"]["lastUpdated"]
    assert found(await client.get("Patient/a/$everything", params={"_since": since}), "match") == ["Patient/a"]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("count", [1, 3, 8])
async def test_pages_are_complete_and_without_repetition(client: httpx.AsyncClient, count: int) -> None:
    """With _count, following the links gives every match once; no page is empty, and each brings what it refers to."""
    matches: list[str] = []
    included: set[str] = set()
    url: str | None = (
        f"Patient/a/$everything?_count={count}&_type=Patient,Observation,Encounter,Practitioner,Organization"
    )
    while url is not None:
        answer = await client.get(url)
        page = found(answer, "match")
        assert 0 < len(page) <= count
        matches += page
        included |= set(found(answer, "include"))
        url = link(answer, "next")
    assert len(matches) == len(set(matches))
    assert set(matches) == {each for each in MATCHES if each.startswith(("Patient", "Observation", "Encounter"))}
    assert included == {"Practitioner/gp", "Organization/clinic", "Organization/group"}


@pytest.mark.usefixtures("stored")
async def test_a_paging_link_is_for_one_record(client: httpx.AsyncClient) -> None:
    """A page of one patient's record cannot be asked for with the link of another's, nor with one that was changed."""
    following = link(await client.get("Patient/a/$everything?_count=1"), "next")
    assert following is not None
    query = urlsplit(following).query
    assert (await client.get(f"Patient/b/$everything?{query}")).status_code == 400
    assert (await client.get(following[:-3] + "xyz")).status_code == 400


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("query", "name"),
    [("start=soon", "start"), ("_count=0", "_count"), ("_count=many", "_count"), ("_since=2020", "_since")],
)
async def test_values_that_cannot_be_read_are_named(client: httpx.AsyncClient, query: str, name: str) -> None:
    """A date, instant or count that is none answers 400 with the parameter's name."""
    answer = await client.get(f"Patient/a/$everything?{query}")
    assert answer.status_code == 400
    assert name in answer.json()["issue"][0]["diagnostics"]


@pytest.mark.usefixtures("stored")
async def test_the_record_of_nobody(client: httpx.AsyncClient) -> None:
    """The record of a patient who never was answers 404, of a deleted one 410."""
    assert (await client.get("Patient/never/$everything")).status_code == 404
    await client.delete("Patient/b")
    assert (await client.get("Patient/b/$everything")).status_code == 410
    answer = await client.get("Encounter/$everything")
    assert answer.status_code == 404
    assert "Encounter/[id]/$everything" in answer.json()["issue"][0]["diagnostics"]


@pytest.mark.usefixtures("stored")
async def test_the_record_within_a_transaction_has_what_the_transaction_wrote(client: httpx.AsyncClient) -> None:
    """$everything as an entry of a transaction sees the writes of its other entries."""
    new = {"resourceType": "Observation", "id": "new", **SEEN, "subject": {"reference": "Patient/a"}}
    entries = [
        {"request": {"method": "GET", "url": "Patient/a/$everything"}},
        {"resource": new, "request": {"method": "PUT", "url": "Observation/new"}},
    ]
    answer = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text
    record = answer.json()["entry"][0]["resource"]["entry"]
    ids = {f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in record}
    assert ids == MATCHES | INCLUDED | {"Observation/new"}


ALL_MATCHES = {*MATCHES, "Patient/b", "Observation/other"}


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("count", ["", "?_count=1", "?_count=4"])
async def test_the_records_of_all_patients(client: httpx.AsyncClient, count: str) -> None:
    """Without an id: the records of all patients, each resource once over all pages, with what they refer to."""
    matches: list[str] = []
    included: set[str] = set()
    url: str | None = f"Patient/$everything{count}"
    while url is not None:
        answer = await client.get(url)
        assert found(answer, "match")
        matches += found(answer, "match")
        included |= set(found(answer, "include"))
        url = link(answer, "next")
    assert sorted(matches) == sorted(ALL_MATCHES)
    assert included == INCLUDED


@pytest.mark.usefixtures("stored")
async def test_the_parameters_narrow_the_records_of_all(client: httpx.AsyncClient) -> None:
    """start, end, _since and _type mean for all patients what they mean for one."""
    early = await client.get("Patient/$everything?_type=Observation&end=2011")
    assert sorted(found(early, "match")) == ["Observation/early", "Observation/other", "Observation/undated"]
    changed = RECORD[1] | {"active": True}
    since = (await client.put("Patient/b", json=changed)).json()["meta"]["lastUpdated"]
    assert found(await client.get("Patient/$everything", params={"_since": since}), "match") == ["Patient/b"]
    assert (await client.get("Patient/$everything?colour=red")).status_code == 400


@pytest.mark.usefixtures("stored")
async def test_what_belongs_to_no_patient_is_in_no_record(client: httpx.AsyncClient) -> None:
    """What refers to a deleted patient, or to none, is not among the records of all."""
    loose = {"resourceType": "Observation", "id": "loose", **SEEN}
    await client.put("Observation/loose", json=loose)
    await client.delete("Patient/b")
    matches = found(await client.get("Patient/$everything"), "match")
    assert sorted(matches) == sorted(MATCHES)
