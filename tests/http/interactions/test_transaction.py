"""Batch and transaction bundles."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from fhir_server.engine import writes
from fhir_server.engine.context import Context, Services
from fhir_server.engine.versions import draft
from fhir_server.r4.validation import validate

URN = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"
PATIENT: dict[str, Any] = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "1"}]}
OBSERVATION: dict[str, Any] = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}


def entry(
    method: str, url: str, resource: Any = None, full_url: str | None = None, **conditions: str
) -> dict[str, Any]:
    """Return one bundle entry."""
    made: dict[str, Any] = {"request": {"method": method, "url": url} | conditions}
    if resource is not None:
        made["resource"] = resource
    if full_url is not None:
        made["fullUrl"] = full_url
    return made


def bundle(*entries: dict[str, Any], kind: str = "transaction") -> dict[str, Any]:
    """Return a Bundle of entries."""
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def statuses(answer: httpx.Response) -> list[str]:
    """Return the status codes of a response bundle's entries."""
    return [item["response"]["status"][:3] for item in answer.json()["entry"]]


async def count(client: httpx.AsyncClient, url: str) -> int:
    """Return the number of entries that a search answers."""
    return len((await client.get(url)).json().get("entry", []))


async def test_references_between_entries_become_references_to_what_was_stored(client: httpx.AsyncClient) -> None:
    """Trap 37: References, urls, extensions, contained resources and narrative links are; canonicals are not."""
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{URN}">x</a> {URN}</div>',
        },
        "contained": [OBSERVATION | {"id": "c", "subject": {"reference": URN}}],
        "extension": [
            {"url": "http://example.org/a", "valueReference": {"reference": URN}},
            {"url": "http://example.org/b", "valueUri": URN},
            {"url": "http://example.org/c", "valueCanonical": URN},
            {"url": "http://example.org/d", "valueString": URN},
        ],
        "subject": {"reference": URN},
        "content": [{"attachment": {"url": URN}}],
        "context": {"related": [{"reference": "#c"}]},
    }
    answer = await client.post(
        "", json=bundle(entry("POST", "DocumentReference", document), entry("POST", "Patient", PATIENT, URN))
    )
    assert answer.status_code == 200
    assert answer.json()["type"] == "transaction-response"
    location = answer.json()["entry"][1]["response"]["location"]
    target = "/".join(location.split("/")[-4:-2])
    stored = (await client.get("DocumentReference")).json()["entry"][0]["resource"]
    assert stored["subject"]["reference"] == target
    assert stored["contained"][0]["subject"]["reference"] == target
    assert stored["content"][0]["attachment"]["url"] == target
    values = [next(v for k, v in item.items() if k != "url") for item in stored["extension"]]
    assert values == [{"reference": target}, target, URN, URN]
    assert f'href="{target}"' in stored["text"]["div"]
    assert f"</a> {URN}<" in stored["text"]["div"]


async def test_a_failing_entry_leaves_nothing(client: httpx.AsyncClient) -> None:
    """All or nothing: an If-Match that fails at the end undoes the creates before it."""
    await client.put("Patient/a", json=PATIENT | {"id": "a"})
    answer = await client.post(
        "",
        json=bundle(
            entry("POST", "Observation", OBSERVATION),
            entry("PUT", "Patient/a", PATIENT | {"id": "a", "active": True}, ifMatch='W/"7"'),
        ),
    )
    assert answer.status_code == 412
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[1]"]
    assert await count(client, "Observation") == 0
    assert (await client.get("Patient/a")).headers["ETag"] == 'W/"1"'


async def test_all_faults_of_all_resources_are_told_at_once(client: httpx.AsyncClient) -> None:
    """422 with the FHIRPath of each fault from the bundle's root."""
    answer = await client.post(
        "",
        json=bundle(
            entry("POST", "Patient", PATIENT | {"birthDate": "2020-13-01"}),
            entry("POST", "Observation", OBSERVATION | {"status": "nonsense"}),
        ),
    )
    assert answer.status_code == 422
    places = {path for issue in answer.json()["issue"] for path in issue.get("expression", [])}
    assert {"Bundle.entry[0].resource.birthDate", "Bundle.entry[1].resource.status"} <= places
    assert await count(client, "Patient") == 0


