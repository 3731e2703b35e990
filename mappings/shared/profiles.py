"""The hospital's profiles and extensions as StructureDefinitions: which element is which column of which table.

https://hl7.org/fhir/R4/structuredefinition.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.own_urls import own_url
from mappings.shared import code_systems
from mappings.shared.elements import TIMEZONE
from mappings.shared.extensions import EXTENSIONS, ExtensionDefinition

_DEFINITIONS = "http://hl7.org/fhir/StructureDefinition/"
_TABLES = {"identity": "hms", "name": "Tables of the hospital management system"}


@dataclass(frozen=True, slots=True)
class Profile:
    """A table, the type of the resource that its rows are, and the columns that its elements hold."""

    name: str
    type: str
    table: str
    columns: dict[str, str]
    """Column by the path of its element below the resource, in the order of the specification."""
    time_zone: bool = False


PROFILES = (
    Profile(
        "hms-patient",
        "Patient",
        "users",
        {
            "active": "status",
            "name.family": "last_name",
            "name.given": "first_name",
            "telecom": "phone, email",
            "gender": "gender",
            "birthDate": "date_of_birth",
            "photo": "profile_picture",
            "communication": "language",
        },
        time_zone=True,
    ),
    Profile(
        "hms-related-person",
        "RelatedPerson",
        "user_family",
        {"patient": "user_id", "relationship": "relation", "name": "name", "birthDate": "dob"},
    ),
    Profile(
        "hms-clinic",
        "Location",
        "clinics",
        {
            "name": "name",
            "telecom": "phone, email",
            "address.line": "address",
            "address.city": "city",
            "address.state": "state",
            "address.postalCode": "postal_code",
            "address.country": "country",
            "position.longitude": "longitude",
            "position.latitude": "latitude",
        },
        time_zone=True,
    ),
    Profile("hms-specialty", "HealthcareService", "specialties", {"location": "clinic_id", "name": "name"}),
    Profile("hms-doctor", "Practitioner", "doctors", {"name": "name", "telecom": "phone, email", "photo": "photo"}),
    Profile(
        "hms-doctor-role",
        "PractitionerRole",
        "doctors",
        {"practitioner": "id", "location": "clinic_id", "healthcareService": "specialty_id"},
    ),
    Profile(
        "hms-appointment",
        "Appointment",
        "appointments",
        {
            "status": "status",
            "start": "appointment_date, appointment_time",
            "slot": "slot_ids",
            "participant.actor": "user_id, doctor_id, clinic_id, specialty_id",
        },
    ),
    Profile("hms-invoice", "Invoice", "payments", {"identifier": "appointment_id", "totalGross": "amount, currency"}),
    Profile(
        "hms-payment",
        "PaymentReconciliation",
        "payments",
        {
            "outcome": "status",
            "paymentAmount": "amount, currency",
            "paymentIdentifier": "transaction_id",
            "detail.request": "id",
        },
    ),
    Profile(
        "hms-treatment-plan",
        "CarePlan",
        "treatment_plans",
        {"description": "description", "supportingInfo": "appointment_id"},
    ),
    Profile(
        "hms-prescription",
        "MedicationRequest",
        "prescriptions",
        {
            "status": "status",
            "medication[x]": "medicine_name",
            "basedOn": "treatment_plan_id",
            "dosageInstruction.timing": "frequency, duration",
            "dosageInstruction.doseAndRate": "dosage",
        },
    ),
    Profile(
        "hms-lab-test",
        "ServiceRequest",
        "lab_tests",
        {"basedOn": "treatment_plan_id", "status": "status", "code": "test_name"},
    ),
    Profile(
        "hms-lab-report",
        "DiagnosticReport",
        "lab_tests",
        {"basedOn": "id", "status": "status", "result": "result", "conclusion": "result"},
    ),
    Profile(
        "hms-document",
        "DocumentReference",
        "medical_documents",
        {
            "type": "document_type",
            "subject": "user_id",
            "content.attachment.url": "file_url",
            "context.related": "appointment_id",
        },
    ),
    Profile(
        "hms-notification",
        "Communication",
        "notifications",
        {
            "topic": "kind",
            "about": "related",
            "received": "is_read",
            "recipient": "user_id",
            "payload.content[x]": "message",
        },
    ),
    Profile(
        "hms-visit",
        "Encounter",
        "visit_tracking",
        {
            "status": "status",
            "appointment": "appointment_id",
            "period.start": "check_in_time",
            "period.end": "check_out_time",
        },
    ),
    Profile(
        "hms-coverage",
        "Coverage",
        "insurance",
        {
            "identifier": "policy_number",
            "status": "status",
            "subscriberId": "member_id",
            "beneficiary": "user_id",
            "period": "valid_from, valid_until",
            "payor": "provider",
        },
    ),
)


def resources() -> list[dict[str, Any]]:
    """Return every definition that a partner needs: code systems, value sets, extensions, profiles; ids are stable."""
    extensions = [_extension(definition) for definition in EXTENSIONS]
    return [*code_systems.resources(), *extensions, *(_profile(profile) for profile in PROFILES)]


def _extension(extension: ExtensionDefinition) -> dict[str, Any]:
    root = {"short": extension.title, "definition": extension.description, "min": 0, "max": "1"}
    elements: list[dict[str, Any]] = [
        {"id": "Extension", "path": "Extension", **root},
        {"id": "Extension.extension", "path": "Extension.extension", "max": "0"},
        {"id": "Extension.url", "path": "Extension.url", "fixedUri": own_url("StructureDefinition", extension.name)},
        {"id": "Extension.value[x]", "path": "Extension.value[x]", "min": 1, **_value(extension)},
    ]
    return {
        **_naming(extension.name, extension.title, extension.description),
        "kind": "complex-type",
        "abstract": False,
        "context": [{"type": "element", "expression": place} for place in extension.contexts],
        **_derivation("Extension", elements),
    }


def _naming(name: str, title: str, description: str) -> dict[str, Any]:
    return {
        "resourceType": "StructureDefinition",
        "id": name,
        "url": own_url("StructureDefinition", name),
        "name": "".join(part.capitalize() for part in name.split("-")),
        "title": title,
        "status": "active",
        "description": description,
        "fhirVersion": "4.0.1",
    }


def _derivation(type_name: str, elements: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": type_name,
        "baseDefinition": _DEFINITIONS + type_name,
        "derivation": "constraint",
        "differential": {"element": elements},
    }


def _value(extension: ExtensionDefinition) -> dict[str, Any]:
    value_type: dict[str, Any] = {"code": extension.value_type}
    if extension.targets:
        value_type["targetProfile"] = [_DEFINITIONS + target for target in extension.targets]
    if extension.codes is None:
        return {"type": [value_type]}
    return {
        "type": [value_type],
        "binding": {"strength": "required", "valueSet": own_url("ValueSet", extension.codes)},
    }


def _profile(profile: Profile) -> dict[str, Any]:
    title, description = f"{profile.type} of the hospital", f"A row of the table {profile.table} as a {profile.type}."
    columns = [_column(profile, path, column) for path, column in profile.columns.items()]
    return {
        **_naming(profile.name, title, description),
        "mapping": [_TABLES],
        "kind": "resource",
        "abstract": False,
        **_derivation(profile.type, [{"id": profile.type, "path": profile.type}, *_slices(profile), *columns]),
    }


def _column(profile: Profile, path: str, column: str) -> dict[str, Any]:
    names = ", ".join(f"{profile.table}.{name}" for name in column.split(", "))
    full = f"{profile.type}.{path}"
    return {"id": full, "path": full, "mustSupport": True, "mapping": [{"identity": "hms", "map": names}]}


def _slices(profile: Profile) -> list[dict[str, Any]]:
    urls = {
        item.name: own_url("StructureDefinition", item.name) for item in EXTENSIONS if profile.type in item.contexts
    }
    if profile.time_zone:
        urls["timezone"] = TIMEZONE
    path = f"{profile.type}.extension"
    return [
        {
            "id": f"{path}:{name}",
            "path": path,
            "sliceName": name,
            "min": 0,
            "max": "1",
            "type": [{"code": "Extension", "profile": [url]}],
            "mustSupport": True,
        }
        for name, url in urls.items()
    ]
