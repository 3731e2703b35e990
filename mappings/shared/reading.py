"""Reading elements back out of resources that anybody may have written.

Nothing here raises on a valid resource: what is absent, or not what the hospital's tables can say, is None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time
from typing import Any, TypedDict

from mappings.shared.elements import ABSENT_CONCEPT, EXTENSION, TIMEZONE, Resource

_REFERENCE = re.compile(r"(?:.*/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/.+)?\Z")
_FRACTION = re.compile(r"\.(\d+)")


class RowTimes(TypedDict):
    """The columns that every row has, from the resource's meta or its extensions."""

    created_at: datetime | None
    updated_at: datetime | None
    deleted_at: datetime | None


def extension(element: Resource, name: str) -> Any:
    """Return the value of the hospital's extension of that name."""
    return extension_at(element, EXTENSION + name)


def extension_at(element: Resource, url: str) -> Any:
    """Return the value of the first extension with that URL."""
    for item in element.get("extension", ()):
        if item.get("url") == url:
            return next((value for key, value in item.items() if key.startswith("value")), None)
    return None


def time_zone(resource: Resource) -> str | None:
    """Return the IANA time zone that the resource names."""
    name: str | None = extension_at(resource, TIMEZONE)
    return name


def moment(text: str | None) -> datetime | None:
    """Return the time that a FHIR instant or dateTime says; a day, month or year is its start in UTC."""
    if not text:
        return None
    if "T" not in text:
        return datetime.combine(whole_date(text) or date.min, time.min, UTC)
    # Python reads at most six digits of a second's fraction, and no leap second.
    read = _FRACTION.sub(lambda match: f".{match[1][:6]:0<6}", text).replace(":60", ":59")
    return datetime.fromisoformat(read)


def whole_date(text: str | None) -> date | None:
    """Return the day that a FHIR date or dateTime says, the first one where it is a month or a year."""
    if not text:
        return None
    year, month, day = (*text[:10].split("-"), "01", "01")[:3]
    return date(int(year), int(month), int(day))


def row_times(resource: Resource, created: datetime | None, deleted: datetime | None = None) -> RowTimes:
    """Return when the row was created, updated and deleted.

    `created` is meta.lastUpdated of the first version and `deleted` the time of the tombstone. What an import wrote
    down counts before: its time of creation always, its time of update while the resource is as the import made it.
    """
    meta = resource.get("meta", {})
    version, updated = meta.get("versionId", "1"), moment(meta.get("lastUpdated"))
    imported = moment(extension(resource, "row-updated"))
    as_imported = version == (extension(resource, "row-version") or "1")
    return {
        "created_at": moment(extension(resource, "row-created")) or created or (updated if version == "1" else None),
        "updated_at": (imported if as_imported else None) or updated,
        "deleted_at": moment(extension(resource, "row-deleted")) or deleted,
    }


def reference_id(reference: Resource | None, resource_type: str) -> str | None:
    """Return the id that a reference to a resource of the type ends in."""
    match = _REFERENCE.match((reference or {}).get("reference", ""))
    return match["id"] if match and match["type"] == resource_type else None


def typed_reference(reference: Resource) -> tuple[str, str] | None:
    """Return the type and the id of the resource that a literal reference names."""
    match = _REFERENCE.match(reference.get("reference", ""))
    return (match["type"], match["id"]) if match else None


def referenced(references: Iterable[Resource] | None, resource_type: str) -> str | None:
    """Return the id of the first reference to a resource of the type."""
    return next(filter(None, (reference_id(item, resource_type) for item in references or ())), None)


def first(items: Iterable[Resource] | None, holds: Callable[[Resource], bool] = bool) -> Resource:
    """Return the first item for which the condition holds, or an empty one."""
    return next(filter(holds, items or ()), {})


def contact(resource: Resource, system: str) -> str | None:
    """Return the resource's contact point of a system ("phone", "email"), one that is in use if there is one."""
    points = [item for item in resource.get("telecom", ()) if item.get("system") == system and item.get("value")]
    value: str | None = (first(points, lambda item: item.get("use") != "old") or first(points)).get("value")
    return value


def codes(concepts: Iterable[Resource] | None, system: str) -> list[str]:
    """Return the codes that CodeableConcepts hold in a code system."""
    return [
        coding["code"]
        for concept in concepts or ()
        for coding in concept.get("coding", ())
        if coding.get("system") == system and "code" in coding
    ]


def concept_text(concept: Resource | None) -> str | None:
    """Return what a CodeableConcept says to a person: its text, else a display, else a code."""
    if not concept or concept == ABSENT_CONCEPT:
        return None
    coding = first(concept.get("coding"), lambda item: "display" in item) or first(concept.get("coding"))
    return concept.get("text") or coding.get("display") or coding.get("code")


def human_name(name: Resource) -> str | None:
    """Return a name as a person would write it."""
    parts = (*name.get("prefix", ()), *name.get("given", ()), name.get("family"), *name.get("suffix", ()))
    return name.get("text") or " ".join(part for part in parts if part) or None


def official_name(resource: Resource) -> Resource:
    """Return the name that a person goes by, an old one only if there is no other."""
    ranks = ("official", "usual", None, "temp", "nickname", "anonymous", "maiden", "old")
    names: list[Resource] = resource.get("name", [])
    return min(names, key=lambda name: ranks.index(name.get("use")), default={})