async def test_entries_are_processed_as_delete_post_put_get(client: httpx.AsyncClient) -> None:
    """Trap 36: whatever the order of entries, and the response keeps theirs."""
    await client.put("Patient/old", json=PATIENT | {"id": "old"})
    answer = await client.post(
        "",
        json=bundle(
            entry("GET", "Patient?identifier=urn:mrn|1"),
            entry("PUT", "Patient/b", PATIENT | {"id": "b"}),
            entry("POST", "Patient", PATIENT),
            entry("DELETE", "Patient/old"),
        ),
    )
    assert statuses(answer) == ["200", "201", "201", "204"]
    body = answer.json()["entry"][0]["resource"]["entry"]
    assert len(body) == 2
    assert "old" not in {item["resource"]["id"] for item in body}


async def test_a_deleted_match_does_not_stop_a_conditional_create(client: httpx.AsyncClient) -> None:
    """Within a transaction DELETE comes first, but conditions are about what was there before: the match stands."""
    await client.put("Patient/a", json=PATIENT | {"id": "a"})
    answer = await client.post(
        "",
        json=bundle(
            entry("POST", "Patient", PATIENT, URN, ifNoneExist="identifier=urn:mrn|1"),
            entry("POST", "Observation", OBSERVATION | {"subject": {"reference": URN}}),
        ),
    )
    assert statuses(answer) == ["200", "201"]
    body = (await client.get("Observation")).json()["entry"][0]["resource"]
    assert body["subject"]["reference"] == "Patient/a"


async def test_conditional_references_name_one_resource_or_fail(client: httpx.AsyncClient) -> None:
    """Trap 38: one match is put in; none or several fail the transaction."""
    observation = OBSERVATION | {"subject": {"reference": "Patient?identifier=urn:mrn|1"}}
    request = bundle(entry("POST", "Observation", observation))
    assert (await client.post("", json=request)).status_code == 412
    await client.put("Patient/a", json=PATIENT | {"id": "a"})
    assert (await client.post("", json=request)).status_code == 200
    assert (await client.get("Observation")).json()["entry"][0]["resource"]["subject"]["reference"] == "Patient/a"
    await client.post("Patient", json=PATIENT)
    assert (await client.post("", json=request)).status_code == 412
    assert await count(client, "Observation") == 1


async def test_a_conditional_reference_may_mean_a_resource_of_the_same_transaction(client: httpx.AsyncClient) -> None:
    """References are resolved after the writes, so a patient made in the same bundle is found."""
    observation = OBSERVATION | {"subject": {"reference": "Patient?identifier=urn:mrn|1"}}
    answer = await client.post(
        "", json=bundle(entry("POST", "Observation", observation), entry("PUT", "Patient/new", PATIENT | {"id": "new"}))
    )
    assert answer.status_code == 200
    assert (await client.get("Observation")).json()["entry"][0]["resource"]["subject"]["reference"] == "Patient/new"


async def test_conditional_update_patch_and_delete_stand_in_transactions(client: httpx.AsyncClient) -> None:
    """Each finds its resource by criteria."""
    await client.put("Patient/a", json=PATIENT | {"id": "a"})
    await client.put("Observation/o", json=OBSERVATION | {"id": "o", "identifier": [{"value": "o"}]})
    await client.put("Observation/p", json=OBSERVATION | {"id": "p", "identifier": [{"value": "p"}]})
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "replace"},
                    {"name": "path", "valueString": "Observation.status"},
                    {"name": "value", "valueCode": "amended"},
                ],
            }
        ],
    }
    answer = await client.post(
        "",
        json=bundle(
            entry("PUT", "Patient?identifier=urn:mrn|1", PATIENT | {"active": True}),
            entry("PATCH", "Observation?identifier=o", parameters),
            entry("DELETE", "Observation?identifier=p"),
        ),
    )
    assert statuses(answer) == ["200", "200", "204"]
    assert (await client.get("Patient/a")).json()["active"] is True
    assert (await client.get("Observation/o")).json()["status"] == "amended"
    assert (await client.get("Observation/p")).status_code == 410


