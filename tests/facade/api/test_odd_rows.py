"""Rows with values that are shown as null are found by whoever runs the server."""

from __future__ import annotations

from typing import Any

from fhir_server.engine.context import Context
from fhir_server.hospital.odd_rows import CATALOGUE, READERS, OddRow, odd_rows
from tests.facade_server import ORIGIN, Hospital

MARS = {"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": "Mars/Base"}
RESOURCES: list[dict[str, Any]] = [
    {"resourceType": "Location", "id": "base", "name": "Base", "extension": [MARS]},
    {"resourceType": "Location", "id": "harbour", "name": "Harbour"},
    {"resourceType": "Patient", "id": "mara", "extension": [MARS]},
]


async def test_odd_rows_are_found(hospital: Hospital) -> None:
    """Those of the catalogue, or of all tables; a row without fault is none of them."""
    await hospital.put(*RESOURCES)
    context = Context(hospital.services, f"{ORIGIN}/fhir")
    assert [row async for row in odd_rows(context, CATALOGUE)] == [OddRow("Location/base", ("timezone",))]
    assert [row.reference async for row in odd_rows(context, READERS)] == ["Location/base", "Patient/mara"]
