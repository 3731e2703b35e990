"""A patient's token writes over FHIR only what a patient may report, as its own subject, and never the hospital's."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fhir_server.auth.permission.bearer import BearerToken
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.reports import reporter_of
from tests.attacks.callers import BASE, ask, patient_token, resource_of, system_token
from tests.databases import Databases
from tests.facade.clinic import booking_of, open_clinics, policy_of
from tests.facade_server import AppUser, Hospital, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")

E, B = {"reference": "Patient/eve"}, {"reference": "Patient/bea"}
HR = {"system": "urn:hospital", "value": "B-1"}
STATE = "https://hms.example.org/fhir/StructureDefinition/"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hospital(
    mongod_url: str, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Hospital]:
    """Yield a hospital with the patients Eve and Bea, which every refused attack leaves as it is."""
    name = databases.take()
    path: Path = tmp_path_factory.mktemp("attacked")
    async with opened(mongod_url, name, path) as made:
        await made.put(*RECORDS)
        yield made
    databases.give_back(name)


def observation(**changes: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": E, **changes}


PATIENT = {
    "resourceType": "Patient",
    "id": "eve",
    "active": True,
    "name": [{"family": "Eve"}],
    "telecom": [{"system": "email", "value": "eve@example.org"}],
    "extension": [{"url": f"{STATE}account-status", "valueCode": "active"}],
    "identifier": [{"system": "urn:hospital", "value": "E-1"}],
    "generalPractitioner": [{"reference": "#gp"}],
    "contained": [{"resourceType": "Practitioner", "id": "gp", "name": [{"family": "Okpara"}]}],
    "meta": {"security": [{"system": "urn:labels", "code": "R"}], "tag": [{"code": "vip"}]},
}
RECORDS: list[dict[str, Any]] = [
    PATIENT,
    {"resourceType": "Patient", "id": "bea", "identifier": [HR]},
    {"resourceType": "Practitioner", "id": "p"},
    {"resourceType": "Slot", "id": "s", "status": "busy", "schedule": {"reference": "Schedule/x"},
     "start": "2030-01-01T10:00:00Z", "end": "2030-01-01T10:30:00Z"},
    # What the hospital wrote, and names Eve as somebody else or as the subject.
    observation(id="of-bea-by-eve", subject=B, performer=[E]),
    observation(id="of-eve", performer=[{"reference": "Practitioner/p"}]),
    {"resourceType": "Condition", "id": "asserted", "subject": B, "asserter": E, "code": {"text": "x"}},
    {"resourceType": "Encounter", "id": "beas", "status": "planned", "class": {"code": "AMB"}, "subject": B},
    {"resourceType": "Binary", "id": "beas", "contentType": "text/plain", "data": "eA==", "securityContext": B},
    {"resourceType": "Binary", "id": "nobodys", "contentType": "text/plain", "data": "eA=="},
]  # fmt: skip

FILE = {"contentType": "text/plain", "data": "eA=="}
CODED = {"coding": [{"code": "x"}], "text": "x"}
MONEY = {"value": 0, "currency": "USD"}
FORBIDDEN_TYPES: dict[str, dict[str, Any]] = {
    "Appointment": {"status": "booked", "start": "2030-01-01T10:00:00Z",
                    "end": "2030-01-01T10:30:00Z", "slot": [{"reference": "Slot/s"}],
                    "participant": [{"actor": E, "status": "accepted"}]},
    "AppointmentResponse": {"appointment": {"reference": "Appointment/1"}, "actor": E, "participantStatus": "accepted"},
    "Coverage": {"status": "active", "beneficiary": E, "payor": [{"reference": "Organization/o"}]},
    "CoverageEligibilityRequest": {"status": "active", "purpose": ["validation"], "patient": E, "created": "2026-01-01",
                                   "insurer": {"reference": "Organization/o"}},
    "CoverageEligibilityResponse": {"status": "active", "purpose": ["validation"], "patient": E,
                                    "created": "2026-01-01",
                                    "request": {"reference": "CoverageEligibilityRequest/1"}, "outcome": "complete",
                                    "insurer": {"reference": "Organization/o"}},
    "Invoice": {"status": "balanced", "subject": E, "totalGross": MONEY},
    "PaymentReconciliation": {"status": "active", "created": "2026-01-01", "paymentDate": "2026-01-01",
                              "paymentAmount": MONEY},
    "Claim": {"status": "active", "type": CODED, "use": "claim", "patient": E, "created": "2026-01-01",
              "provider": {"reference": "Organization/o"}, "priority": CODED,
              "insurance": [{"sequence": 1, "focal": True, "coverage": {"reference": "Coverage/1"}}]},
    "Account": {"status": "active", "subject": [E]},
    "ChargeItem": {"status": "billed", "code": CODED, "subject": E},
    "Encounter": {"status": "finished", "class": {"code": "AMB"}, "subject": E},
    "EpisodeOfCare": {"status": "active", "patient": E},
    "Schedule": {"actor": [E]},
    "Slot": {"status": "free", "schedule": {"reference": "Schedule/x"}, "start": "2030-01-01T10:00:00Z",
             "end": "2030-01-01T10:30:00Z"},
    "MedicationRequest": {"status": "active", "intent": "order", "medicationCodeableConcept": CODED, "subject": E},
    "ServiceRequest": {"status": "active", "intent": "order", "subject": E},
    "DiagnosticReport": {"status": "final", "code": CODED, "subject": E},
    "Procedure": {"status": "completed", "subject": E},
    "Immunization": {"status": "completed", "vaccineCode": CODED, "patient": E, "occurrenceDateTime": "2026-01-01"},
    "CarePlan": {"status": "active", "intent": "plan", "subject": E},
    "Consent": {"status": "active", "scope": CODED, "category": [CODED], "patient": E, "policyRule": CODED},
    "RelatedPerson": {"patient": E},
    "Person": {"link": [{"target": E}]},
    "Provenance": {"target": [E], "recorded": "2026-01-01T00:00:00Z", "agent": [{"who": E}]},
    "AuditEvent": {"type": {"code": "rest"}, "recorded": "2026-01-01T00:00:00Z", "agent": [{"requestor": True}],
                   "source": {"observer": E}},
    "List": {"status": "current", "mode": "working", "subject": E},
    "Group": {"type": "person", "actual": True, "member": [{"entity": E}]},
    "Basic": {"code": CODED, "subject": E},
    "Flag": {"status": "active", "code": CODED, "subject": E},
    "Device": {"patient": E},
    "Task": {"status": "requested", "intent": "order", "for": E},
    "Practitioner": {},
    "Patient": {"name": [{"family": "Second"}]},
}  # fmt: skip


def each_token() -> list[BearerToken]:
    """Return every kind of patient-level token of Eve's."""
    return [
        patient_token("eve"),
        patient_token("eve", "user/*.cruds"),
        patient_token("eve", "patient/*.* user/*.*"),
        patient_token("eve", role="practitioner", scopes="user/*.cruds"),
        patient_token("eve", fhir_user="RelatedPerson/r"),
        patient_token("eve", fhir_user="Practitioner/p", role="practitioner"),
    ]


