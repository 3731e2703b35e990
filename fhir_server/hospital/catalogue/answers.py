"""Clinics, specialties, doctors and slots as the app sees them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from fhir_server.hospital.api.answers import Answer, MoneyAnswer
from fhir_server.hospital.api.fields import Amount


class ClinicAnswer(Answer):
    """A clinic; `distance_km` is there where `near` was asked for."""

    name: str | None
    address: str | None
    city: str | None
    state: str | None
    country: str | None
    postal_code: str | None
    latitude: Amount | None
    longitude: Amount | None
    phone: str | None
    email: str | None
    timezone: str | None
    distance_km: float | None = None


class SpecialtyAnswer(Answer):
    """A specialty of a clinic, with what a visit costs."""

    clinic_id: str | None
    name: str | None
    fee: MoneyAnswer | None


class DoctorAnswer(Answer):
    """A doctor at one clinic."""

    name: str | None
    specialty_id: str | None
    clinic_id: str | None
    email: str | None
    phone: str | None
    experience_years: int | None
    photo: str | None
    next_available: datetime | None = None


class SlotAnswer(BaseModel):
    """A time at which a doctor can, or cannot, be booked."""

    id: str
    start: datetime
    end: datetime
    status: Literal["free", "busy"]
    clinic_id: str
