"""Changing a user's Patient: the columns that are given, on condition of the version that was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.errors import PreconditionFailed
from fhir_server.hospital.api.fhir import Fhir
from fhir_server.hospital.api.problem import Problem
from mappings.accounts import users
from mappings.shared.changes import changed

_ATTEMPTS = 5


async def change_patient(reading: Fhir, writing: Fhir, patient_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Patient with the columns changed; what it holds besides stays. Raises Problem."""
    for _ in range(_ATTEMPTS):
        patient = await reading.read("Patient", patient_id)
        if patient is None:
            raise Problem("not_found")
        row = users.from_fhir(patient)
        new = changed(patient, users.to_fhir(row)[0], users.to_fhir(row.model_copy(update=dict(changes)))[0])
        if new == patient:
            return patient
        try:
            return await writing.update(new)
        except PreconditionFailed:
            continue
    raise Problem("conflict")
