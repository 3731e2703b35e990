"""Reading elements back out of resources that anybody may have written.

Nothing here raises on a valid resource: what is absent, or not what the hospital's tables can say, is None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypedDict

from fhir_server.own_urls import is_own_url, own_urls
from fhir_server.r4.references import local
from mappings.shared.elements import ABSENT_CONCEPT, TIMEZONE, Resource
from mappings.shared.extensions import EXTENSIONS
from mappings.shared.odd_values import typed_value
from mappings.shared.zones import is_zone

_EXTENSIONS = {definition.name: definition for definition in EXTENSIONS}

_FRACTION = re.compile(r"\.(\d+)")


class RowTimes(TypedDict):
    """The columns that every row has, from the resource's meta or its extensions."""

    created_at: datetime | None
    updated_at: datetime | None
    deleted_at: datetime | None


def extension(element: Resource, name: str) -> Any:
    """Return the value of the hospital's extension of that name, where it is of the type that its definition says."""
    definition = _EXTENSIONS[name]
    urls = own_urls("StructureDefinition", name)
    values = (typed_value(item, definition) for item in element.get("extension") or () if item.get("url") in urls)
    return next((value for value in values if value is not None), None)


def identifiers(resource: Resource, name: str) -> list[str]:
    """Return the values of the identifiers that are in the hospital's system of that name."""
    items = (item for item in resource.get("identifier") or () if is_own_url(item.get("system"), "identifier", name))
    return [item["value"] for item in items if "value" in item]


def identifier(resource: Resource, name: str) -> str | None:
    """Return the first of these identifiers, or None."""
    return next(iter(identifiers(resource, name)), None)


def time_zone(resource: Resource) -> str | None:
    """Return the IANA time zone that the resource names."""
    names = (item.get("valueCode") for item in resource.get("extension") or () if item.get("url") == TIMEZONE)
    return next(filter(is_zone, names), None)


def moment(text: Any) -> datetime | None:
    """Return the time that a FHIR instant or dateTime says; a day, month or year is its start in UTC."""
    if not isinstance(text, str) or not text:
        return None
    if "T" not in text:
        day = whole_date(text)
        return None if day is None else datetime.combine(day, time.min, UTC)
    # Python reads at most six digits of a second's fraction, and no leap second.
    read = _FRACTION.sub(lambda match: f".{match[1][:6]:0<6}", text).replace(":60", ":59")
    try:
        parsed = datetime.fromisoformat(read)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def utc(text: Any) -> datetime | None:
    """Return the time that a FHIR instant or dateTime says in UTC; None beyond the calendar."""
    parsed = moment(text)
    try:
        return parsed and parsed.astimezone(UTC)
    except OverflowError:
        return None


def dated(resource: Resource, *names: str) -> datetime:
    """Return the first of these elements that says a time, else when the resource was last changed."""
    times = (moment(resource.get(name)) for name in (*names,))
    stated = next(filter(None, times), None) or moment((resource.get("meta") or {}).get("lastUpdated"))
    return stated or datetime.min.replace(tzinfo=UTC)


def whole_date(text: Any) -> date | None:
    """Return the day that a FHIR date or dateTime says, the first one where it is a month or a year."""
    if not isinstance(text, str) or not text:
        return None
    year, month, day = (*text[:10].split("-"), "01", "01")[:3]
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def last_date(text: Any) -> date | None:
    """Return the last day that a FHIR date or dateTime says: of a month or a year its end."""
    first = whole_date(text)
    if first is None or "T" in text or len(text) == len("2026-03-09"):
        return first
    months = 12 if len(text) == len("2026") else 1
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return date.max if year > date.max.year else date(year, month + 1, 1) - timedelta(days=1)


def days_of(period: Resource) -> tuple[date | None, date | None]:
    """Return the first and the last day of a Period, as far as it says them."""
    return whole_date(period.get("start")), last_date(period.get("end"))


def is_within(day: date, period: Resource) -> bool:
    """Return whether a day is in a Period, both of whose ends are included."""
    first, last = days_of(period)
    return (first is None or first <= day) and (last is None or day <= last)


def time_of_day(text: Any) -> time | None:
    """Return the time that a FHIR time says; a leap second is the one before."""
    if not isinstance(text, str):
        return None
    try:
        return time.fromisoformat(_FRACTION.sub("", text).replace(":60", ":59")).replace(tzinfo=None)
    except ValueError:
        return None


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
    """Return the id in a relative reference to a resource of the type; one to another server names nothing here."""
    named = local((reference or {}).get("reference"))
    return named.id if named and named.type == resource_type else None


def typed_reference(reference: Resource) -> tuple[str, str] | None:
    """Return the type and the id of the resource that a relative reference names."""
    named = local(reference.get("reference"))
    return (named.type, named.id) if named else None


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
