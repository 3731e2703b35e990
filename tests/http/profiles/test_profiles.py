"""Profiles at every door: what claims one meets it, or is refused with the place, the profile and the element."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fhir_server.engine.context import Services
from fhir_server.settings import SettingsError, settings_with

Json = dict[str, Any]

HL7 = "http://hl7.org/fhir/StructureDefinition/"
OURS = "http://profiles.test/our-patient"


def weight(**more: Any) -> Json:
    return {
        "resourceType": "Observation",
        "meta": {"profile": [f"{HL7}bodyweight"]},
        "status": "final",
        "category": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}
                ]
            }
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "subject": {"reference": "http://elsewhere.test/Patient/1"},
        "effectiveDateTime": "2026-01-01",
        "valueQuantity": quantity("kg"),
        **more,
    }


def quantity(code: str) -> Json:
    return {"value": 70, "unit": code, "system": "http://unitsofmeasure.org", "code": code}


def profile(**more: Any) -> Json:
    """A profile as sites write them: a differential, with a slice of identifiers and a fixed value."""
    by_system = [{"type": "value", "path": "system"}]
    return {
        "resourceType": "StructureDefinition",
        "id": "our-patient",
        "url": OURS,
        "name": "OurPatient",
        "status": "active",
        "fhirVersion": "4.0.1",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": f"{HL7}Patient",
        "derivation": "constraint",
        "differential": {
            "element": [
                {"id": "Patient", "path": "Patient"},
                {
                    "id": "Patient.identifier",
                    "path": "Patient.identifier",
                    "slicing": {"discriminator": by_system, "rules": "open"},
                    "min": 1,
                },
                {
                    "id": "Patient.identifier:mrn",
                    "path": "Patient.identifier",
                    "sliceName": "mrn",
                    "min": 1,
                    "max": "1",
                },
                {
                    "id": "Patient.identifier:mrn.system",
                    "path": "Patient.identifier.system",
                    "min": 1,
                    "fixedUri": "urn:mrn",
                },
                {"id": "Patient.identifier:mrn.value", "path": "Patient.identifier.value", "min": 1},
                {"id": "Patient.birthDate", "path": "Patient.birthDate", "min": 1, "mustSupport": True},
            ]
        },
        **more,
    }


def ours(**more: Any) -> Json:
    identifier = [{"system": "urn:mrn", "value": "7"}]
    return {
        "resourceType": "Patient",
        "meta": {"profile": [OURS]},
        "identifier": identifier,
        "birthDate": "2000-01-01",
        **more,
    }


def errors(answer: httpx.Response) -> list[Json]:
    return [each for each in answer.json()["issue"] if each["severity"] == "error"]


async def test_a_core_profile_that_is_claimed_is_enforced(client: httpx.AsyncClient) -> None:
    """A body weight in millimetres is refused where it stands; one in kilograms is stored."""
    assert (await client.post("Observation", json=weight())).status_code == 201
    refused = await client.post("Observation", json=weight(valueQuantity=quantity("mm")))
    assert refused.status_code == 422
    [issue] = errors(refused)
    assert issue["code"] == "code-invalid"
    assert issue["expression"] == ["Observation.value.code"]
    assert f"{HL7}bodyweight, element Observation.value[x]:valueQuantity.code" in issue["diagnostics"]


@pytest.mark.parametrize(
    ("extension", "place"),
    [
        ({"url": f"{HL7}patient-birthPlace", "valueString": "Rome"}, "Patient.extension[0].value"),
        ({"url": f"{HL7}patient-birthTime", "valueDateTime": "2000-01-01T00:00:00Z"}, "Patient.extension[0]"),
        ({"url": f"{HL7}humanname-own-prefix", "valueString": "x"}, "Patient.extension[0]"),
    ],
)
async def test_core_extensions_are_held_to_their_definitions(
    client: httpx.AsyncClient, extension: Json, place: str
) -> None:
    """By the type of their value and by where they may stand."""
    refused = await client.post("Patient", json={"resourceType": "Patient", "extension": [extension]})
    assert refused.status_code == 422
    assert place in [path for issue in errors(refused) for path in issue["expression"]]


async def test_an_unknown_modifier_extension_is_refused_and_an_unknown_extension_kept(
    client: httpx.AsyncClient,
) -> None:
    """What changes the meaning must be known; what does not may be anything."""
    unknown = [{"url": "http://profiles.test/x", "valueString": "a"}]
    refused = await client.post("Patient", json={"resourceType": "Patient", "modifierExtension": unknown})
    assert refused.status_code == 422
    assert (await client.post("Patient", json={"resourceType": "Patient", "extension": unknown})).status_code == 201


async def test_a_code_that_an_hl7_code_system_lacks_is_refused(client: httpx.AsyncClient) -> None:
    """Its place is told; a code of a system that is not here as a whole is kept."""
    tag = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "NO-SUCH"}
    refused = await client.post("Patient", json={"resourceType": "Patient", "meta": {"tag": [tag]}})
    assert refused.status_code == 422
    assert errors(refused)[0]["expression"] == ["Patient.meta.tag[0].code"]
    tag = {"system": "http://loinc.org", "code": "NO-SUCH"}
    assert (await client.post("Patient", json={"resourceType": "Patient", "meta": {"tag": [tag]}})).status_code == 201


async def test_an_unknown_profile_is_told_not_to_have_been_checked(client: httpx.AsyncClient) -> None:
    """Stored, since it may be anybody's; $validate warns, and asked for by name it is an error."""
    claiming = {"resourceType": "Patient", "meta": {"profile": ["http://profiles.test/none"]}}
    assert (await client.post("Patient", json=claiming)).status_code == 201
    answer = await client.post("Patient/$validate", json=claiming)
    assert not errors(answer)
    assert any("http://profiles.test/none" in each["diagnostics"] for each in answer.json()["issue"])
    body = await client.post("Patient/$validate?profile=http://profiles.test/none", json={"resourceType": "Patient"})
    assert errors(body)[0]["code"] == "not-found"


