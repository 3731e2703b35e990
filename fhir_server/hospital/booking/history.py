"""Endpoint 28: the user's appointments, past and coming, with all that belongs to them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from fhir_server.hospital.api.caller import Called, Caller
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.paging import Cursor, Limit, Page, page_of, searched
from fhir_server.hospital.api.spans import Day, end_of, start_of
from fhir_server.hospital.billing.appointments_due import dues_of
from fhir_server.hospital.billing.refunds import payment_of
from fhir_server.hospital.billing.requests import PaymentAnswer
from fhir_server.hospital.booking.appointment_answers import AppointmentAnswer, appointment_answers
from fhir_server.hospital.catalogue.answers import ClinicAnswer, DoctorAnswer, SpecialtyAnswer
from fhir_server.hospital.catalogue.clinic_clocks import clocks_of
from mappings.billing import payments
from mappings.booking import appointments
from mappings.booking.appointments import Status
from mappings.catalogue import clinics, doctors, specialties
from mappings.shared import elements
from mappings.shared.clinic_clock import BEGINNING, END

router = APIRouter(prefix="/history", tags=["history"])


class HistoryAnswer(AppointmentAnswer):
    """An appointment with its clinic, doctor, specialty and payment."""

    clinic: ClinicAnswer | None
    doctor: DoctorAnswer | None
    specialty: SpecialtyAnswer | None
    payment: PaymentAnswer | None


@router.get("/appointments", responses=errors("invalid_token", "bad_cursor", "validation_failed"))
async def list_appointments(
    caller: Called,
    *,
    status: Status | None = None,
    start: Annotated[Day | None, Query(alias="from")] = None,
    end: Annotated[Day | None, Query(alias="to")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[HistoryAnswer]:
    """Return the user's appointments, the newest first."""
    clock = await caller.clock()
    criteria = [("actor", f"Patient/{caller.patient_id}")]
    if status is not None:
        criteria.append(("status", ",".join(sorted(appointments.fhir_statuses(status)))))
    if start is not None and (begins := start_of(start, clock)) != BEGINNING:
        criteria.append(("date", f"ge{elements.instant(begins)}"))
    if end is not None and (ends := end_of(end, clock)) != END:
        criteria.append(("date", f"lt{elements.instant(ends)}"))
    criteria.append(("_sort", "-date"))
    if status in ("scheduled", "rescheduled"):  # which of both is told by an extension, which no search looks at
        listed = (await caller.fhir.all("Appointment", criteria)).matches
        matching = [item for item in listed if appointments.from_fhir(item, clock).status == status]
        page = page_of(caller.server, "appointments", matching, limit, cursor)
    else:
        page = await searched(caller, "Appointment", criteria, limit, cursor)
    return Page(items=await _answers(caller, page.items), total=page.total, next=page.next)


async def _answers(caller: Caller, listed: list[dict[str, Any]]) -> list[HistoryAnswer]:
    clocks = await clocks_of(caller, listed)
    dues = await dues_of(caller, listed, clocks)
    answers = await appointment_answers(caller, listed, clocks, dues)
    beside = await _Beside.of(caller, answers)
    return [
        HistoryAnswer(
            **answer.model_dump(),
            clinic=beside.clinic(answer.clinic_id),
            doctor=beside.doctor(answer),
            specialty=beside.specialty(answer),
            payment=await _payment(caller, dues[answer.id].invoice),
        )
        for answer in answers
    ]


async def _payment(caller: Caller, invoice: dict[str, Any] | None) -> PaymentAnswer | None:
    if invoice is None:
        return None
    row = payments.from_fhir(
        invoice, await payment_of(caller, invoice), created=await caller.acting.created_at(invoice)
    )
    return PaymentAnswer.of(row)


class _Beside:
    """What appointments refer to, each read once."""

    def __init__(self, resources: dict[str, dict[str, dict[str, Any]]], created: dict[str, datetime]) -> None:
        self._resources = resources
        self._created = created

    @classmethod
    async def of(cls, caller: Caller, answers: list[AppointmentAnswer]) -> _Beside:
        public = caller.server.fhir()
        ids_by_type = {
            "Location": [item.clinic_id for item in answers],
            "Practitioner": [item.doctor_id for item in answers],
            "HealthcareService": [item.specialty_id for item in answers],
        }
        resources_by_type = {kind: await public.many(kind, ids) for kind, ids in ids_by_type.items()}
        created: dict[str, datetime] = {}
        for kind, resources in resources_by_type.items():
            times = await public.created(resources.values())
            created |= {f"{kind}/{resource_id}": time for resource_id, time in times.items()}
        return cls(resources_by_type, created)

    def _get(self, kind: str, resource_id: str | None) -> dict[str, Any] | None:
        return self._resources[kind].get(resource_id or "")

    def clinic(self, clinic_id: str | None) -> ClinicAnswer | None:
        location = self._get("Location", clinic_id)
        created = self._created.get(f"Location/{clinic_id}")
        return ClinicAnswer.of(clinics.from_fhir(location, created=created)) if location else None

    def doctor(self, answer: AppointmentAnswer) -> DoctorAnswer | None:
        practitioner = self._get("Practitioner", answer.doctor_id)
        if practitioner is None:
            return None
        created = self._created.get(f"Practitioner/{answer.doctor_id}")
        row = doctors.from_fhir(
            practitioner, {}, clinic_id=answer.clinic_id, specialty_id=answer.specialty_id, created=created
        )
        return DoctorAnswer.of(row)

    def specialty(self, answer: AppointmentAnswer) -> SpecialtyAnswer | None:
        service = self._get("HealthcareService", answer.specialty_id)
        created = self._created.get(f"HealthcareService/{answer.specialty_id}")
        if service is None:
            return None
        return SpecialtyAnswer.of(specialties.from_fhir(service, clinic_id=answer.clinic_id, created=created))
