"""A reference that is a URI and no literal reference is kept as it is, and opens, finds and destroys nothing."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.engine.gdpr.erasure import erase_patient
from fhir_server.hospital.api.references import relative
from fhir_server.r4 import values
from mappings.shared import reading
from tests.attacks.callers import BASE, ask, patient_token, resource_of, system_token
from tests.facade_server import Hospital
from tests.unit.r4.test_references import ODD as FORMS

SECRET = "Privatissimo"
HOST = BASE.partition("//")[2]
ODD = [
    "bea",
    "Patient/bea/$x",
    "Patient/bea/$everything?_count=1",
    "Patient/bea?x",
    "Patient/bea#x",
    "Patient/bea/",
    "Patient/bea/_history",
    "Patient/bea/_history/1/_history/2",
    "Patient/bea/_history/1/$x",
    "foo/Patient/bea",
    "/Patient/bea",
    "./Patient/bea",
    f"//{HOST}/Patient/bea",
    "Patient/../Patient/bea",
    "Patient/be%61",
    "Task/t/$accept?ac=Patient/bea",
    f"{BASE}/Patient/bea/$x",
    f"{BASE}/Patient/bea?x",
    f"{BASE}/Patient/bea#x",
    f"{BASE}/Patient/bea/_history/1/_history/2",
    f"{BASE}//Patient/bea",
    f"{BASE}/foo/Patient/bea",
    f"{BASE}/{BASE}/Patient/bea",
    "http://other.example/fhir/Patient/bea",
    "urn:x/Patient/bea",
]
"""Texts in which Bea's id, or her whole URL, stands, and which do not name her on this server."""


async def _stored(hospital: Hospital) -> None:
    await hospital.put(
        {"resourceType": "Patient", "id": "bea", "name": [{"family": "Okafor"}], "gender": "female"},
        {"resourceType": "Patient", "id": "al", "name": [{"family": "Berg"}]},
        {"resourceType": "Task", "id": "t", "status": "draft", "intent": "order"},
    )
    for number, text in enumerate(ODD):
        await hospital.put(
            {
                "resourceType": "Observation",
                "id": f"o-{number}",
                "status": "final",
                "code": {"text": SECRET},
                "subject": {"reference": text},
                "performer": [{"reference": text}],
            },
            {"resourceType": "Device", "id": f"d-{number}", "patient": {"reference": text}},
            {
                "resourceType": "Binary",
                "id": f"b-{number}",
                "contentType": "text/plain",
                "data": "eA==",
                "securityContext": {"reference": text},
            },
            {
                "resourceType": "DocumentReference",
                "id": f"r-{number}",
                "status": "current",
                "subject": {"reference": "Patient/al"},
                "content": [{"attachment": {"url": text.replace("Patient/bea", "Binary/secret")}}],
            },
        )


async def test_such_a_reference_is_kept_and_leads_nowhere(hospital: Hospital) -> None:
    """Not in reads of the patient's token, searches, chains, includes, compartments, $everything and GraphQL."""
    await _stored(hospital)
    services, bea, lab = hospital.services, patient_token("bea", "patient/*.rs"), system_token()
    for number, text in enumerate(ODD):
        kept = resource_of(await ask(services, lab, "GET", f"Observation/o-{number}"))
        assert kept["subject"] == {"reference": text}
        for kind, letter in (("Observation", "o"), ("Device", "d"), ("Binary", "b"), ("DocumentReference", "r")):
            for path in (f"{kind}/{letter}-{number}", f"{kind}/{letter}-{number}/_history/1"):
                assert (await ask(services, bea, "GET", path)).status == 404, text
        graph = await ask(
            services,
            lab,
            "GET",
            f"Observation/o-{number}/$graphql?query={{subject{{resource{{...on Patient{{gender}}}}}}}}",
        )
        assert b"female" not in (graph.json or b""), text
    for query in ("Observation", "Observation?_include=*", "Device", "Patient/bea/Observation"):
        assert not resource_of(await ask(services, bea, "GET", query)).get("entry"), query
    for url in (
        "Observation?subject=Patient/bea",
        "Observation?subject=bea",
        f"Observation?subject={BASE}/Patient/bea",
        "Observation?patient=bea",
        "Observation?performer=Patient/bea/_history/1",
        "Observation?patient.family=okafor",
        "Observation?subject:Patient.gender=female",
        "Patient?_has:Observation:subject:status=final",
        "Patient?_has:Observation:patient:status=final",
        "Patient/bea/Observation",
    ):
        assert not resource_of(await ask(services, lab, "GET", url)).get("entry"), url
    for url in ("Observation?_include=Observation:*&_count=100", "Observation?_include=*&_count=100"):
        result = resource_of(await ask(services, lab, "GET", url))["entry"]
        assert {each["resource"]["resourceType"] for each in result} == {"Observation"}, url
    revinclude = resource_of(await ask(services, lab, "GET", "Patient?_id=bea&_revinclude=Observation:subject"))
    assert len(revinclude["entry"]) == 1
    everything = await ask(services, lab, "GET", "Patient/bea/$everything")
    assert SECRET.encode() not in (everything.json or b"")
    of_al = resource_of(await ask(services, lab, "GET", "Patient/al/$everything?_count=200"))
    assert {each["resource"]["resourceType"] for each in of_al["entry"]} <= {
        "Patient",
        "DocumentReference",
        "Communication",  # that there are new documents
    }