async def untouched(hospital: Hospital, resource_type: str, before: int) -> None:
    """Fail where there is one more of the type than before."""
    assert (await hospital.fhir("GET", f"{resource_type}?_summary=count"))["total"] == before


async def total(hospital: Hospital, resource_type: str) -> int:
    return int((await hospital.fhir("GET", f"{resource_type}?_summary=count"))["total"])


@pytest.mark.parametrize("resource_type", FORBIDDEN_TYPES)
async def test_what_the_hospital_decides_is_not_a_patients_to_write(hospital: Hospital, resource_type: str) -> None:
    """No patient-level token creates identity, visits, slots, orders, money, insurance or rights, by any door."""
    resource = {"resourceType": resource_type, **FORBIDDEN_TYPES[resource_type]}
    before = await total(hospital, resource_type)
    own = {**resource, "id": "e-1"}
    url = f"{resource_type}/e-1"
    for token in each_token():
        entry = {"fullUrl": "urn:uuid:5ab5d5d2-cf6c-4ed0-91d6-32e5d3b2b2f1", "resource": resource,
                 "request": {"method": "POST", "url": resource_type}}  # fmt: skip
        for method, target, body in (
            ("POST", resource_type, resource),
            ("PUT", url, own),
            ("PUT", f"{resource_type}?_tag=x", resource),
            ("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}),
        ):
            answer = await ask(hospital.services, token, method, target, body)
            assert answer.status in (403, 404), (method, target, answer)
        batch = await ask(
            hospital.services, token, "POST", "", {"resourceType": "Bundle", "type": "batch", "entry": [entry]}
        )
        assert resource_of(batch)["entry"][0]["response"]["status"].startswith("403")
    await untouched(hospital, resource_type, before)


FOREIGN: list[Any] = [
    B,
    {"reference": f"{BASE}/Patient/bea"},
    {"reference": "Patient/bea/_history/1"},
    {"reference": "http://elsewhere.test/fhir/Patient/bea"},
    {"reference": f"{BASE.upper()}/Patient/bea"},
    {"reference": "http://SERVER.test/fhir/Patient/bea"},
    {"identifier": HR},
    {"identifier": HR, "type": "Patient"},
    {"reference": "Patient/eve", "identifier": HR},
    {"reference": "urn:uuid:5ab5d5d2-cf6c-4ed0-91d6-32e5d3b2b2f1"},
    {"display": "Bea"},
    {"extension": [{"url": "urn:x", "valueReference": B}]},
    {"reference": "Patient/eve", "extension": [{"url": "urn:x", "valueReference": B}]},
    {"reference": "Group/g"},
]
"""References to a patient who is not Eve, or to nobody who could be checked."""


@pytest.mark.parametrize("reference", FOREIGN, ids=str)
async def test_no_reference_of_a_report_leads_to_another_patient(hospital: Hospital, reference: Any) -> None:
    """Whichever element names the patient, and however it spells the name, it must be the token's own."""
    before = {kind: await total(hospital, kind) for kind in ("Observation", "Condition", "Communication", "Binary")}
    bodies = [
        observation(subject=reference),
        observation(subject=reference, performer=[E]),
        {"resourceType": "Condition", "subject": reference, "asserter": E, "code": {"text": "x"}},
        {"resourceType": "Communication", "status": "completed", "subject": reference, "sender": E, "recipient": [E]},
        {"resourceType": "Binary", "contentType": "text/plain", "data": "eA==", "securityContext": reference},
        {"resourceType": "QuestionnaireResponse", "status": "completed", "subject": reference, "author": E},
        {"resourceType": "DocumentReference", "status": "current", "subject": reference, "author": [E],
         "content": [{"attachment": FILE}]},
    ]  # fmt: skip
    if reference.get("display") is None:  # a name beside the subject is no reference
        bodies += [observation(focus=[reference]), observation(hasMember=[reference]),
                   {"resourceType": "DocumentReference", "status": "current", "subject": E,
                    "context": {"sourcePatientInfo": reference}, "content": [{"attachment": FILE}]},
                   {"resourceType": "Communication", "status": "completed", "subject": E, "recipient": [reference]},
                   {"resourceType": "QuestionnaireResponse", "status": "completed", "subject": E,
                    "item": [{"linkId": "1", "answer": [{"valueReference": reference}]}]}]  # fmt: skip
    bodies += [observation(performer=[reference]), observation(performer=[E, reference])]
    for body in bodies:
        answer = await ask(hospital.services, patient_token("eve"), "POST", body["resourceType"], body)
        assert answer.status in (403, 422), (body, answer)
    for kind, number in before.items():
        await untouched(hospital, kind, number)


@pytest.mark.parametrize("kind", ["Patient", "RelatedPerson", "Person", "Group"])
async def test_nobody_is_named_by_name_alone(hospital: Hospital, kind: str) -> None:
    """A reference that only says that it means a person names one whom nothing can check."""
    for named in ({"type": kind}, {"type": kind, "display": "Bea"}):
        body = {"resourceType": "QuestionnaireResponse", "status": "completed", "subject": E,
                "item": [{"linkId": "1", "answer": [{"valueReference": named}]}]}  # fmt: skip
        answer = await ask(hospital.services, patient_token("eve"), "POST", "QuestionnaireResponse", body)
        assert answer.status == 403, answer


@pytest.mark.parametrize("kind", ["Binary", "DocumentReference", "Condition", "Goal"])
async def test_no_extension_hides_in_the_subject(hospital: Hospital, kind: str) -> None:
    """The subject, too, has nothing but the elements that may be written."""
    bodies: dict[str, dict[str, Any]] = {
        "Binary": {"contentType": "text/plain", "data": "eA=="},
        "DocumentReference": {"status": "current", "content": [{"attachment": FILE}]},
        "Condition": {"code": CODED},
        "Goal": {"lifecycleStatus": "active", "description": CODED},
    }
    whose = "securityContext" if kind == "Binary" else "subject"
    before = await total(hospital, kind)
    for extension in ({"url": f"{STATE}x", "valueCode": "y"}, {"url": "urn:x", "valueReference": {"identifier": HR}}):
        body = {"resourceType": kind, **bodies[kind], whose: {**E, "extension": [extension]}}
        assert (await ask(hospital.services, patient_token("eve"), "POST", kind, body)).status == 403
    await untouched(hospital, kind, before)


async def test_no_contained_resource_brings_another_patient(hospital: Hospital) -> None:
    """Neither a contained patient nor a contained resource that names one is stored."""
    for contained, subject in (
        ({"resourceType": "Patient", "id": "p", "identifier": [HR]}, {"reference": "#p"}),
        ({"resourceType": "Patient", "id": "p", "identifier": [HR]}, E),
        ({"resourceType": "RelatedPerson", "id": "p", "patient": B}, E),
        ({"resourceType": "Device", "id": "p", "patient": B}, E),
        ({"resourceType": "Organization", "id": "p", "extension": [{"url": "urn:x", "valueReference": B}]}, E),
    ):
        body = observation(subject=subject, contained=[contained], performer=[{"reference": "#p"}])
        answer = await ask(hospital.services, patient_token("eve"), "POST", "Observation", body)
        assert answer.status in (403, 422), body


async def test_no_bundle_leads_a_report_to_another_patient(hospital: Hospital) -> None:
    """A fullUrl, a conditional reference or another entry gives no other subject than the token's."""
    urn = "urn:uuid:5ab5d5d2-cf6c-4ed0-91d6-32e5d3b2b2f1"
    before = await total(hospital, "Observation")
    named = {"resource": observation(subject={"reference": urn}), "request": {"method": "POST", "url": "Observation"}}
    for other in (
        {"fullUrl": urn, "resource": {"resourceType": "Patient", "identifier": [HR]},
         "request": {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=urn:hospital|B-1"}},
        {"fullUrl": urn, "resource": {"resourceType": "Patient", "id": "bea"},
         "request": {"method": "PUT", "url": "Patient/bea"}},
        {"fullUrl": urn, "resource": observation(), "request": {"method": "POST", "url": "Observation"}},
    ):  # fmt: skip
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [other, named]}
        answer = await ask(hospital.services, patient_token("eve"), "POST", "", bundle)
        assert answer.status in (403, 404), answer
    conditional = observation(subject={"reference": "Patient?identifier=urn:hospital|B-1"})
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": conditional, "request": {"method": "POST", "url": "Observation"}}],
    }
    answer = await ask(hospital.services, patient_token("eve"), "POST", "", bundle)
    assert 400 <= answer.status < 500
    await untouched(hospital, "Observation", before)


PARAMETERS = {"resourceType": "Parameters"}
IDENTITY: dict[str, Any] = {
    "identifier": [*PATIENT["identifier"], HR],  # type: ignore[misc]
    "link": [{"other": B, "type": "seealso"}],
    "active": False,
    "deceasedBoolean": True,
    "managingOrganization": {"reference": "Organization/o"},
    "generalPractitioner": [{"reference": "Practitioner/q"}],
    "extension": [{"url": f"{STATE}account-status", "valueCode": "banned"}],
    "modifierExtension": [{"url": "urn:x", "valueCode": "y"}],
    "telecom": [{"system": "email", "value": "mallory@example.org"}],
    "name": [{"family": "Bea"}],
    "birthDate": "1980-01-01",
    "photo": [{"url": "Binary/beas"}],
    "contained": [{"resourceType": "Practitioner", "id": "gp", "name": [{"family": "House"}]}],
    "_active": {"extension": [{"url": "urn:x", "valueCode": "y"}]},
    "implicitRules": "urn:x",
}


@pytest.mark.parametrize("name", IDENTITY)
async def test_identity_and_state_of_the_patient_are_not_the_patients_to_write(hospital: Hospital, name: str) -> None:
    """PUT, JSON Patch, FHIRPath Patch and transactions leave every element of identity and state as it was."""
    value = IDENTITY[name]
    current = await hospital.fhir("GET", "Patient/eve")
    removed = {key: item for key, item in current.items() if key != name}
    patch = [{"op": "add", "path": f"/{name}", "value": value}]
    entry = {"resource": {**current, name: value}, "request": {"method": "PUT", "url": "Patient/eve"}}
    items: list[tuple[str, str, Any]] = [
        ("PUT", "Patient/eve", {**current, name: value}),
        ("PUT", "Patient?_id=eve", {**current, name: value}),
        ("PATCH", "Patient/eve", patch),
        ("PATCH", "Patient?_id=eve", patch),
        ("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}),
    ]
    if name in current:
        items += [("PUT", "Patient/eve", removed), ("PATCH", "Patient/eve", [{"op": "remove", "path": f"/{name}"}])]
    for token in each_token():
        for method, url, body in items:
            answer = await ask(hospital.services, token, method, url, copy.deepcopy(body))
            assert answer.status in (403, 422), (method, url, answer)
    assert await hospital.fhir("GET", "Patient/eve") == current


async def test_a_fhirpath_patch_writes_no_identity(hospital: Hospital) -> None:
    """The other kind of patch passes the same rule."""
    current = await hospital.fhir("GET", "Patient/eve")
    for path, name, value in (("Patient", "active", {"valueBoolean": False}),
                              ("Patient", "identifier", {"valueIdentifier": HR})):  # fmt: skip
        kind = "replace" if name == "active" else "add"
        where = "Patient.active" if name == "active" else path
        parts = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": where},
                 {"name": "value", **value}]  # fmt: skip
        if kind == "add":
            parts.append({"name": "name", "valueString": name})
        body = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
        answer = await ask(hospital.services, patient_token("eve"), "PATCH", "Patient/eve", body)
        assert answer.status == 403, answer
    assert await hospital.fhir("GET", "Patient/eve") == current


@pytest.mark.parametrize("url", ["Patient/eve", "Observation/of-eve"])
@pytest.mark.parametrize(
    "meta", [{"security": [{"system": "urn:labels", "code": "R"}]}, {"tag": [{"code": "vip"}]}, {"profile": ["urn:x"]}]
)
async def test_labels_and_tags_of_the_hospital_are_not_the_patients(
    hospital: Hospital, url: str, meta: dict[str, Any]
) -> None:
    """$meta-add and $meta-delete are writes: labels and tags stay as they are."""
    current = await hospital.fhir("GET", url)
    form = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}
    operations = ["$meta-add", "$meta-delete"]
    if "profile" in meta and url == "Patient/eve":
        return  # a claim of conformance is not a state
    other = copy.deepcopy(form)
    for labels in other["parameter"][0]["valueMeta"].values():  # type: ignore[index]
        if isinstance(labels[0], dict):
            labels[0]["code"] = "other"
    for operation, body in zip(operations, (other, form), strict=True):
        answer = await ask(hospital.services, patient_token("eve"), "POST", f"{url}/{operation}", body)
        unchanged = operation == "$meta-delete" and url != "Patient/eve"
        assert answer.status == 403 or unchanged, answer
    assert await hospital.fhir("GET", url) == current