@pytest.mark.parametrize(
    ("entries", "status"),
    [
        ([entry("PUT", "Patient/a", PATIENT | {"id": "a"}), entry("DELETE", "Patient/a")], 400),
        ([entry("POST", "Patient", PATIENT, URN), entry("POST", "Patient", PATIENT, URN)], 400),
        ([entry("POST", "Observation", OBSERVATION | {"subject": {"reference": URN}})], 400),
        ([entry("POST", "Patience", PATIENT)], 404),
        ([entry("POST", "Patient")], 400),
        ([entry("FETCH", "Patient")], 400),
        ([entry("GET", "http://elsewhere.example/fhir/Patient")], 400),
        ([entry("GET", "Patient/none")], 404),
        ([{"resource": PATIENT}], 400),
        ([entry("PUT", "Patient/a", PATIENT | {"id": "b"})], 400),
    ],
)
async def test_a_malformed_transaction_is_refused_with_the_place(
    client: httpx.AsyncClient, entries: list[Any], status: int
) -> None:
    """Trap 39 and others: a clear 4xx that names the entry."""
    answer = await client.post("", json=bundle(*entries))
    assert answer.status_code == status
    assert answer.json()["issue"][0]["expression"][0].startswith("Bundle.entry[")
    assert await count(client, "Patient") == 0


async def test_a_stored_bundle_inside_an_entry_is_left_alone(client: httpx.AsyncClient) -> None:
    """Trap 39: the URLs in a Bundle that is itself a resource are its own."""
    inner = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": URN, "resource": PATIENT}],
    }
    answer = await client.post("", json=bundle(entry("POST", "Bundle", inner), entry("POST", "Patient", PATIENT, URN)))
    assert answer.status_code == 200
    assert (await client.get("Bundle")).json()["entry"][0]["resource"]["entry"][0]["fullUrl"] == URN


async def test_a_batch_answers_each_entry_for_itself(client: httpx.AsyncClient) -> None:
    """One failure does not touch the others, and carries its OperationOutcome."""
    answer = await client.post(
        "",
        json=bundle(
            entry("POST", "Patient", PATIENT),
            entry("POST", "Patient", PATIENT | {"birthDate": "nonsense"}),
            entry("GET", "Patient?identifier=urn:mrn|1"),
            entry("GET", "Patient/none"),
            kind="batch",
        ),
    )
    assert answer.status_code == 200
    assert answer.json()["type"] == "batch-response"
    assert statuses(answer) == ["201", "422", "200", "404"]
    assert answer.json()["entry"][1]["response"]["outcome"]["resourceType"] == "OperationOutcome"


