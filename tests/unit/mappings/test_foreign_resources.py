"""What others wrote over FHIR is read as rows, whatever they left out or wrote more exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fhir_server.r4 import values
from mappings.accounts import user_family, users
from mappings.billing import payments
from mappings.booking import appointments
from mappings.catalogue import clinics, doctors, specialties
from mappings.insurance import insurance
from mappings.notifications import notifications
from mappings.records import lab_tests, medical_documents, prescriptions, treatment_plans
from mappings.visits import visit_tracking
from tests import samples

READERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "Patient": users.from_fhir,
    "RelatedPerson": user_family.from_fhir,
    "Location": clinics.from_fhir,
    "HealthcareService": specialties.from_fhir,
    "Practitioner": lambda resource: doctors.from_fhir(resource, {"resourceType": "PractitionerRole"}),
    "PractitionerRole": lambda resource: doctors.from_fhir({"resourceType": "Practitioner", "id": "p"}, resource),
    "Appointment": lambda resource: appointments.from_fhir(resource, ZoneInfo("Europe/Madrid")),
    "Invoice": payments.from_fhir,
    "PaymentReconciliation": lambda resource: payments.from_fhir({"resourceType": "Invoice", "id": "i"}, resource),
    "CarePlan": treatment_plans.from_fhir,
    "MedicationRequest": prescriptions.from_fhir,
    "ServiceRequest": lab_tests.from_fhir,
    "DiagnosticReport": lambda resource: lab_tests.from_fhir({"resourceType": "ServiceRequest", "id": "s"}, resource),
    "Observation": lambda resource: lab_tests.measurements([resource]),
    "DocumentReference": medical_documents.from_fhir,
    "Communication": notifications.from_fhir,
    "Encounter": visit_tracking.from_fhir,
    "Coverage": insurance.from_fhir,
}


@pytest.mark.parametrize("resource_type", READERS)
def test_official_examples(resource_type: str) -> None:
    """Every official example of a mapped type is read without an error."""
    examples = [name for name in samples.official_examples() if samples.resource_type(name) == resource_type]
    assert examples
    for name in examples:
        assert READERS[resource_type](values.decode(samples.official_example(name))) is not None, name


def test_several_names() -> None:
    """A Patient's official name counts before the others, an old one never while there is another."""
    names = [
        {"use": "old", "family": "Aldabe"},
        {"use": "nickname", "given": ["Mimi"]},
        {"use": "official", "family": "Lindqvist", "given": ["Mara", "Elise"]},
    ]
    row = users.from_fhir({"resourceType": "Patient", "id": "1", "name": names})
    assert (row.first_name, row.last_name) == ("Mara Elise", "Lindqvist")


def test_an_old_phone_number() -> None:
    """A contact point that is out of use counts only where there is no other."""
    telecom = [{"system": "phone", "value": "1", "use": "old"}, {"system": "phone", "value": "2", "use": "mobile"}]
    assert users.from_fhir({"resourceType": "Patient", "id": "1", "telecom": telecom}).phone == "2"
    assert users.from_fhir({"resourceType": "Patient", "id": "1", "telecom": telecom[:1]}).phone == "1"


@pytest.mark.parametrize(
    ("code", "relation"), [("HUSB", "spouse"), ("DAU", "child"), ("NMTH", "parent"), ("AUNT", "other")]
)
def test_exact_relations(code: str, relation: str) -> None:
    """A relation that another system wrote more exactly is the hospital's wider one."""
    coding = {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": code}
    person = {
        "resourceType": "RelatedPerson",
        "id": "1",
        "patient": {"reference": "Patient/7/_history/2"},
        "relationship": [{"coding": [coding]}],
    }
    row = user_family.from_fhir(person)
    assert (row.relation, row.user_id) == (relation, "7")


@pytest.mark.parametrize(
    ("fhir", "status"),
    [("proposed", "scheduled"), ("arrived", "scheduled"), ("noshow", "canceled"), ("fulfilled", "completed")],
)
def test_appointment_statuses(fhir: str, status: str) -> None:
    """Each of FHIR's appointment statuses is one of the table's four."""
    resource = {"resourceType": "Appointment", "id": "1", "status": fhir, "participant": []}
    assert appointments.from_fhir(resource, ZoneInfo("UTC")).status == status


def test_reactivated_patient() -> None:
    """A Patient that another system made active again is active, whatever the account's status was."""
    patient, _ = users.to_fhir(users.User(id="1", status="banned"))
    assert users.from_fhir(patient).status == "banned"
    assert users.from_fhir(patient | {"active": True}).status == "active"


def test_a_changed_structure_counts_before_stale_words() -> None:
    """When an EHR vendor changes only the structured dosage, the row says the new one."""
    request = prescriptions.to_fhir(
        prescriptions.Prescription(id="1", medicine_name="X", dosage="500mg", frequency="2x daily", duration="7 days"),
        user_id="u",
    )
    instruction = request["dosageInstruction"][0]
    instruction["timing"]["repeat"] |= {"frequency": 3}
    instruction["timing"]["repeat"]["boundsDuration"] = {"value": 2, "code": "wk"}
    instruction["doseAndRate"] = [{"doseQuantity": {"value": 250, "unit": "mg"}}]
    row = prescriptions.from_fhir(request)
    assert (row.dosage, row.frequency, row.duration) == ("250 mg", "3x daily", "2 weeks")


def test_imported_time_of_update_ends_with_the_next_version() -> None:
    """What an import says about the last update counts until the resource is changed, that about creation for good."""
    row = clinics.Clinic(id="1", name="A", created_at="2001-02-03T04:05:06Z", updated_at="2002-03-04T05:06:07.000008Z")  # type: ignore[arg-type]
    location = clinics.to_fhir(row)
    first = location | {"meta": {"versionId": "1", "lastUpdated": "2026-01-01T00:00:00.000Z"}}
    second = location | {"meta": {"versionId": "2", "lastUpdated": "2026-01-02T00:00:00.000Z"}}
    assert clinics.from_fhir(first) == row
    changed = clinics.from_fhir(second)
    assert changed.created_at == row.created_at
    assert changed.updated_at is not None
    assert changed.updated_at.isoformat() == "2026-01-02T00:00:00+00:00"


def test_components_are_measurements_of_their_own() -> None:
    """A blood pressure of two components reads as two measurements with their units, ranges and flags."""
    observation = values.decode(b"""{"resourceType": "Observation", "id": "1", "component": [
        {"code": {"text": "Systolic"}, "valueQuantity": {"value": 152.0, "unit": "mmHg", "comparator": ">"},
         "referenceRange": [{"low": {"value": 90}, "high": {"value": 130}}],
         "interpretation": [{"coding": [{"code": "H"}]}]},
        {"code": {"text": "Diastolic"}, "valueInteger": 96, "referenceRange": [{"high": {"value": 80}}]}]}""")
    systolic, diastolic = lab_tests.measurements([observation])
    assert systolic == lab_tests.Measurement(
        name="Systolic", value=">152.0", unit="mmHg", reference_range="90-130", flag="H"
    )
    assert diastolic == lab_tests.Measurement(name="Diastolic", value="96", reference_range="<=80")
    assert lab_tests.summary([systolic, diastolic]) == "Systolic >152.0 mmHg; Diastolic 96"
