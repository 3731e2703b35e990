"""A small hospital: two clinics in different time zones, two doctors, one with written slots and one without."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mappings.catalogue import clinics, doctors, specialties
from mappings.insurance import insurance
from mappings.shared.money import Money
from tests.facade_server import Hospital

HARBOUR_CLOCK = ZoneInfo("America/New_York")
HILLSIDE_CLOCK = ZoneInfo("America/Chicago")


def coming(weekday: int, weeks: int = 1) -> date:
    """Return a day of the week after next week, so that it is never too near."""
    today = datetime.now(UTC).date()
    return today + timedelta(days=(weekday - today.weekday()) % 7 + 7 * weeks)


MONDAY = coming(0)


def clinic_resources() -> list[dict[str, Any]]:
    """Return the hospital's resources, those that others refer to first."""
    return [
        clinics.to_fhir(
            clinics.Clinic(
                id="harbour",
                name="Harbour Clinic",
                address="12 Ferry Street",
                city="Port Alder",
                state="ME",
                country="US",
                postal_code="04199",
                latitude="43.6591",  # type: ignore[arg-type]
                longitude="-70.2553",  # type: ignore[arg-type]
                phone="+12075550110",
                email="harbour@example.org",
                timezone="America/New_York",
            )
        )
        | {"hoursOfOperation": [{"openingTime": "08:00:00", "closingTime": "18:00:00"}]},
        clinics.to_fhir(
            clinics.Clinic(
                id="hillside",
                name="Hillside Clinic",
                city="Lindén Grove",
                latitude="41.8781",  # type: ignore[arg-type]
                longitude="-87.6298",  # type: ignore[arg-type]
                timezone="America/Chicago",
            )
        ),
        {"resourceType": "Location", "id": "room", "name": "Room 1", "partOf": {"reference": "Location/harbour"}},
        specialties.to_fhir(
            specialties.Specialty(
                id="cardiology",
                clinic_id="harbour",
                name="Cardiology",
                fee=Money(amount="90.00", currency="USD"),  # type: ignore[arg-type]
            )
        ),
        specialties.to_fhir(specialties.Specialty(id="skin", clinic_id="hillside", name="Dermatology")),
        *_doctor("okpara", "Dr Samuel Okpara", "cardiology", "harbour"),
        *_doctor("ferrand", "Dr Lucía Ferrand", "skin", "hillside"),
        {
            "resourceType": "Schedule",
            "id": "ferrand",
            "actor": [{"reference": "PractitionerRole/ferrand"}, {"reference": "Location/hillside"}],
        },
        *(written_slot(hour) for hour in (9, 10, 11)),
    ]


def _doctor(name: str, full_name: str, specialty_id: str, clinic_id: str) -> list[dict[str, Any]]:
    row = doctors.Doctor(
        id=name,
        name=full_name,
        specialty_id=specialty_id,
        clinic_id=clinic_id,
        email=f"{name}@example.org",
        phone="+12075550151",
        experience_years=21,
        photo="https://img.example.org/d.png",
    )
    practitioner, role = doctors.to_fhir(row)
    hours = {"daysOfWeek": ["mon", "tue"], "availableStartTime": "09:00:00", "availableEndTime": "12:00:00"}
    return [practitioner, role | {"availableTime": [hours]}]


def written_slot(hour: int, status: str = "free") -> dict[str, Any]:
    """Return a written slot of the second doctor on the coming Monday."""
    start = datetime(MONDAY.year, MONDAY.month, MONDAY.day, hour, tzinfo=HILLSIDE_CLOCK)
    return {
        "resourceType": "Slot",
        "id": f"ferrand-{hour}",
        "schedule": {"reference": "Schedule/ferrand"},
        "status": status,
        "start": start.isoformat(),
        "end": (start + timedelta(minutes=20)).isoformat(),
    }


async def open_clinics(hospital: Hospital) -> None:
    """Store the hospital's resources."""
    await hospital.put(*clinic_resources())


def booking_of(time: str = "09:00", **overrides: Any) -> dict[str, Any]:
    """Return the body that books the first doctor on the coming Monday."""
    return {
        "doctor_id": "okpara",
        "clinic_id": "harbour",
        "specialty_id": "cardiology",
        "appointment_date": MONDAY.isoformat(),
        "appointment_time": time,
        **overrides,
    }


def policy_of(user_id: str, **overrides: Any) -> dict[str, Any]:
    """Return the Coverage of a policy with a copay of twenty dollars."""
    columns = {
        "id": f"policy-{user_id}",
        "user_id": user_id,
        "provider": "Solace Mutual",
        "policy_number": "SOL-1",
        "member_id": "M-1",
        "valid_from": "2020-01-01",
        **overrides,
    }
    copay = {
        "type": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/coverage-copay-type", "code": "gpvisit"}]
        },
        "valueMoney": {"value": 20, "currency": "USD"},
    }
    return insurance.to_fhir(insurance.Policy(**columns)) | {"costToBeneficiary": [copay]}