async def test_parallel_bundles_with_the_same_condition_make_one_patient(client: httpx.AsyncClient) -> None:
    """20 bundles at once, each creating the patient if none exists and an observation of it."""
    request = bundle(
        entry("POST", "Patient", PATIENT, URN, ifNoneExist="identifier=urn:mrn|1"),
        entry("POST", "Observation", OBSERVATION | {"subject": {"reference": URN}}),
    )
    answers = await asyncio.gather(*(client.post("", json=request) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert await count(client, "Patient") == 1
    body = (await client.get("Observation?_count=100")).json()["entry"]
    assert len(body) == 20
    assert len({item["resource"]["subject"]["reference"] for item in body}) == 1


async def test_a_repeated_bundle_of_puts_makes_no_new_versions(client: httpx.AsyncClient) -> None:
    """The second time each entry answers 200 with version 1."""
    request = bundle(*(entry("PUT", f"Patient/p{n}", PATIENT | {"id": f"p{n}"}) for n in range(10)))
    assert set(statuses(await client.post("", json=request))) == {"201"}
    again = await client.post("", json=request)
    assert set(statuses(again)) == {"200"}
    assert {item["response"]["etag"] for item in again.json()["entry"]} == {'W/"1"'}


async def test_too_many_entries_are_refused(client: httpx.AsyncClient) -> None:
    """Trap 60: past the limit a bundle is 413, not a crash."""
    request = bundle(*(entry("POST", "Patient", PATIENT) for _ in range(1001)))
    assert (await client.post("", json=request)).status_code == 413


async def test_only_batches_and_transactions_are_taken(client: httpx.AsyncClient) -> None:
    """Another bundle or another resource at the base is 400."""
    assert (await client.post("", json=bundle(kind="collection"))).status_code == 400
    assert (await client.post("", json=PATIENT)).status_code == 400


async def stored(client: httpx.AsyncClient, *entries: dict[str, Any]) -> list[Any]:
    """Return what a transaction made of the resources of its entries."""
    answer = await client.post("", json=bundle(*entries), headers={"Prefer": "return=representation"})
    assert answer.status_code == 200, answer.text
    return [item.get("resource") for item in answer.json()["entry"]]


def about(reference: str) -> dict[str, Any]:
    """Return an observation with this subject."""
    return OBSERVATION | {"subject": {"reference": reference}}


@pytest.mark.parametrize(
    ("patient_url", "observation_url", "reference"),
    [
        ("urn:oid:1.2.3", None, "urn:oid:1.2.3"),
        ("http://a.example/fhir/Patient/7", "urn:uuid:o", "http://a.example/fhir/Patient/7"),
        # A relative reference stands below the base of the fullUrl of the entry that holds it; without one, below ours.
        ("http://a.example/fhir/Patient/7", "http://a.example/fhir/Observation/1", "Patient/7"),
        ("http://server.test/fhir/Patient/7", "urn:uuid:o", "Patient/7"),
        ("http://server.test/fhir/Patient/7", None, "http://server.test/fhir/Patient/7"),
        (None, None, "Patient/7"),
    ],
)
async def test_a_created_resource_is_meant_by_whatever_url_its_entry_has(
    client: httpx.AsyncClient, patient_url: str | None, observation_url: str | None, reference: str
) -> None:
    """URNs, absolute and relative URLs, and the id in an entry without fullUrl lead to the id that was assigned."""
    patient, observation = await stored(
        client,
        entry("POST", "Patient", PATIENT | {"id": "7"}, patient_url),
        entry("POST", "Observation", about(reference), observation_url),
    )
    assert patient["id"] != "7"
    assert observation["subject"]["reference"] == f"Patient/{patient['id']}"


@pytest.mark.parametrize(
    ("observation_url", "reference"),
    [("http://b.example/fhir/Observation/1", "Patient/7"), (None, "Patient/7"), (None, "http://b.example/Patient/7")],
)
async def test_a_reference_to_another_resource_is_left_alone(
    client: httpx.AsyncClient, observation_url: str | None, reference: str
) -> None:
    """The same id below another base is another resource."""
    patient = entry("POST", "Patient", PATIENT, "http://a.example/fhir/Patient/7")
    _, observation = await stored(client, patient, entry("POST", "Observation", about(reference), observation_url))
    assert observation["subject"]["reference"] == reference


@pytest.mark.parametrize("url", [URN, "http://a.example/fhir/Patient/7"])
async def test_a_version_specific_reference_stays_one(client: httpx.AsyncClient, url: str) -> None:
    """It names the version that the transaction makes, whatever the version was elsewhere."""
    patient, observation = await stored(
        client, entry("POST", "Patient", PATIENT, url), entry("POST", "Observation", about(f"{url}/_history/5"))
    )
    assert observation["subject"]["reference"] == f"Patient/{patient['id']}/_history/1"


@pytest.mark.parametrize("form", ["FHIRPath Patch", "JSON Patch", "JSON Patch of a text", "JSON Merge Patch"])
async def test_a_patch_may_refer_to_an_entry(client: httpx.AsyncClient, form: str) -> None:
    """References in the values of every form of patch are replaced too."""
    await client.put("Observation/o", json=about("Patient/x") | {"id": "o"})
    if form == "FHIRPath Patch":
        part = [
            {"name": "type", "valueCode": "replace"},
            {"name": "path", "valueString": "Observation.subject"},
            {"name": "value", "valueReference": {"reference": URN}},
        ]
        body: dict[str, Any] = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}
    elif form == "JSON Merge Patch":
        data = base64.b64encode(json.dumps({"subject": {"reference": URN}}).encode()).decode()
        body = {"resourceType": "Binary", "contentType": "application/merge-patch+json", "data": data}
    else:
        whole = {"op": "replace", "path": "/subject", "value": {"reference": URN}}
        text = {"op": "replace", "path": "/subject/reference", "value": URN}
        data = base64.b64encode(json.dumps([whole if form == "JSON Patch" else text]).encode()).decode()
        body = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}
    patient, observation = await stored(
        client, entry("POST", "Patient", PATIENT, URN), entry("PATCH", "Observation/o", body)
    )
    assert observation["subject"]["reference"] == f"Patient/{patient['id']}"