NOT_A_PATIENTS: list[dict[str, Any]] = [
    {"identifier": [{"system": "urn:lab", "value": "42"}]},
    {"basedOn": [{"reference": "ServiceRequest/1"}]},
    {"partOf": [{"reference": "Procedure/1"}]},
    {"extension": [{"url": f"{STATE}fee", "valueMoney": MONEY}]},
    {"modifierExtension": [{"url": "urn:x", "valueCode": "y"}]},
    {"performer": [{"reference": "Practitioner/p"}]},
    {"performer": [{"reference": "Organization/o"}]},
    {"performer": [{"display": "Dr. House"}]},
    {"note": [{"text": "x", "authorReference": {"reference": "Practitioner/p"}}]},
    {"meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}]}},
    {"meta": {"tag": [{"system": "urn:tag", "code": "verified"}]}},
    {"meta": {"source": "urn:lab"}},
    {"meta": {"extension": [{"url": f"{STATE}row-created", "valueDateTime": "2020-01-01"}]}},
    {"_status": {"extension": [{"url": f"{STATE}x", "valueCode": "y"}]}},
    {"note": [{"text": "x", "authorString": "Dr. House"}]},
    {"note": [{"text": "x", "_authorString": {"extension": [{"url": f"{STATE}x", "valueCode": "y"}]}}]},
    {"subject": {**E, "extension": [{"url": f"{STATE}fee", "valueMoney": MONEY}]}},
    {"subject": {**E, "extension": [{"url": "urn:x", "valueReference": {"reference": "http://else.test/Patient/b"}}]}},
    {"subject": {**E, "_display": {"extension": [{"url": "urn:x", "valueIdentifier": HR}]}}},
    {"encounter": {"reference": "Encounter/beas"}},
    {"encounter": {"reference": "Encounter/unknown"}},
    {"derivedFrom": [{"reference": "Observation/of-bea-by-eve/_history/9"}, {"reference": "Observation/beas"}]},
]


@pytest.mark.parametrize("changes", NOT_A_PATIENTS, ids=str)
async def test_a_report_says_nothing_that_is_the_hospitals(hospital: Hospital, changes: dict[str, Any]) -> None:
    """Business identifiers, orders, others' authorship, labels, states and others' records are refused when created
    and when put into a report later.
    """
    token = patient_token("eve")
    before = await total(hospital, "Observation")
    assert (await ask(hospital.services, token, "POST", "Observation", observation(**changes))).status == 403
    await untouched(hospital, "Observation", before)
    own = resource_of(await ask(hospital.services, token, "POST", "Observation", observation()))
    url = f"Observation/{own['id']}"
    assert (await ask(hospital.services, token, "PUT", url, {**own, **changes})).status == 403
    if "meta" not in changes:
        patch = [{"op": "add", "path": f"/{name}", "value": value} for name, value in changes.items()]
        assert (await ask(hospital.services, token, "PATCH", url, patch)).status == 403
    assert await hospital.fhir("GET", url) == own
    assert (await ask(hospital.services, token, "DELETE", url)).status == 204


@pytest.mark.parametrize("link", ["Binary/beas", "Binary/nobodys", "Binary/none", f"{BASE}/Binary/beas",
                                  "Binary/beas/_history/1", "https://evil.test/x", "Patient/bea"])  # fmt: skip
async def test_a_document_leads_only_to_the_patients_own_file(hospital: Hospital, link: str) -> None:
    """Whatever names a file, in a document, a message or an answer, names one of the patient's own."""
    attachment = {"contentType": "text/plain", "url": link}
    for body in (
        {"resourceType": "DocumentReference", "status": "current", "subject": E,
         "content": [{"attachment": attachment}]},
        {"resourceType": "Communication", "status": "completed", "subject": E,
         "payload": [{"contentAttachment": attachment}]},
        {"resourceType": "QuestionnaireResponse", "status": "completed", "subject": E,
         "item": [{"linkId": "1", "answer": [{"valueAttachment": attachment}]}]},
    ):  # fmt: skip
        answer = await ask(hospital.services, patient_token("eve"), "POST", body["resourceType"], body)
        assert answer.status == 403, (body, answer)


@pytest.mark.parametrize("url", ["Observation/of-bea-by-eve", "Observation/of-eve", "Condition/asserted"])
async def test_what_the_hospital_wrote_is_neither_changed_nor_deleted(hospital: Hospital, url: str) -> None:
    """Being named in it, as performer, asserter or subject, lets nobody change or delete what the hospital wrote."""
    current = await hospital.fhir("GET", url)
    kind, _, resource_id = url.partition("/")
    changed = {**current, "subject": E, "note": [{"text": "no"}]}
    status = [{"op": "add", "path": "/note", "value": [{"text": "no"}]}]
    meta = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"profile": ["urn:x"]}}]}
    for token in each_token():
        for method, path, body in (
            ("PUT", url, changed),
            ("PUT", url, {**current, "subject": B}),
            ("PUT", f"{kind}?_id={resource_id}", changed),
            ("PATCH", url, status),
            ("PATCH", f"{kind}?_id={resource_id}", status),
            ("DELETE", url, None),
            ("DELETE", f"{kind}?_id={resource_id}", None),
            ("DELETE", f"{kind}?_id={resource_id}&_multiple=true", None),
            ("POST", f"{url}/$meta-add", meta),
        ):
            answer = await ask(hospital.services, token, method, path, body)
            assert answer.status == 403, (method, path, answer)
        for kind_of_bundle in ("batch", "transaction"):
            entry = {"request": {"method": "DELETE", "url": url}}
            bundle = {"resourceType": "Bundle", "type": kind_of_bundle, "entry": [entry]}
            await ask(hospital.services, token, "POST", "", bundle)
    assert await hospital.fhir("GET", url) == current


