"""The hospital's extensions, for the columns that no FHIR element holds: their names, values and places.

The StructureDefinitions that partners read are made from this table. https://hl7.org/fhir/R4/extensibility.html
"""

from __future__ import annotations

from dataclasses import dataclass

TIME_ZONE_URL = "http://hl7.org/fhir/StructureDefinition/timezone"

_ROWS = (
    "Patient",
    "RelatedPerson",
    "Location",
    "HealthcareService",
    "Practitioner",
    "Appointment",
    "Invoice",
    "CarePlan",
    "MedicationRequest",
    "ServiceRequest",
    "DocumentReference",
    "Communication",
    "Encounter",
    "Coverage",
)


@dataclass(frozen=True, slots=True)
class ExtensionDefinition:
    """One extension: its value's type, the elements it may stand on, and what it says."""

    name: str
    value_type: str
    contexts: tuple[str, ...]
    title: str
    description: str
    codes: str | None = None
    """The code system whose codes the value is one of."""
    targets: tuple[str, ...] = ()
    """The resource types that a Reference value may point to."""


EXTENSIONS = (
    ExtensionDefinition(
        "account-status",
        "code",
        ("Patient",),
        "Status of the account",
        "Why the user's account cannot be used, where Patient.active is false: users.status.",
        codes="account-status",
    ),
    ExtensionDefinition(
        "appointment-status",
        "code",
        ("Appointment",),
        "Status of the appointment at the hospital",
        "That a booked appointment has been moved: appointments.status, where Appointment.status cannot say it.",
        codes="appointment-status",
    ),
    ExtensionDefinition(
        "coverage-standing",
        "code",
        ("CoverageEligibilityResponse",),
        "Standing of the policy",
        "Why a policy is not in force, where CoverageEligibilityResponse.insurance.inforce only says that it is not.",
        codes="coverage-standing",
    ),
    ExtensionDefinition(
        "dose-text",
        "string",
        ("MedicationRequest.dosageInstruction",),
        "Dose in words",
        "The dose as it was written; it counts as long as Dosage.doseAndRate says the same: prescriptions.dosage.",
    ),
    ExtensionDefinition(
        "duration-text",
        "string",
        ("MedicationRequest.dosageInstruction",),
        "Duration in words",
        "How long to take the medicine, as it was written; it counts as long as Timing.repeat.boundsDuration says the "
        "same: prescriptions.duration.",
    ),
    ExtensionDefinition(
        "experience-years",
        "integer",
        ("Practitioner",),
        "Years of experience",
        "How many years the doctor has practised: doctors.experience_years.",
    ),
    ExtensionDefinition(
        "fee",
        "Money",
        ("HealthcareService",),
        "Fee of a visit",
        "What a visit costs; booking one makes an Invoice over it.",
    ),
    ExtensionDefinition(
        "file-status",
        "code",
        ("DocumentReference.content.attachment",),
        "Whether the file is here",
        "That the file is missing: the imported row points to one that was not brought in with it.",
        codes="file-status",
    ),
    ExtensionDefinition(
        "file-url",
        "url",
        ("DocumentReference.content.attachment",),
        "Where the file came from",
        "The file's address before it was stored here as a Binary: medical_documents.file_url.",
    ),
    ExtensionDefinition(
        "payment-for",
        "Reference",
        ("Invoice",),
        "What is paid for",
        "The appointment or lab test that the invoice is for: payments.appointment_id.",
        targets=("Appointment", "ServiceRequest"),
    ),
    ExtensionDefinition(
        "payment-method",
        "code",
        ("PaymentReconciliation",),
        "Payment method",
        "How it was paid: payments.payment_method.",
        codes="payment-method",
    ),
    ExtensionDefinition(
        "refund-status",
        "code",
        ("Invoice",),
        "Status of the refund",
        "How far the refund of a payment for a cancelled appointment is.",
        codes="refund-status",
    ),
    ExtensionDefinition(
        "reported-by",
        "Reference",
        ("Meta",),
        "Who reported this version",
        "The patient, or the user for a patient, who wrote this version over FHIR. The server sets it, clients cannot.",
        targets=("Patient", "RelatedPerson", "Person", "Practitioner", "PractitionerRole"),
    ),
    ExtensionDefinition(
        "row-created",
        "instant",
        _ROWS,
        "When the imported row was created",
        "The created_at of a row that was imported from the hospital's database.",
    ),
    ExtensionDefinition(
        "row-deleted",
        "instant",
        _ROWS,
        "When the imported row was deleted",
        "The deleted_at of a row that was imported from the hospital's database; the resource is deleted too.",
    ),
    ExtensionDefinition(
        "row-updated",
        "instant",
        _ROWS,
        "When the imported row was updated",
        "The updated_at of a row that was imported from the hospital's database; it says nothing of later versions.",
    ),
    ExtensionDefinition(
        "row-version",
        "string",
        _ROWS,
        "Version that was imported",
        "The version id of the resource that row-updated speaks of, where it is not 1.",
    ),
    ExtensionDefinition(
        "slot-minutes",
        "positiveInt",
        ("PractitionerRole", "Schedule"),
        "Length of a slot",
        "How many minutes a visit is given where slots follow from the times of availability.",
    ),
    ExtensionDefinition(
        "visit-status",
        "code",
        ("Encounter",),
        "Status of the visit at the hospital",
        "That the patient waits in the queue: visit_tracking.status, where Encounter.status cannot say it.",
        codes="visit-status",
    ),
    ExtensionDefinition(
        "wait-time",
        "Duration",
        ("Encounter",),
        "Time to wait",
        "How long the patient still has to wait, in minutes: visit_tracking.current_wait_time.",
    ),
)
