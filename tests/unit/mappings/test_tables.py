"""Each table's row becomes valid FHIR and comes back as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.r4.validation import validate
from mappings.accounts import user_family, users
from mappings.billing import payments
from mappings.booking import appointments
from mappings.catalogue import clinics, doctors, specialties
from mappings.insurance import insurance
from mappings.notifications import notifications
from mappings.records import lab_tests, medical_documents, prescriptions, treatment_plans
from mappings.visits import visit_tracking
from tests.unit.mappings import strategies as rows

AT = datetime(2026, 3, 9, 14, 5, 6, tzinfo=UTC)

table = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def assert_valid(*resources: dict[str, Any] | None) -> None:
    for resource in resources:
        if resource is not None:
            assert [issue for issue in validate(resource, max_depth=50) if issue.severity == "error"] == []


@table
@given(rows.user_rows)
def test_users(row: users.User) -> None:
    """A user is a Patient and credentials outside FHIR, and every column comes back."""
    patient, credentials = users.to_fhir(row)
    assert_valid(patient)
    assert "$argon2id$" not in str(patient)
    assert users.from_fhir(patient, credentials) == row


@table
@given(rows.family_rows)
def test_user_family(row: user_family.FamilyMember) -> None:
    """A family member is a RelatedPerson, and every column comes back."""
    person = user_family.to_fhir(row)
    assert_valid(person)
    assert user_family.from_fhir(person) == row


@table
@given(rows.clinic_rows)
def test_clinics(row: clinics.Clinic) -> None:
    """A clinic is a Location, and every column comes back, coordinates digit by digit."""
    location = clinics.to_fhir(row)
    assert_valid(location)
    back = clinics.from_fhir(location)
    assert back == row
    assert str(back.latitude) == str(row.latitude)


@table
@given(rows.specialty_rows)
def test_specialties(row: specialties.Specialty) -> None:
    """A specialty is a HealthcareService, and every column comes back."""
    service = specialties.to_fhir(row)
    assert_valid(service)
    assert specialties.from_fhir(service) == row


@table
@given(rows.doctor_rows)
def test_doctors(row: doctors.Doctor) -> None:
    """A doctor is a Practitioner with a PractitionerRole, and every column comes back."""
    resources = doctors.to_fhir(row)
    assert_valid(*resources)
    assert doctors.from_fhir(*resources) == row


@table
@given(rows.appointment_rows, st.sampled_from(rows.ZONES).map(ZoneInfo))
def test_appointments(row: appointments.Appointment, clock: ZoneInfo) -> None:
    """An appointment is an Appointment, and its wall-clock date and time come back in any clinic's zone."""
    resource = appointments.to_fhir(row, clock)
    assert_valid(resource)
    assert appointments.from_fhir(resource, clock) == row


@table
@given(rows.payment_rows())
def test_payments(row: payments.Payment) -> None:
    """A payment is an Invoice with a PaymentReconciliation, and every column comes back, amounts digit by digit."""
    resources = payments.to_fhir(row, user_id="u1", at=AT, description="Visit")
    assert_valid(*resources)
    back = payments.from_fhir(*resources)
    assert back == row
    assert str(back.amount) == str(row.amount)


@table
@given(rows.plan_rows)
def test_treatment_plans(row: treatment_plans.TreatmentPlan) -> None:
    """A treatment plan is a CarePlan, and every column comes back."""
    plan = treatment_plans.to_fhir(row, user_id="u1")
    assert_valid(plan)
    assert treatment_plans.from_fhir(plan) == row


@table
@given(rows.prescription_rows)
def test_prescriptions(row: prescriptions.Prescription) -> None:
    """A prescription is a MedicationRequest, and its words come back whether they have a structure or not."""
    request = prescriptions.to_fhir(row, user_id="u1")
    assert_valid(request)
    assert prescriptions.from_fhir(request) == row


@table
@given(rows.lab_rows)
def test_lab_tests(row: lab_tests.LabTest) -> None:
    """A lab test is a ServiceRequest, with a DiagnosticReport once there is a result, and every column comes back."""
    resources = lab_tests.to_fhir(row, user_id="u1", issued=AT)
    assert_valid(*resources)
    assert (resources.report is None) == (row.result is None)
    assert lab_tests.from_fhir(*resources) == row


@table
@given(rows.document_rows, st.none() | st.binary(min_size=1, max_size=50))
def test_medical_documents(row: medical_documents.MedicalDocument, data: bytes | None) -> None:
    """A document is a DocumentReference, with a Binary where its bytes are kept here, and every column comes back."""
    resources = medical_documents.to_fhir(row, at=AT, data=data)
    assert_valid(*resources)
    assert (resources.binary is None) == (data is None)
    back = medical_documents.from_fhir(resources.document)
    assert back.model_copy(update={"file_url": row.file_url, "title": row.title}) == row
    if row.file_url:
        assert back == row


@table
@given(rows.notification_rows)
def test_notifications(row: notifications.Notification) -> None:
    """A notification is a Communication, read once it has been received, and every column comes back."""
    communication = notifications.to_fhir(row, at=AT)
    assert_valid(communication)
    assert ("received" in communication) == row.is_read
    assert notifications.from_fhir(communication) == row


@table
@given(rows.visit_rows)
def test_visit_tracking(row: visit_tracking.Visit) -> None:
    """A visit is an Encounter, and every column comes back."""
    encounter = visit_tracking.to_fhir(row, user_id="u1", doctor_id="d1", clinic_id="c1")
    assert_valid(encounter)
    assert visit_tracking.from_fhir(encounter) == row
    assert visit_tracking.doctor_id(encounter) == "d1"


@table
@given(rows.policy_rows)
def test_insurance(row: insurance.Policy) -> None:
    """A policy is a Coverage, and every column comes back, whether its provider is an Organization or a name."""
    assert_valid(insurance.to_fhir(row))
    assert insurance.from_fhir(insurance.to_fhir(row)) == row
    assert insurance.from_fhir(insurance.to_fhir(row, payor_id="o1")) == row


def test_a_skipped_time_is_refused() -> None:
    """An appointment at a time that the clinic's clock skips is refused, not moved."""
    row = appointments.Appointment(id="a", appointment_date="2026-03-08", appointment_time="02:30")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="skips 02:30"):
        appointments.to_fhir(row, ZoneInfo("America/New_York"))
