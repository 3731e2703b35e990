"""The appointments that are the caller's own."""

from __future__ import annotations

from typing import Any

from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.api.problem import Problem
from mappings.booking import appointments


async def own_appointment(caller: Caller, appointment_id: str) -> dict[str, Any]:
    """Return an appointment of the caller; raises Problem for any other."""
    found = await caller.fhir.read("Appointment", appointment_id)
    if found is None or appointments.actor_id(found, "Patient") != caller.patient_id:
        raise Problem("not_found")
    return found
