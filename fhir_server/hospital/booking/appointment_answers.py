"""Appointments as the app sees them: on the clinic's clock, with what is owed for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from fhir_server.engine.context import now
from fhir_server.hospital.api.answers import Answer, MoneyAnswer
from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.billing.amounts_due import Due, due_for, eligibilities, invoices_for
from mappings.billing import payments
from mappings.billing.payments import RefundStatus
from mappings.booking import appointments
from mappings.booking.appointments import Appointment
from mappings.shared import clinic_clock, reading
from mappings.shared.elements import Resource


class AppointmentAnswer(Answer):
    """An appointment; date and time are those of the clinic's clock."""

    user_id: str | None
    doctor_id: str | None
    clinic_id: str | None
    specialty_id: str | None
    appointment_date: date | None
    appointment_time: str | None
    status: appointments.Status
    start: datetime | None
    end: datetime | None
    timezone: str
    slot_id: str | None
    family_member_id: str | None
    insurance_coverage_id: str | None
    reason: str | None
    follow_up_to: str | None
    amount_due: MoneyAnswer | None
    refund_status: RefundStatus | None


async def clocks_of(caller: Caller, found: Sequence[Resource]) -> dict[str | None, ZoneInfo]:
    """Return the clocks of the appointments' clinics, by the clinics' ids."""
    ids = {appointments.actor_id(item, "Location") for item in found}
    locations = await caller.server.fhir().many("Location", ids)
    return {clinic_id: caller.server.clock_of(locations.get(clinic_id or "")) for clinic_id in ids}


async def clock_of(caller: Caller, appointment: Resource) -> ZoneInfo:
    """Return the clock of the appointment's clinic."""
    return (await clocks_of(caller, [appointment]))[appointments.actor_id(appointment, "Location")]


async def dues_of(caller: Caller, found: Sequence[Resource]) -> dict[str, Due]:
    """Return what is owed for appointments, by their ids."""
    invoices = await invoices_for(caller.acting, (f"Appointment/{item['id']}" for item in found))
    insured = {item["id"]: reading.referenced(item.get("supportingInformation"), "Coverage") for item in found}
    patients = {appointments.actor_id(item, "Patient") for item in found if insured[item["id"]]}
    known = {each: await eligibilities(caller.acting, each) for each in patients if each}
    days = await _days_of(caller, found) if any(known.values()) else {}
    return {
        item["id"]: due_for(
            invoices.get(f"Appointment/{item['id']}"),
            known.get(appointments.actor_id(item, "Patient") or "", ()),
            insured[item["id"]],
            _service(item),
            days.get(item["id"], date.min),
        )
        for item in found
    }


async def _days_of(caller: Caller, found: Sequence[Resource]) -> dict[str, date]:
    """Return the days of appointments on their clinics' calendars, by the appointments' ids."""
    clocks = await clocks_of(caller, found)
    return {
        item["id"]: clinic_clock.wall_date(
            reading.moment(item.get("start")) or now(), clocks[appointments.actor_id(item, "Location")]
        )
        for item in found
    }


def _service(appointment: Resource) -> str | None:
    service_id = appointments.actor_id(appointment, "HealthcareService")
    return f"HealthcareService/{service_id}" if service_id else None


async def appointment_answers(caller: Caller, found: Sequence[Resource]) -> list[AppointmentAnswer]:
    """Return the answers for Appointments."""
    clocks, dues = await clocks_of(caller, found), await dues_of(caller, found)
    created = await caller.fhir.created(found)
    answers = []
    for item in found:
        clock = clocks[appointments.actor_id(item, "Location")]
        row = appointments.from_fhir(item, clock, created=created.get(item["id"]))
        answers.append(_answer(row, item, clock, dues[row.id]))
    return answers


async def appointment_answer(caller: Caller, appointment: Resource) -> AppointmentAnswer:
    """Return the answer for an Appointment."""
    return (await appointment_answers(caller, [appointment]))[0]


def _answer(row: Appointment, appointment: Resource, clock: ZoneInfo, due: Due) -> AppointmentAnswer:
    start, end = (reading.moment(appointment.get(side)) for side in ("start", "end"))
    refund = payments.from_fhir(due.invoice).refund_status if due.invoice else None
    return AppointmentAnswer.of(
        row,
        appointment_time=f"{row.appointment_time:%H:%M}" if row.appointment_time else None,
        start=start and clinic_clock.shown(start, clock),
        end=end and clinic_clock.shown(end, clock),
        timezone=clock.key,
        slot_id=next(iter(row.slot_ids), None),
        follow_up_to=row.follows,
        amount_due=due.amount and due.amount.model_dump(),
        refund_status=refund,
    )
