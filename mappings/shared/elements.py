"""The elements that the tables' resources are made of, and the URLs that the hospital's own meanings go by.

Builders return plain JSON objects, in which decimals stay `Decimal`; what is absent is None and is left out by `build`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from fhir.resources.R4B import get_fhir_model_class

from fhir_server.own_urls import own_url
from mappings.shared.extensions import TIME_ZONE_URL
from mappings.shared.rows import Row, with_fhir_offset

Resource = Mapping[str, Any]
"""A FHIR resource as decoded JSON."""
Element = dict[str, Any]

TIMEZONE = TIME_ZONE_URL
TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"
UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"
ROLE_CODE = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
LANGUAGES = "urn:ietf:bcp:47"
APPOINTMENT_REASON = "http://terminology.hl7.org/CodeSystem/v2-0276"

_NOT_KNOWN = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
ABSENT: Element = {
    "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
}
"""An element that FHIR requires and the row does not know."""
ABSENT_CONCEPT: Element = {"coding": [{"system": _NOT_KNOWN, "code": "unknown"}]}
"""A CodeableConcept that FHIR requires and the row does not know."""


_is_checked_later: ContextVar[bool] = ContextVar("_is_checked_later", default=False)


@contextmanager
def checked_later() -> Iterator[None]:
    """Leave the check of what is built meanwhile to the engine, which checks all that is stored.

    For imports, where half of the time went into checking each resource twice.
    """
    token = _is_checked_later.set(True)
    try:
        yield
    finally:
        _is_checked_later.reset(token)


def build(resource_type: str, elements: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resource with these elements, without those that are absent.

    The models of fhir.resources refuse what is not FHIR; their own output is not used, as it turns decimals into
    floats. Raises ValueError naming the faults, unless the check is left for later.
    """
    present = _present(elements)
    if not _is_checked_later.get():
        get_fhir_model_class(resource_type).model_validate(present)
    return {"resourceType": resource_type, **present}


def _present(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {name: _present(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item is not None} or None
    if isinstance(value, list | tuple):
        return [item for item in map(_present, value) if item is not None] or None
    return value


def instant(moment: datetime) -> str:
    """Return a time as a FHIR instant or dateTime, to the microsecond where it has any."""
    spoken = with_fhir_offset(moment)
    text = spoken.isoformat()
    return text.removesuffix("+00:00") + "Z" if spoken.tzinfo is UTC else text


def optional_instant(moment: datetime | None) -> str | None:
    """Return a time as a FHIR instant, or None."""
    return None if moment is None else instant(moment)


def optional_date(day: date | None) -> str | None:
    """Return a day as a FHIR date, or None."""
    return None if day is None else day.isoformat()


def extension(name: str, value_type: str, value: Any) -> Element | None:
    """Return the hospital's extension of that name, or None without a value."""
    return None if value is None else {"url": own_url("StructureDefinition", name), f"value{value_type}": value}


def row_extensions(row: Row) -> list[Element | None]:
    """Return the extensions that keep when an imported row was created, updated and deleted."""
    return [
        extension("row-created", "Instant", optional_instant(row.created_at)),
        extension("row-updated", "Instant", optional_instant(row.updated_at)),
        extension("row-deleted", "Instant", optional_instant(row.deleted_at)),
    ]


def time_zone(name: str | None) -> Element | None:
    """Return the extension with an IANA time zone."""
    return None if name is None else {"url": TIMEZONE, "valueCode": name}


def meta(profile: str) -> Element:
    """Return the meta that claims one of the hospital's profiles."""
    return {"profile": [own_url("StructureDefinition", profile)]}


def reference(resource_type: str, logical_id: str | None, display: str | None = None) -> Element | None:
    """Return a reference to a resource of this server, or None without an id."""
    return None if logical_id is None else {"reference": f"{resource_type}/{logical_id}", "display": display}


def references(resource_type: str, ids: Iterable[str | None]) -> list[Element | None]:
    """Return references to several resources of one type."""
    return [reference(resource_type, logical_id) for logical_id in ids]


def concept(system: str, code: str, display: str | None = None) -> Element:
    """Return a CodeableConcept with one coding."""
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def text_concept(text: str | None) -> Element | None:
    """Return a CodeableConcept that is only text."""
    return None if text is None else {"text": text}


def telecom(phone: str | None, email: str | None, use: str) -> list[Element | None]:
    """Return the contact points for a phone number and an email address."""
    return [_contact("phone", phone, use), _contact("email", email, use)]


def _contact(system: str, value: str | None, use: str) -> Element | None:
    return None if value is None else {"system": system, "value": value, "use": use}


def identifier(name: str, value: str | None) -> Element | None:
    """Return an identifier in one of the hospital's own systems."""
    return None if value is None else {"system": own_url("identifier", name), "value": value}


def money(amount: Decimal | None, currency: str | None) -> Element | None:
    """Return an amount of money, digits as they are."""
    return None if amount is None else {"value": amount, "currency": currency}


def minutes(count: int | None) -> Element | None:
    """Return a Duration of whole minutes."""
    return None if count is None else {"value": count, "unit": "min", "system": UCUM, "code": "min"}


def days(count: Decimal | int | None, unit: str = "days") -> Element | None:
    """Return a Duration of days."""
    return None if count is None else {"value": count, "unit": unit, "system": UCUM, "code": "d"}