async def test_a_report_does_not_move_into_another_record(hospital: Hospital) -> None:
    """What Eve reported stays about Eve: no update, patch or entry makes it Bea's."""
    token = patient_token("eve")
    own = resource_of(await ask(hospital.services, token, "POST", "Observation", observation()))
    url = f"Observation/{own['id']}"
    moved = [{"op": "replace", "path": "/subject/reference", "value": "Patient/bea"}]
    entry = {"resource": {**own, "subject": B}, "request": {"method": "PUT", "url": url}}
    for method, path, body in (
        ("PUT", url, {**own, "subject": B}),
        ("PUT", url, {**own, "subject": B, "performer": [E]}),
        ("PATCH", url, moved),
        ("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}),
    ):
        assert (await ask(hospital.services, token, method, path, body)).status == 403
    assert await hospital.fhir("GET", url) == own


async def test_a_report_is_recognisable_and_stays_so(hospital: Hospital) -> None:
    """The server marks what a patient reports; the patient neither takes the mark away nor gives it another name."""
    token = patient_token("eve")
    forged = {"meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
                                     "code": "CLINRPT"}],
                       "extension": [{"url": f"{STATE}reported-by", "valueReference": {"reference": "Practitioner/p"}}],
                       }}  # fmt: skip
    own = resource_of(await ask(hospital.services, token, "POST", "Observation", observation(**forged)))
    url = f"Observation/{own['id']}"
    assert [label["code"] for label in own["meta"]["security"]] == ["PATRPT"]
    assert reporter_of(own) == "Patient/eve"
    bare = {name: value for name, value in own.items() if name != "meta"}
    meta = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": own["meta"]}]}
    for method, path, body in (
        ("PUT", url, {**bare, "note": [{"text": "y"}]}),
        ("PATCH", url, [{"op": "remove", "path": "/meta/security"}, {"op": "remove", "path": "/meta/extension"}]),
        ("POST", f"{url}/$meta-delete", meta),
    ):
        assert (await ask(hospital.services, token, method, path, body)).status == 200
        stored = await hospital.fhir("GET", url)
        assert ([label["code"] for label in stored["meta"]["security"]], reporter_of(stored)) == (
            ["PATRPT"],
            "Patient/eve",
        )


