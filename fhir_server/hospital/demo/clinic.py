"""The demo's fixed resources, each put under its own id."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from fhir_server import own_urls
from fhir_server.r4 import values

_FILES = ("clinics.json", "patients.json", "records.json")


def resources() -> tuple[dict[str, Any], ...]:
    """Return the resources of the demo, those that others refer to first."""
    return _resources(own_urls.base())


@cache
def _resources(base: str) -> tuple[dict[str, Any], ...]:
    folder = files("fhir_server.hospital.demo").joinpath("data")
    contents = (folder.joinpath(name).read_bytes() for name in _FILES)
    written, own = f"{own_urls.DEFAULT_BASE}/fhir/".encode(), f"{base}/fhir/".encode()
    return tuple(resource for content in contents for resource in values.decode(content.replace(written, own)))


def clinic_entries() -> list[dict[str, Any]]:
    """Return an entry for each resource that creates it, or updates it to what the demo says."""
    return [
        {"resource": resource, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}}
        for resource in resources()
    ]
