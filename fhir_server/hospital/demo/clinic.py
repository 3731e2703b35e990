"""The demo's fixed resources, each put under its own id."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from fhir_server.r4 import values

_FILES = ("clinics.json", "patients.json", "records.json")


@cache
def resources() -> tuple[dict[str, Any], ...]:
    """Return the resources of the demo, those that others refer to first."""
    folder = files("fhir_server.hospital.demo").joinpath("data")
    return tuple(resource for name in _FILES for resource in values.decode(folder.joinpath(name).read_bytes()))


def clinic_entries() -> list[dict[str, Any]]:
    """Return an entry for each resource that creates it, or updates it to what the demo says."""
    return [
        {"resource": resource, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}}
        for resource in resources()
    ]