async def test_what_staff_changed_is_no_report_any_more(hospital: Hospital) -> None:
    """A version that staff or a system writes is the hospital's, also when it sends the mark back."""
    token = patient_token("eve")
    own = resource_of(await ask(hospital.services, token, "POST", "Observation", observation()))
    url = f"Observation/{own['id']}"
    confirmed = {**own, "note": [{"text": "confirmed"}]}
    stored = resource_of(await ask(hospital.services, system_token(), "PUT", url, confirmed))
    assert reporter_of(stored) is None
    assert (await ask(hospital.services, token, "PUT", url, {**stored, "note": [{"text": "no"}]})).status == 403
    assert (await ask(hospital.services, token, "DELETE", url)).status == 403
    forged = observation(meta=own["meta"])
    by_system = resource_of(await ask(hospital.services, system_token(), "POST", "Observation", forged))
    assert reporter_of(by_system) is None


async def test_one_persons_report_is_not_anothers_to_change(hospital: Hospital) -> None:
    """What a relative or a doctor's app reported for Eve is not Eve's to change, nor the other way round."""
    tokens = [
        patient_token("eve"),
        patient_token("eve", fhir_user="RelatedPerson/r"),
        patient_token("eve", fhir_user="Practitioner/p", role="practitioner"),
    ]
    marks = []
    for token in tokens:
        made = await ask(hospital.services, token, "POST", "Observation", observation())
        assert made.status == 201, made
        own = resource_of(made)
        marks.append(own["meta"]["security"][0]["code"])
        for other in tokens:
            changed = {**own, "note": [{"text": "no"}]}
            answer = await ask(hospital.services, other, "PUT", f"Observation/{own['id']}", changed)
            assert (answer.status == 200) == (other is token)
    assert marks == ["PATRPT", "PACQRPT", "CLINRPT"]


