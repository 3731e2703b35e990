"""Table `users`: a Patient, and beside FHIR the credentials of the account. https://hl7.org/fhir/R4/patient.html"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from fhir_server.r4.human_names import official_name
from mappings.shared import elements, reading
from mappings.shared.elements import Resource
from mappings.shared.rows import Code, Row, Text, Url

Status = Literal["active", "inactive", "banned"]
Gender = Literal["male", "female", "other", "unknown"]


class User(Row):
    """A row of `users`, with what sign-up asks besides."""

    first_name: Text | None = None
    last_name: Text | None = None
    email: Text | None = None
    phone: Text | None = None
    password_hash: Text | None = None
    profile_picture: Url | None = None
    timezone: Code | None = None
    language: Code | None = None
    status: Status = "active"
    date_of_birth: date | None = None
    gender: Gender | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an account needs that no FHIR resource may hold."""

    patient_id: str
    password_hash: str | None


def to_fhir(row: User) -> tuple[dict[str, Any], Credentials]:
    """Return the Patient, and the credentials that stay outside FHIR."""
    patient = elements.build(
        "Patient",
        {
            "id": row.id,
            "meta": elements.meta("hms-patient"),
            "extension": [elements.time_zone(row.timezone), _account_status(row), *elements.row_extensions(row)],
            "active": row.status == "active",
            "name": [_name(row)],
            "telecom": elements.telecom(row.phone, row.email, "home"),
            "gender": row.gender,
            "birthDate": elements.optional_date(row.date_of_birth),
            "photo": [{"url": row.profile_picture}],
            "communication": [_communication(row.language)],
        },
    )
    return patient, Credentials(row.id, row.password_hash)


def _account_status(row: User) -> elements.Element | None:
    return elements.extension("account-status", "Code", None if row.status == "active" else row.status)


def _name(row: User) -> elements.Element | None:
    if row.first_name is None and row.last_name is None:
        return None
    text = " ".join(part for part in (row.first_name, row.last_name) if part)
    return {"use": "official", "text": text, "family": row.last_name, "given": [row.first_name]}


def _communication(language: str | None) -> elements.Element | None:
    if language is None:
        return None
    return {"language": elements.concept(elements.LANGUAGES, language), "preferred": True}


def from_fhir(
    patient: Resource,
    credentials: Credentials | None = None,
    *,
    created: datetime | None = None,
    deleted: datetime | None = None,
) -> User:
    """Return the row that a Patient is."""
    name = official_name(patient)
    return User.read(
        patient,
        first_name=" ".join(part for part in name.get("given", ()) if part) or None,
        last_name=name.get("family"),
        email=reading.contact(patient, "email"),
        phone=reading.contact(patient, "phone"),
        password_hash=credentials.password_hash if credentials else None,
        profile_picture=reading.first(patient.get("photo"), lambda photo: "url" in photo).get("url"),
        timezone=reading.time_zone(patient),
        language=_language(patient),
        status=_status(patient),
        date_of_birth=reading.whole_date(patient.get("birthDate")),
        gender=patient.get("gender"),
        **reading.row_times(patient, created, deleted),
    )


def _status(patient: Resource) -> Status:
    if patient.get("active") is not False:
        return "active"
    return "banned" if reading.extension(patient, "account-status") == "banned" else "inactive"


def _language(patient: Resource) -> str | None:
    spoken = patient.get("communication", ())
    preferred = reading.first(spoken, lambda item: item.get("preferred") is True) or reading.first(spoken)
    return next(iter(reading.codes([preferred.get("language", {})], elements.LANGUAGES)), None)