@pytest.mark.parametrize("text", ["Patient/bea/$x", "bea", f"{BASE}/Patient/bea/$x", "Task/t/$accept?ac=1"])
async def test_it_is_found_by_its_own_text(hospital: Hospital, text: str) -> None:
    """An absolute URL or a path with an operation is searched for as it was written; an id alone means a resource."""
    await _stored(hospital)
    observation = {"resourceType": "Observation", "id": "own", "status": "final", "code": {"text": "x"}}
    await hospital.put({**observation, "focus": [{"reference": text}]})
    answer = await hospital.fhir("GET", f"Observation?focus={text}")
    assert [each["resource"]["id"] for each in answer.get("entry", ())] == ([] if text == "bea" else ["own"])


async def test_no_patient_writes_such_a_reference(hospital: Hospital) -> None:
    """Neither about whom nor beside it: a patient's token names resources by type and id."""
    await _stored(hospital)
    for text in ODD:
        report = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
        for elements in (
            {"subject": {"reference": text}},
            {"subject": {"reference": "Patient/bea"}, "device": {"reference": text.replace("Patient", "Device")}},
        ):
            answer = await ask(hospital.services, patient_token("bea"), "POST", "Observation", {**report, **elements})
            assert answer.status == 403, text


async def test_an_erasure_takes_nothing_for_such_a_reference(hospital: Hospital) -> None:
    """What names the patient in no literal reference is neither erased nor changed."""
    await _stored(hospital)
    before = {
        f"{kind}/{letter}-{number}": await hospital.fhir("GET", f"{kind}/{letter}-{number}")
        for number in range(len(ODD))
        for kind, letter in (("Observation", "o"), ("Device", "d"), ("Binary", "b"), ("DocumentReference", "r"))
    }
    await erase_patient(hospital.services, BASE, "bea")
    for path, resource in before.items():
        assert await hospital.fhir("GET", path) == resource


async def test_a_transaction_rewrites_no_such_reference(hospital: Hospital) -> None:
    """What an entry is called by its URL is replaced; what only goes on from that URL means something else."""
    await _stored(hospital)
    odd = [text for text in ODD if not text.startswith("urn:")]
    entries: list[dict[str, Any]] = [
        {"fullUrl": f"{BASE}/Patient/bea", "resource": {"resourceType": "Patient"},
         "request": {"method": "POST", "url": "Patient"}},
        *(
            {"fullUrl": f"{BASE}/Observation/n-{number}",
             "resource": {"resourceType": "Observation", "id": f"n-{number}", "status": "final",
                          "code": {"text": "x"}, "subject": {"reference": text}},
             "request": {"method": "PUT", "url": f"Observation/n-{number}"}}
            for number, text in enumerate(["Patient/bea", *odd])
        ),
    ]  # fmt: skip
    answer = await hospital.fhir("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    made = answer["entry"][0]["response"]["location"].split("/")[-3]
    subjects = [
        (await hospital.fhir("GET", f"Observation/n-{at}"))["subject"]["reference"] for at in range(len(odd) + 1)
    ]
    assert subjects[0] == f"Patient/{made}"
    # A fragment goes with the resource whose part it is: it names that part, and so nothing that is followed.
    parts = {"Patient/bea#x": f"Patient/{made}#x", f"{BASE}/Patient/bea#x": f"Patient/{made}#x"}
    assert subjects[1:] == [parts.get(text, text) for text in odd]


def test_the_hospital_reads_no_id_from_such_a_reference() -> None:
    """The facade's rows and notifications name only whom a literal reference names."""
    for text in ODD:
        seen = relative({"subject": {"reference": text}}, BASE)["subject"]
        assert reading.reference_id(seen, "Patient") is None, text
        assert reading.typed_reference(seen) is None, text
    for text in set(FORMS) - {"Foo/B"}:
        assert reading.typed_reference({"reference": text}) is None, text


async def test_validate_warns_of_it(hospital: Hospital) -> None:
    """The answer of `$validate` names the place, and tells of no fault."""
    resource = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "bea"},
    }
    answer = await ask(hospital.services, system_token(), "POST", "Observation/$validate", resource)
    issues = [(each["severity"], each.get("expression")) for each in values.decode(answer.json or b"")["issue"]]
    assert ("warning", ["Observation.subject.reference"]) in issues
    assert {severity for severity, _ in issues} <= {"warning", "information"}