async def test_a_conditional_reference_finds_a_resource_that_the_transaction_patches(client: httpx.AsyncClient) -> None:
    """It is found as it is stored."""
    await client.put("Patient/a", json=PATIENT | {"id": "a"})
    patch = {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "add"},
                    {"name": "path", "valueString": "Patient"},
                    {"name": "name", "valueString": "active"},
                    {"name": "value", "valueBoolean": True},
                ],
            }
        ],
    }
    patient, observation = await stored(
        client, entry("PATCH", "Patient/a", patch), entry("POST", "Observation", about("Patient?identifier=urn:mrn|1"))
    )
    assert patient["active"] is True
    assert observation["subject"]["reference"] == "Patient/a"


@pytest.mark.parametrize(
    "second",
    [
        entry("POST", "Patient", PATIENT, ifNoneExist="identifier=urn:mrn|1"),
        entry("PUT", "Patient?identifier=urn:mrn|1", PATIENT),
    ],
)
async def test_two_entries_of_one_condition_are_refused_at_once(
    client: httpx.AsyncClient, second: dict[str, Any]
) -> None:
    """Both would be the one resource that meets it."""
    first = entry("POST", "Patient", PATIENT, ifNoneExist="identifier=urn:mrn|1")
    answer = await client.post("", json=bundle(first, second))
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[1]"]
    assert await count(client, "Patient") == 0


async def test_several_entries_may_find_the_same_resource_but_not_beside_one_that_writes_it(
    client: httpx.AsyncClient,
) -> None:
    """Two conditional creates that find a patient are fine; one and the deletion of that patient are not."""
    await client.put("Patient/a", json=PATIENT | {"id": "a"})
    finding = entry("POST", "Patient", PATIENT, ifNoneExist="identifier=urn:mrn|1")
    assert statuses(await client.post("", json=bundle(finding, finding))) == ["200", "200"]
    answer = await client.post("", json=bundle(finding, entry("DELETE", "Patient/a")))
    assert answer.status_code == 400
    assert (await client.get("Patient/a")).status_code == 200


async def test_the_place_of_a_wrong_id_is_told(client: httpx.AsyncClient) -> None:
    """The path leads to the id in the entry's resource."""
    answer = await client.post("", json=bundle(entry("PUT", "Patient/a", PATIENT | {"id": "b"})))
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[0].resource.id"]


