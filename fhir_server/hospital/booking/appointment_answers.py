"""Appointments as the app sees them: on the clinic's clock, with what is owed for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from fhir_server.hospital.api.answers import Answer, MoneyAnswer
from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.billing.amounts_due import Due
from fhir_server.hospital.billing.appointments_due import dues_of
from fhir_server.hospital.catalogue.clinic_clocks import Clocks, clocks_of
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


async def appointment_answers(
    caller: Caller, booked: Sequence[Resource], clocks: Clocks | None = None, dues: Mapping[str, Due] | None = None
) -> list[AppointmentAnswer]:
    """Return the answers for Appointments; what is known of them already is not read again."""
    clocks = clocks if clocks is not None else await clocks_of(caller, booked)
    dues = dues if dues is not None else await dues_of(caller, booked, clocks)
    created = await caller.fhir.created(booked)
    answers = []
    for item in booked:
        clock = clocks[appointments.actor_id(item, "Location")]
        row = appointments.from_fhir(item, clock, created=created.get(item["id"]))
        answers.append(_answer(row, item, clock, dues[row.id]))
    return answers


async def appointment_answer(caller: Caller, appointment: Resource, clock: ZoneInfo | None = None) -> AppointmentAnswer:
    """Return the answer for an Appointment; `clock` is that of its clinic, where it is known."""
    clocks = {appointments.actor_id(appointment, "Location"): clock} if clock else None
    return (await appointment_answers(caller, [appointment], clocks))[0]


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
