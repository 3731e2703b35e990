"""Endpoints 12 and 13: verifying insurance, and paying for an appointment."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from fhir_server.engine.context import now
from fhir_server.hospital.api.caller import Called
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fields import Date, Line, ResourceId
from fhir_server.hospital.api.idempotency import IdempotencyKey, once
from fhir_server.hospital.api.own import own_named
from fhir_server.hospital.api.problem import Problem, invalid
from fhir_server.hospital.billing.appointments_due import dues_of
from fhir_server.hospital.billing.paying import pay
from fhir_server.hospital.billing.requests import PAYING_ERRORS, Paying, PaymentAnswer
from fhir_server.hospital.insurance.verification import PolicyQuery, Service, VerificationAnswer, verify
from mappings.billing.payments import Payment
from mappings.booking import appointments
from mappings.shared import clinic_clock

router = APIRouter(prefix="/booking", tags=["booking"])


class AppointmentPaying(Paying):
    """A payment for an appointment."""

    appointment_id: ResourceId


class InsuranceAsked(PolicyQuery):
    """A policy, and the service that it shall pay for."""

    provider: Annotated[Line, Field(max_length=200)]
    policy_number: Annotated[Line, Field(max_length=100)]
    clinic_id: ResourceId | None = None
    specialty_id: ResourceId | None = None
    service_date: Date | None = None


@router.post("/insurance/verify", responses=errors("invalid_token", "validation_failed", "payer_unavailable"))
async def verify_insurance(body: InsuranceAsked, caller: Called) -> VerificationAnswer:
    """Find out whether the user's policy is in force, and covers a visit."""
    public = caller.server.fhir()
    location = await public.read("Location", body.clinic_id) if body.clinic_id else None
    service = await public.read("HealthcareService", body.specialty_id) if body.specialty_id else None
    for field, resource_id, resource in (
        ("clinic_id", body.clinic_id, location),
        ("specialty_id", body.specialty_id, service),
    ):
        if resource_id is not None and resource is None:
            raise invalid(field, "unknown_id")
    today = clinic_clock.wall_date(now(), caller.server.clock_of(location))
    about = Service(body.service_date, today, service, body.clinic_id if location else None)
    return await verify(caller, body, about)


@router.post("/payment", status_code=201, response_model=PaymentAnswer, responses=PAYING_ERRORS)
async def pay_appointment(body: AppointmentPaying, caller: Called, idempotency_key: IdempotencyKey = None) -> Response:
    """Pay for an appointment; nothing is ever charged twice."""
    order = body.order()

    async def run(request_id: str) -> BaseModel:
        appointment = await own_named(caller, "Appointment", "appointment_id", body.appointment_id)
        due = (await dues_of(caller, [appointment]))[body.appointment_id]
        if appointment.get("status") in appointments.CANCELED:
            raise Problem("appointment_canceled")
        row = Payment(id="new", appointment_id=body.appointment_id, amount=body.amount, currency=body.currency)
        return PaymentAnswer.of(await pay(caller, row, due, order, request_id))

    return await once(caller, "booking/payment", idempotency_key, body, run)