async def test_a_conditional_reference_is_not_stored(client: httpx.AsyncClient) -> None:
    """Outside of a transaction nothing resolves it: 422 naming its place, for a direct create and in a batch."""
    await client.put("Patient/a", json=PATIENT | {"id": "a"})
    observation = about("Patient?identifier=urn:mrn|1")
    direct = await client.post("Observation", json=observation)
    assert direct.status_code == 422
    assert direct.json()["issue"][0]["expression"] == ["Observation.subject.reference"]
    batch = await client.post("", json=bundle(entry("POST", "Observation", observation), kind="batch"))
    assert statuses(batch) == ["422"]
    assert await count(client, "Observation") == 0


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize("where", ["bundle", "entry", "request"])
async def test_an_unknown_element_of_a_bundle_is_refused(client: httpx.AsyncClient, kind: str, where: str) -> None:
    """A misspelt ifNoneExist would otherwise make a second patient."""
    request = bundle(entry("POST", "Patient", PATIENT), kind=kind)
    {"bundle": request, "entry": request["entry"][0], "request": request["entry"][0]["request"]}[where][
        "ifNonExist"
    ] = "x"
    answer = await client.post("", json=request)
    assert answer.status_code == 400 or statuses(answer) == ["400"]
    assert await count(client, "Patient") == 0


async def test_a_conflict_names_the_resource(
    client: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """409 with the entry whose resource others change before each attempt ends; nothing of the bundle is stored."""
    monkeypatch.setattr("fhir_server.store.database.transactions.TRANSACTION_SECONDS", 0.05)
    await client.put("Patient/a", json=PATIENT | {"id": "a"})
    flush = writes.flush

    async def overtaken(context: Context) -> None:
        rival = await services.resources.read("Patient", "a")
        assert rival is not None
        await services.resources.replace(
            draft(context, PATIENT | {"birthDate": f"20{rival.version:02d}"}, "a", "PUT", rival), rival
        )
        await flush(context)

    monkeypatch.setattr(writes, "flush", overtaken)
    answer = await client.post(
        "",
        json=bundle(
            entry("POST", "Observation", OBSERVATION),
            entry("PUT", "Patient/a", PATIENT | {"id": "a", "active": True}),
        ),
    )
    assert answer.status_code == 409
    (issue,) = answer.json()["issue"]
    assert issue["expression"] == ["Bundle.entry[1]"]
    assert "Patient/a" in issue["diagnostics"]
    assert await count(client, "Observation") == 0


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_the_answer_to_a_bundle_is_a_valid_bundle(client: httpx.AsyncClient, kind: str) -> None:
    """Several reads and conditional creates of one resource, whole or not, do not break bdl-7: each fullUrl once."""
    for resource_id, times in (("1", 12), ("12", 1)):
        for number in range(times):
            body = {"resourceType": "Patient", "id": resource_id, "birthDate": f"20{number:02}"}
            await client.put(f"Patient/{resource_id}", json=body)
    urls = ["Patient/1", "Patient/1", "Patient/1?_elements=id", "Patient/12", "Patient/1/_history/2", "Patient"]
    entries: list[dict[str, Any]] = [{"request": {"method": "GET", "url": url}} for url in urls]
    conditional = {"method": "POST", "url": "Patient", "ifNoneExist": "_id=1"}
    entries += [{"resource": {"resourceType": "Patient"}, "request": conditional}] * 2
    for prefer in ("return=minimal", "return=representation", "return=OperationOutcome"):
        answer = await client.post(
            "", json={"resourceType": "Bundle", "type": kind, "entry": entries}, headers={"Prefer": prefer}
        )
        assert answer.status_code == 200, answer.text
        faults = validate(answer.json(), max_depth=64)
        assert not [fault for fault in faults if fault.severity in ("error", "fatal")], faults
        assert answer.json()["entry"][0]["fullUrl"].endswith("Patient/1")
