"""Booking an appointment at an opening, with the Invoice for it: the first visit and those that follow."""

from __future__ import annotations

from typing import Any

from fhir_server.engine.context import now
from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.api.problem import Problem, invalid
from fhir_server.hospital.booking.appointment_answers import AppointmentAnswer, appointment_answer
from fhir_server.hospital.booking.scheduling import When, carry_out, practice_at, requested_opening
from mappings.billing import payments
from mappings.billing.payments import Payment
from mappings.booking import booking
from mappings.booking.appointments import Appointment
from mappings.catalogue import specialties
from mappings.shared.elements import Resource


async def book_row(caller: Caller, row: Appointment, when: When) -> AppointmentAnswer:
    """Book a new row at the opening that was asked for; raises Problem where that cannot be."""
    practice = await practice_at(caller.server, row.doctor_id or "", row.clinic_id or "", row.specialty_id)
    service = await caller.server.fhir().read("HealthcareService", row.specialty_id) if row.specialty_id else None
    if row.specialty_id and service is None:
        raise invalid("specialty_id", "unknown_id")

    async def attempt() -> dict[str, Any]:
        made = await caller.acting.read("Appointment", row.id)
        if made is not None:  # the same request did it before and was cut off
            return made
        place = await requested_opening(caller.server, practice, when)
        invoice = _invoice(row, service)
        bundle = booking.book(row, place.opening, practice.clock, schedule=practice.schedule, invoice=invoice)
        await caller.acting.transact(bundle)
        return await stored(caller, row.id)

    return await appointment_answer(caller, await carry_out(attempt), practice.clock)


def _invoice(row: Appointment, service: Resource | None) -> dict[str, Any] | None:
    specialty = specialties.from_fhir(service) if service else None
    if specialty is None or specialty.fee is None or not specialty.fee.payable:
        return None
    fee = specialty.fee
    owed = Payment(id=row.id, appointment_id=row.id, amount=fee.amount, currency=fee.currency)
    return payments.to_fhir(owed, user_id=row.user_id or "", at=now(), description=specialty.name).invoice


async def stored(caller: Caller, appointment_id: str) -> dict[str, Any]:
    """Return the appointment that was just written."""
    appointment = await caller.acting.read("Appointment", appointment_id)
    if appointment is None:
        raise Problem("not_found")
    return appointment
