"""What is owed for appointments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from fhir_server.engine.context import now
from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.billing.amounts_due import Due, due_for, eligibilities, invoices_for
from fhir_server.hospital.catalogue.clinic_clocks import Clocks, clocks_of
from mappings.booking import appointments
from mappings.shared import clinic_clock, reading
from mappings.shared.elements import Resource


async def dues_of(caller: Caller, booked: Sequence[Resource], clocks: Clocks | None = None) -> dict[str, Due]:
    """Return what is owed for appointments, by their ids; `clocks` are those of their clinics, where they are known."""
    invoices = await invoices_for(caller.acting, (f"Appointment/{item['id']}" for item in booked))
    insured = {item["id"]: reading.referenced(item.get("supportingInformation"), "Coverage") for item in booked}
    patients = {appointments.actor_id(item, "Patient") for item in booked if insured[item["id"]]}
    by_patient = {each: await eligibilities(caller.acting, each) for each in patients if each}
    days = (
        _days_of(booked, clocks if clocks is not None else await clocks_of(caller, booked))
        if any(by_patient.values())
        else {}
    )
    return {
        item["id"]: due_for(
            invoices.get(f"Appointment/{item['id']}"),
            by_patient.get(appointments.actor_id(item, "Patient") or "", ()),
            insured[item["id"]],
            _service(item),
            days.get(item["id"], date.min),
        )
        for item in booked
    }


def _days_of(booked: Sequence[Resource], clocks: Clocks) -> dict[str, date]:
    """Return the days of appointments on their clinics' calendars, by the appointments' ids."""
    return {
        item["id"]: clinic_clock.wall_date(
            reading.moment(item.get("start")) or now(), clocks[appointments.actor_id(item, "Location")]
        )
        for item in booked
    }


def _service(appointment: Resource) -> str | None:
    service_id = appointments.actor_id(appointment, "HealthcareService")
    return f"HealthcareService/{service_id}" if service_id else None