REPORTS: list[dict[str, Any]] = [
    observation(category=[{"coding": [{"system": CATEGORY, "code": "vital-signs"}]}], performer=[E],
                effectiveDateTime="2026-01-01", valueQuantity={"value": 72, "unit": "/min"},
                meta={"profile": ["http://hl7.org/fhir/StructureDefinition/vitalsigns"]}),
    {"resourceType": "QuestionnaireResponse", "status": "completed", "subject": E, "author": E, "source": E,
     "item": [{"linkId": "1", "answer": [{"valueString": "well"}]}]},
    {"resourceType": "DocumentReference", "status": "current", "subject": E, "author": [E],
     "content": [{"attachment": {"contentType": "text/plain", "data": "eA=="}}]},
    {"resourceType": "Binary", "contentType": "text/plain", "data": "eA==", "securityContext": E},
    {"resourceType": "Communication", "status": "completed", "subject": E, "sender": E,
     "recipient": [{"reference": "Practitioner/p"}], "payload": [{"contentString": "May I ask something?"}]},
    {"resourceType": "AllergyIntolerance", "patient": E, "code": {"text": "nuts"}, "recorder": E,
     "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical",
                                    "code": "active"}]}},
    {"resourceType": "Condition", "subject": E, "code": {"text": "migraine"}, "asserter": E},
    {"resourceType": "MedicationStatement", "status": "active", "subject": E, "informationSource": E,
     "medicationCodeableConcept": {"text": "aspirin"}},
    {"resourceType": "FamilyMemberHistory", "status": "partial", "patient": E, "relationship": {"text": "mother"}},
    {"resourceType": "Goal", "lifecycleStatus": "proposed", "subject": E, "description": {"text": "walk"}},
]  # fmt: skip


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report["resourceType"])
async def test_a_patient_reports_changes_and_deletes_its_own(hospital: Hospital, report: dict[str, Any]) -> None:
    """What a patient may report passes by every door, and stays the patient's to change and to take back."""
    kind = report["resourceType"]
    for token in (
        patient_token("eve"),
        patient_token("eve", "user/*.cruds"),
        patient_token("eve", f"patient/{kind}.cruds"),
    ):
        made = await ask(hospital.services, token, "POST", kind, report)
        assert made.status == 201, made
        own = resource_of(made)
        url = f"{kind}/{own['id']}"
        changed = await ask(hospital.services, token, "PUT", url, {**own, "language": "en"})
        assert (changed.status, resource_of(changed)["language"]) == (200, "en")
        patch = [{"op": "add", "path": "/language", "value": "de"}]
        assert (await ask(hospital.services, token, "PATCH", url, patch)).status == 200
        again = resource_of(await ask(hospital.services, token, "GET", url))
        same = await ask(hospital.services, token, "PUT", url, again)
        assert same.version == 3, "the same again makes no version"
        assert (await ask(hospital.services, token, "DELETE", url)).status == 204
        assert (await ask(hospital.services, token, "GET", url)).status in (404, 410)


