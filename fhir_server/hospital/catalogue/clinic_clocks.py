"""The clocks of the clinics that appointments are at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

from fhir_server.hospital.api.caller import Caller
from mappings.booking import appointments
from mappings.shared.elements import Resource

Clocks = Mapping[str | None, ZoneInfo]
"""Clocks by the ids of their clinics."""


async def clocks_of(caller: Caller, booked: Sequence[Resource]) -> Clocks:
    """Return the clocks of the appointments' clinics, by the clinics' ids."""
    ids = {appointments.actor_id(item, "Location") for item in booked}
    locations = await caller.server.fhir().many("Location", ids)
    return {clinic_id: caller.server.clock_of(locations.get(clinic_id or "")) for clinic_id in ids}


async def clock_of(caller: Caller, appointment: Resource) -> ZoneInfo:
    """Return the clock of the appointment's clinic."""
    return (await clocks_of(caller, [appointment]))[appointments.actor_id(appointment, "Location")]
