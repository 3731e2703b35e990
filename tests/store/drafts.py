"""Drafts of Patients for the tests of the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_server.r4.values import encode
from fhir_server.store.resources.resources import Draft, Version

TIME = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)


def draft(
    resource_id: str = "1", previous: Version | None = None, condition: str | None = None, **content: Any
) -> Draft:
    """Return a Patient draft that follows `previous`."""
    version = previous.version + 1 if previous else 1
    resource = {"resourceType": "Patient", "id": resource_id, "meta": {"versionId": str(version)}, **content}
    updated = TIME + timedelta(seconds=version)
    keys = {"keys": ["*", f"id={resource_id}"], "ranges": {}, "sort": {}, "shape": ""}
    return Draft("Patient", resource_id, version, updated, "PUT", encode(resource), resource, keys, condition)


def tombstone(previous: Version) -> Draft:
    """Return the draft that deletes a Patient."""
    version = previous.version + 1
    return Draft("Patient", previous.id, version, TIME + timedelta(seconds=version), "DELETE", b"", None, {})
