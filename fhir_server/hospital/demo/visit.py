"""A visit that begins soon, so that arriving, waiting, being seen and coming again can be tried at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from fhir_server.hospital.demo.slots import appointment_in, conditional_create, rotas, slot_at
from mappings.shared import elements

_SCHEDULE, _PATIENT = "ingrid-vasari-harbour", "mara-lindqvist"
_QUARTER = timedelta(minutes=15)


def visit_entries(now: datetime) -> list[dict[str, Any]]:
    """Return conditional creates of an appointment within half an hour after `now`, one a day on the clinic's clock."""
    rota = next(item for item in rotas() if item.schedule["id"] == _SCHEDULE)
    local = now.astimezone(rota.zone).replace(second=0, microsecond=0)
    start = local + _QUARTER + timedelta(minutes=-local.minute % 15)
    slot = slot_at(rota.schedule, start) | {"status": "busy"}
    slot["identifier"] = [elements.identifier("slot", f"{_SCHEDULE}-soon-{local:%Y%m%d}")]
    visit = appointment_in(rota.schedule, slot, _PATIENT, "A cough")
    return [conditional_create(slot), conditional_create(visit)]