async def test_a_profile_that_is_stored_holds_at_once(client: httpx.AsyncClient) -> None:
    """By create, update, patch, transaction and batch; what it demands and is missing is named."""
    assert (await client.put("StructureDefinition/our-patient", json=profile())).status_code == 201
    answer = await client.post("Patient/$validate", json=ours(identifier=[{"system": "urn:other", "value": "1"}]))
    assert [each["expression"] for each in errors(answer)] == [["Patient.identifier"]]
    assert "slice mrn" in errors(answer)[0]["diagnostics"]

    assert (await client.put("Patient/a", json=ours(id="a"))).status_code == 201
    wrong = ours(id="a")
    del wrong["birthDate"]
    assert (await client.put("Patient/a", json=wrong)).status_code == 422
    patch = [{"op": "remove", "path": "/birthDate"}]
    patched = await client.patch("Patient/a", json=patch, headers={"Content-Type": "application/json-patch+json"})
    assert patched.status_code == 422
    assert (await client.post("Patient", json=wrong)).status_code == 422
    added = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"profile": [OURS]}}]}
    await client.put("Patient/b", json={"resourceType": "Patient", "id": "b"})
    assert (await client.post("Patient/b/$meta-add", json=added)).status_code == 422


async def test_a_transaction_names_every_entry_that_breaks_its_profile(client: httpx.AsyncClient) -> None:
    """And stores nothing; a batch stores the others."""
    entries = [
        {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
        for resource in (weight(), weight(valueQuantity=quantity("mm")), weight(valueQuantity=quantity("cm")))
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    refused = await client.post("", json=bundle)
    assert refused.status_code == 422
    places = [each["expression"][0].partition(".resource")[0] for each in errors(refused)]
    assert places == ["Bundle.entry[1]", "Bundle.entry[2]"]
    assert (await client.get("Observation?_summary=count")).json()["total"] == 0
    answered = (await client.post("", json=bundle | {"type": "batch"})).json()
    assert [each["response"]["status"][:3] for each in answered["entry"]] == ["201", "422", "422"]


async def test_the_profile_is_asked_for_at_every_level(client: httpx.AsyncClient) -> None:
    """Of the system, a type and what is stored, which mode profile is about."""
    assert (await client.put("StructureDefinition/our-patient", json=profile())).status_code == 201
    plain = {"resourceType": "Patient", "id": "c"}
    await client.put("Patient/c", json=plain)
    answers = [
        await client.post(f"$validate?profile={OURS}", json=plain),
        await client.post(f"Patient/$validate?profile={OURS}", json=plain),
        await client.get(f"Patient/c/$validate?profile={OURS}"),
        await client.get(f"Patient/c/$validate?mode=profile&profile={OURS}"),
    ]
    for answer in answers:
        places = {path for each in errors(answer) for path in each["expression"]}
        assert places == {"Patient.identifier", "Patient.birthDate"}, answer.text


async def test_a_profile_of_another_version_of_fhir_is_refused(client: httpx.AsyncClient) -> None:
    """It cannot be stored, so that nobody takes it for one that is checked."""
    refused = await client.put("StructureDefinition/our-patient", json=profile(fhirVersion="5.0.0"))
    assert refused.status_code == 422
    assert errors(refused)[0]["expression"] == ["StructureDefinition.fhirVersion"]


async def test_must_support_is_information(client: httpx.AsyncClient) -> None:
    """What a profile wants supported and is missing is told, and no fault."""
    await client.put("StructureDefinition/our-patient", json=profile())
    plain = profile()["differential"]["element"]
    plain[-1] = {"id": "Patient.birthDate", "path": "Patient.birthDate", "mustSupport": True}
    await client.put("StructureDefinition/our-patient", json=profile(differential={"element": plain}))
    resource = ours()
    del resource["birthDate"]
    answer = await client.post("Patient/$validate", json=resource)
    assert not errors(answer), answer.text
    assert any(
        "Must-support" in each["diagnostics"] and "birthDate" in each["diagnostics"] for each in answer.json()["issue"]
    )


@pytest.mark.parametrize(
    ("policy", "status"), [("warn", 201), ("enforce,Observation=off", 201), ("off,Observation=enforce", 422)]
)
async def test_the_policy_of_the_type_decides(
    client: httpx.AsyncClient, services: Services, policy: str, status: int
) -> None:
    """To store and tell, to store, or to refuse."""
    services.settings = services.settings.model_copy(update={"profile_validation": policy})
    answer = await client.post("Observation", json=weight(valueQuantity=quantity("mm")))
    assert answer.status_code == status
    assert ("Warning" in answer.headers) == (policy == "warn")
    assert "bodyweight" in answer.headers.get("Warning", "bodyweight")


async def test_a_type_can_have_profiles_that_all_must_meet(client: httpx.AsyncClient, services: Services) -> None:
    """Whether a resource claims them or not; the CapabilityStatement names them, and R4's own."""
    required = f"Observation={HL7}vitalsigns,Patient={OURS}"
    services.settings = services.settings.model_copy(update={"required_profiles": required})
    plain = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    refused = await client.post("Observation", json=plain)
    assert refused.status_code == 422
    assert "Observation.category" in [path for issue in errors(refused) for path in issue["expression"]]
    described = (await client.get("metadata")).json()["rest"][0]["resource"]
    supported = {each["type"]: each.get("supportedProfile", []) for each in described}
    assert supported["Patient"] == [OURS]
    assert f"{HL7}bodyweight" in supported["Observation"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("profile_validation", "perhaps"),
        ("profile_validation", "enforce,patient=off"),
        ("required_profiles", "http://example.org/p"),
        ("required_profiles", "Patient=p"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(name: str, text: str) -> None:
    """At start, by the name of the setting."""
    with pytest.raises(SettingsError, match=name):
        settings_with(**{name: text})


def questions(**more: Any) -> Json:
    item = {"linkId": "smoker", "type": "boolean", "required": True}
    return {
        "resourceType": "Questionnaire",
        "id": "q",
        "url": "http://q.test/q",
        "status": "active",
        "item": [item],
        **more,
    }


def answers(canonical: str, **answer: Any) -> Json:
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": canonical,
        "status": "completed",
        "item": [{"linkId": "smoker", "answer": [answer]}],
    }


@pytest.mark.parametrize("canonical", ["http://q.test/q", "http://q.test/q|2", "Questionnaire/q"])
async def test_a_response_answers_its_questionnaire(client: httpx.AsyncClient, canonical: str) -> None:
    """At every door; of several versions the one that is named, and a change counts at once."""
    await client.put("Questionnaire/q", json=questions(version="2"))
    older = questions(version="1", id="older", item=[{"linkId": "smoker", "type": "string"}])
    await client.put("Questionnaire/older", json=older)
    assert (await client.post("QuestionnaireResponse", json=answers(canonical, valueBoolean=True))).status_code == 201
    wrong = answers(canonical, valueString="yes")
    refused = await client.post("QuestionnaireResponse", json=wrong)
    assert refused.status_code == 422
    place = "QuestionnaireResponse.item[0].answer[0].value"
    assert refused.json()["issue"][0]["expression"] == [place]
    batch = {"resourceType": "Bundle", "type": "transaction"}
    entry = {"resource": wrong, "request": {"method": "POST", "url": "QuestionnaireResponse"}}
    assert (await client.post("", json={**batch, "entry": [entry, entry]})).status_code == 422
    judged = await client.post("QuestionnaireResponse/$validate", json=wrong)
    assert place in str(judged.json())
    await client.put("Questionnaire/q", json=questions(version="2", item=older["item"]))
    assert (await client.post("QuestionnaireResponse", json=wrong)).status_code == 201


async def test_a_response_to_an_unknown_questionnaire_is_stored(client: httpx.AsyncClient) -> None:
    """And $validate says that it was not checked."""
    response = answers("http://q.test/none", valueString="x")
    assert (await client.post("QuestionnaireResponse", json=response)).status_code == 201
    told = (await client.post("QuestionnaireResponse/$validate", json=response)).json()["issue"]
    assert [(each["severity"], each["expression"]) for each in told if "not known" in each["diagnostics"]] == [
        ("warning", ["QuestionnaireResponse.questionnaire"])
    ]


async def test_a_contained_questionnaire_is_answered(client: httpx.AsyncClient) -> None:
    """It needs no other place."""
    contained = {"contained": [questions()]}
    good = {**answers("#q", valueBoolean=True), **contained}
    assert (await client.post("QuestionnaireResponse", json=good)).status_code == 201
    assert (await client.post("QuestionnaireResponse", json={**good, "item": []})).status_code in (400, 422)
