"""The tables of the hospital: their columns, the rows they hold, and the order in which rows can refer to others."""

from __future__ import annotations

from dataclasses import dataclass

from mappings.accounts import user_family, users
from mappings.billing import payments
from mappings.booking import appointments
from mappings.catalogue import clinics, doctors, specialties
from mappings.insurance import insurance
from mappings.notifications import notifications
from mappings.records import lab_tests, medical_documents, prescriptions, treatment_plans
from mappings.shared.rows import Row
from mappings.visits import visit_tracking

TIMES = ("created_at", "updated_at", "deleted_at")


@dataclass(frozen=True, slots=True)
class Table:
    """A table: `type` is the resource type that its rows are, each with the row's id."""

    name: str
    row: type[Row]
    type: str
    own: tuple[str, ...]
    """The columns of the hospital's own schema, but for the times that each table has."""
    extra: tuple[str, ...] = ()
    """Columns for what this server knows beyond that schema; `related_id` is the `id` of the row's `related`."""

    beyond: bool = False
    """Whether the hospital's own schema has no such table."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the hospital's own schema."""
        return (*self.own, *TIMES)

    @property
    def every_column(self) -> tuple[str, ...]:
        """The columns of the hospital's own schema, and the extra ones."""
        return (*self.columns, *self.extra)


TABLES = (
    Table(
        "clinics",
        clinics.Clinic,
        "Location",
        ("id", "name", "address", "city", "state", "country", "postal_code", "latitude", "longitude", "phone", "email"),
        ("timezone",),
    ),
    Table(
        "specialties",
        specialties.Specialty,
        "HealthcareService",
        ("id", "clinic_id", "name"),
        ("fee_amount", "fee_currency"),
    ),
    Table(
        "doctors",
        doctors.Doctor,
        "Practitioner",
        ("id", "name", "specialty_id", "clinic_id", "email", "phone", "experience_years", "photo"),
    ),
    Table(
        "users",
        users.User,
        "Patient",
        (
            *("id", "first_name", "last_name", "email", "phone", "password_hash"),
            *("profile_picture", "timezone", "language", "status"),
        ),
        ("date_of_birth", "gender"),
    ),
    Table("user_family", user_family.FamilyMember, "RelatedPerson", ("id", "user_id", "name", "relation", "dob")),
    Table(
        "insurance",
        insurance.Policy,
        "Coverage",
        ("id", "user_id", "provider", "policy_number", "member_id", "valid_from", "valid_until"),
        ("status",),
        beyond=True,
    ),
    Table(
        "appointments",
        appointments.Appointment,
        "Appointment",
        ("id", "user_id", "doctor_id", "clinic_id", "specialty_id", "appointment_date", "appointment_time", "status"),
        ("minutes", "slot_ids", "family_member_id", "insurance_coverage_id", "reason", "follows"),
    ),
    Table("treatment_plans", treatment_plans.TreatmentPlan, "CarePlan", ("id", "appointment_id", "description")),
    Table(
        "prescriptions",
        prescriptions.Prescription,
        "MedicationRequest",
        ("id", "treatment_plan_id", "medicine_name", "dosage", "frequency", "duration"),
        ("status",),
    ),
    Table(
        "lab_tests",
        lab_tests.LabTest,
        "ServiceRequest",
        ("id", "treatment_plan_id", "test_name", "result", "status"),
    ),
    Table(
        "payments",
        payments.Payment,
        "Invoice",
        ("id", "appointment_id", "amount", "currency", "payment_method", "status", "transaction_id"),
        ("lab_test_id", "refund_status"),
    ),
    Table(
        "medical_documents",
        medical_documents.MedicalDocument,
        "DocumentReference",
        ("id", "user_id", "appointment_id", "document_type", "file_url"),
        ("title", "content_type"),
    ),
    Table(
        "notifications",
        notifications.Notification,
        "Communication",
        ("id", "user_id", "message", "is_read"),
        ("kind", "related_type", "related_id"),
    ),
    Table(
        "visit_tracking",
        visit_tracking.Visit,
        "Encounter",
        ("id", "appointment_id", "check_in_time", "check_out_time", "current_wait_time", "status"),
    ),
)
"""All tables: a row refers only to rows of tables before its own."""

BY_NAME = {table.name: table for table in TABLES}

MOMENTS = frozenset({*TIMES, "check_in_time", "check_out_time"})
DAYS = frozenset({"dob", "date_of_birth", "appointment_date", "valid_from", "valid_until"})
CLOCK_TIMES = frozenset({"appointment_time"})
NUMBERS = frozenset({"latitude", "longitude", "amount", "fee_amount"})
COUNTS = frozenset({"experience_years", "current_wait_time", "minutes"})
FLAGS = frozenset({"is_read"})
LISTS = frozenset({"slot_ids"})
IDS = frozenset({
    "id", "user_id", "clinic_id", "specialty_id", "doctor_id", "appointment_id", "treatment_plan_id", "lab_test_id",
    "family_member_id", "insurance_coverage_id", "follows", "related_id", "slot_ids",
})  # fmt: skip
"""Columns that hold the id of a row, this one or another."""
PARTS = {
    "fee_amount": ("fee", "amount"),
    "fee_currency": ("fee", "currency"),
    "related_type": ("related", "type"),
    "related_id": ("related", "id"),
}
"""Columns that are a part of one of the row's fields."""
