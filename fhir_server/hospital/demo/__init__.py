"""A small invented clinic group that a new server can be filled with: `bundle(today)`.

`data/clinics.json` holds the organizations, clinics, specialties, doctors and schedules, `data/patients.json` the
patients with their families and coverages, `data/records.json` what happened to them; `slots` makes the coming days,
`visit` the next hour.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from fhir_server.hospital.demo.clinic import clinic_entries
from fhir_server.hospital.demo.slots import slot_entries
from fhir_server.hospital.demo.visit import visit_entries

__all__ = ["ORGANIZATION", "bundle", "calendar", "visit"]

ORGANIZATION = "alder-health"
"""The id of the organization that all of it belongs to: where it is, the clinic has been loaded."""


def bundle(today: date) -> dict[str, Any]:
    """Return the transaction that stores the whole clinic.

    Loading it again puts the demo's resources back to what they were and leaves slots and appointments as they are.
    """
    return _transaction([*clinic_entries(), *slot_entries(today)])


def calendar(today: date) -> dict[str, Any]:
    """Return the transaction that only adds the slots and appointments of the two weeks after `today`."""
    return _transaction(slot_entries(today))


def visit(now: datetime) -> dict[str, Any]:
    """Return the transaction that adds a visit soon after `now`, unless there was one that day."""
    return _transaction(visit_entries(now))


def _transaction(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}