async def test_a_transaction_stores_a_document_with_its_file(hospital: Hospital) -> None:
    """A report may lead to another one that the same transaction makes."""
    urn = "urn:uuid:5ab5d5d2-cf6c-4ed0-91d6-32e5d3b2b2f1"
    file = {"resourceType": "Binary", "contentType": "text/plain", "data": "eA==", "securityContext": E}
    document = {"resourceType": "DocumentReference", "status": "current", "subject": E,
                "content": [{"attachment": {"url": urn}}]}  # fmt: skip
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": urn, "resource": file, "request": {"method": "POST", "url": "Binary"}},
        {"resource": document, "request": {"method": "POST", "url": "DocumentReference"}}]}  # fmt: skip
    assert (await ask(hospital.services, patient_token("eve"), "POST", "", bundle)).status == 200
    bundle["entry"][0]["resource"] = {**file, "securityContext": B}  # type: ignore[index]
    assert (await ask(hospital.services, patient_token("eve"), "POST", "", bundle)).status == 403


async def test_a_patient_writes_address_and_contacts(hospital: Hospital) -> None:
    """Of the own Patient a patient's token changes where to reach whom, and no more of meta than before."""
    current = await hospital.fhir("GET", "Patient/eve")
    changed = {**current, "address": [{"city": "Oslo"}], "maritalStatus": {"text": "married"}}
    assert (await ask(hospital.services, patient_token("eve"), "PUT", "Patient/eve", changed)).status == 200
    stored = await hospital.fhir("GET", "Patient/eve")
    assert (stored["address"], stored["meta"]["security"]) == ([{"city": "Oslo"}], current["meta"]["security"])


