"""A row on its way in, and the bundle entries that make its resources say what it does.

What another has made or changed is not overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_server.engine import versions
from fhir_server.engine.interactions.preconditions import etag
from fhir_server.errors import Conflict, Issue
from fhir_server.hospital.tables.checks.references import Key
from fhir_server.hospital.tables.files import FoundFile
from fhir_server.hospital.tables.sign_in import Account
from fhir_server.r4 import values
from fhir_server.store.resources.resources import Version
from fhir_server.store.work.imports import Imported
from mappings.shared import elements
from mappings.shared.rows import Row

Versions = Mapping[Key, Version]


@dataclass(frozen=True, slots=True)
class Planned:
    """A row on its way."""

    place: str
    row: Row
    digest: str
    imported: Imported | None
    notes: tuple[Issue, ...] = ()
    rivals: tuple[str, ...] = ()
    """Ids of the rows that may have its place."""
    file: FoundFile | None = None
    """The file that a document points to, where it is in the folder of files."""
    resources: list[dict[str, Any]] = field(default_factory=list)
    account: Account | None = None
    entries: list[dict[str, Any]] = field(default_factory=list)
    made: dict[str, int] = field(default_factory=dict)
    """The version that each resource has afterwards, by type."""


def with_entries(planned: Planned, current: Versions) -> Planned:
    """Return the row with the entries that make its resources say what it does; raises Conflict."""
    entries: list[dict[str, Any]] = []
    made: dict[str, int] = {}
    numbers = planned.imported.versions if planned.imported else {}
    for position, resource in enumerate(planned.resources):
        kind = resource["resourceType"]
        version = current.get((kind, planned.row.id))
        if version is not None and not version.deleted and _says(resource, version):
            made[kind] = version.version
            continue
        _require_ours(kind, planned.row.id, version, numbers.get(kind))
        made[kind] = version.version + 1 if version is not None else 1
        entries.append(_put(_numbered(resource, made[kind]) if position == 0 else resource, version))
    for kind in set(numbers) - set(made):
        version = current.get((kind, planned.row.id))
        if version is not None and not version.deleted:
            _require_ours(kind, planned.row.id, version, numbers[kind])
            entries.append(
                {"request": {"method": "DELETE", "url": f"{kind}/{planned.row.id}", "ifMatch": etag(version.version)}}
            )
    return replace(planned, entries=entries, made=made)


def _says(resource: dict[str, Any], version: Version) -> bool:
    stored = values.decode(version.json)
    number = elements.extension("row-version", "String", str(version.version))
    if number in stored.get("extension", ()):
        resource = _numbered(resource, version.version)
    return versions.unchanged(resource, version)


def _numbered(resource: dict[str, Any], version: int) -> dict[str, Any]:
    """Return the resource with the version that its row's times speak of, where that is not the first."""
    if version == 1:
        return resource
    number = elements.extension("row-version", "String", str(version))
    return {**resource, "extension": [*resource.get("extension", ()), number]}


def _require_ours(kind: str, resource_id: str, version: Version | None, number: int | None) -> None:
    """Raise Conflict for a resource that another has made or changed."""
    if version is None or version.version == number:
        return
    if number is None:
        raise Conflict(f"{kind}/{resource_id} exists here and comes from no import", code="duplicate")
    raise Conflict(f"{kind}/{resource_id} was changed here since it was imported", code="conflict")


def _put(resource: dict[str, Any], version: Version | None) -> dict[str, Any]:
    request = {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
    if version is None or version.deleted:
        request["ifNoneMatch"] = "*"
    else:
        request["ifMatch"] = etag(version.version)
    return {"resource": resource, "request": request}
