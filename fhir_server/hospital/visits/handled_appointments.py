"""Whose appointments somebody may handle: a user the own ones, staff those of the clinics they work at."""

from __future__ import annotations

from typing import Any

from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.api.own import is_own
from fhir_server.hospital.catalogue.practices import practices
from mappings.booking import appointments
from mappings.shared.elements import Resource


async def handled_appointment(caller: Caller, appointment_id: str) -> dict[str, Any] | None:
    """Return an appointment that the caller may handle, or None."""
    appointment = await caller.fhir.read("Appointment", appointment_id)
    if appointment is None:
        return None
    if caller.practitioner_id is not None:
        return appointment if await _is_of_own_clinic(caller, caller.practitioner_id, appointment) else None
    return appointment if is_own(caller, appointment) else None


async def _is_of_own_clinic(caller: Caller, practitioner_id: str, appointment: Resource) -> bool:
    own = {practice.clinic_id for practice in await practices(caller.server, doctor_id=practitioner_id)}
    return appointments.actor_id(appointment, "Location") in own