async def test_every_other_scope_writes_as_before(hospital: Hospital) -> None:
    """Staff and systems write what their scopes name, also where the same token has patient scopes besides."""
    doctor = patient_token(
        "eve", "patient/*.cruds user/Observation.cruds", fhir_user="Practitioner/p", role="practitioner"
    )
    body = observation(performer=[{"reference": "Practitioner/p"}], identifier=[{"value": "1"}])
    made = await ask(hospital.services, doctor, "POST", "Observation", body)
    assert (made.status, reporter_of(resource_of(made))) == (201, None)
    for kind, elements in FORBIDDEN_TYPES.items():
        if kind not in ("AuditEvent",):
            answer = await ask(hospital.services, system_token(), "POST", kind, {"resourceType": kind, **elements})
            assert answer.status == 201, (kind, answer)


async def test_validate_tells_what_a_write_would_be_answered(hospital: Hospital) -> None:
    """$validate asks the same rule."""
    token = patient_token("eve")
    for body, allowed in (
        (observation(), True),
        (observation(identifier=[HR]), False),
        (observation(subject=B), False),
    ):
        parameters = {"resourceType": "Parameters", "parameter": [
            {"name": "mode", "valueCode": "create"}, {"name": "resource", "resource": body}]}  # fmt: skip
        issues = resource_of(await ask(hospital.services, token, "POST", "Observation/$validate", parameters))["issue"]
        assert any(issue["code"] == "forbidden" for issue in issues) != allowed


async def test_the_apps_own_token_writes_no_more_than_others(hospital: Hospital) -> None:
    """A sign-up token on /fhir is a patient-level token: no appointment, no identity, no notification is written."""
    await open_clinics(hospital)
    eve, bea = await hospital.sign_up("evelyn"), await hospital.sign_up("beatrix")
    own = await eve.ask("POST", "/booking/appointments", booking_of(), status=201)
    appointment = await hospital.fhir("GET", f"Appointment/{own['id']}")
    patient = await hospital.fhir("GET", f"Patient/{eve.id}")
    for method, url, body in (
        ("PUT", f"Appointment/{own['id']}", {**appointment, "slot": [{"reference": "Slot/s"}]}),
        ("POST", "Appointment", {key: value for key, value in appointment.items() if key != "id"}),
        ("PUT", f"Patient/{eve.id}", {**patient, "active": False}),
        ("PUT", f"Patient/{eve.id}", {**patient, "identifier": [HR]}),
        ("POST", "DocumentReference", {
            "resourceType": "DocumentReference", "status": "current", "subject": {"reference": f"Patient/{bea.id}"},
            "author": [{"reference": f"Patient/{eve.id}"}], "content": [{"attachment": FILE}]}),
    ):  # fmt: skip
        assert (await eve.send(method, f"/fhir/{url}", body)).status_code == 403, (method, url)
    assert await hospital.fhir("GET", f"Appointment/{own['id']}") == appointment
    assert await hospital.fhir("GET", f"Patient/{eve.id}") == patient
    assert await listed(bea) == []


async def test_the_facade_goes_on_writing_for_its_users(hospital: Hospital) -> None:
    """Profile, family, upload and insurance are the facade's writes: they work, and the upload is marked."""
    await open_clinics(hospital)
    eve = await hospital.sign_up("evita")
    await hospital.put(policy_of(eve.id))
    assert (await eve.ask("PUT", "/user/profile", {"first_name": "Eva", "timezone": "Europe/Oslo"}))[
        "first_name"
    ] == "Eva"
    member = await eve.ask(
        "POST", "/user/family", {"name": "Ada", "relation": "child", "dob": "2019-05-01"}, status=201
    )
    assert (await eve.ask("PUT", f"/user/family/{member['id']}", {"name": "Ida"}))["name"] == "Ida"
    await eve.ask("DELETE", f"/user/family/{member['id']}", status=204)
    sent = await eve.http.post(
        "/history/documents",
        files={"file": ("a.pdf", b"%PDF-1.4", "application/pdf")},
        data={"document_type": "other"},
        headers={"Authorization": f"Bearer {eve.session['access_token']}"},
    )
    document = await hospital.fhir("GET", f"DocumentReference/{sent.json()['id']}")
    assert reporter_of(document) == f"Patient/{eve.id}"


async def listed(user: AppUser) -> list[Any]:
    items: list[Any] = (await user.ask("GET", "/notifications"))["items"]
    return items


async def test_no_type_is_forgotten() -> None:
    """Each type is either in the table or refused: the test of forbidden types names real ones only."""
    assert set(FORBIDDEN_TYPES) <= RESOURCE_TYPES
