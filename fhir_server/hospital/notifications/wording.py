"""From an event to the Communication that tells it: in the patient's language, on the patient's clock.

The message stands in every language that the server speaks, so that an app may ask for another.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from fhir_server.hospital.notifications.events import Event, Visit
from fhir_server.r4.human_names import person_name
from mappings.accounts import users
from mappings.notifications import messages, times
from mappings.notifications.notifications import Notification, to_fhir
from mappings.shared import clinic_clock, reading
from mappings.shared.elements import Resource
from mappings.shared.money import Money
from translations.catalogue import LANGUAGES, Language
from translations.negotiation import choose_language


@dataclass(frozen=True, slots=True)
class MappingContext:
    """The resources that an event's message draws on, as far as they are there."""

    patient: Resource
    doctor: Resource | None = None
    clinic: Resource | None = None
    invoice: Resource | None = None
    medication: Resource | None = None
    member: Resource | None = None
    """The RelatedPerson of the patient whom a visit is for."""
    payment: Resource | None = None
    """The attempt to pay the invoice that counts."""


def communication_id(event: Event) -> str:
    """Return the id of the event's Communication: the same however often the event is told."""
    digest = hashlib.sha256(f"{event.kind}\x00{event.once}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=5))


def wants_news(patient: Resource) -> bool:
    """Return whether the patient is there to be told anything."""
    deceased = patient.get("deceasedBoolean") is True or "deceasedDateTime" in patient
    return patient.get("active") is not False and not deceased


def communication(event: Event, around: MappingContext, *, at: datetime, default_clock: str) -> dict[str, Any]:
    """Return the Communication that tells the event, sent `at`."""
    clocks = _Clocks.of(around, default_clock)
    own = choose_language(None, users.from_fhir(around.patient).language)
    messages = {language: _message(event, around, clocks, language) for language in LANGUAGES}
    row = Notification(
        id=communication_id(event),
        user_id=around.patient["id"],
        message=messages[own],
        kind=event.kind,
        related=event.related,
    )
    others: dict[str, str] = {language: text for language, text in messages.items() if language != own}
    return to_fhir(row, at=at, language=own, translations=others)


def _message(event: Event, around: MappingContext, clocks: _Clocks, language: Language) -> str:
    facts = _visit_facts(event.visit, around, clocks, language) if event.visit else _other_facts(event, around)
    return messages.message(event.kind, language, **facts)


def _visit_facts(visit: Visit, around: MappingContext, clocks: _Clocks, language: Language) -> Mapping[str, str | None]:
    return {
        "doctor": person_name(around.doctor),
        "clinic": (around.clinic or {}).get("name"),
        "when": times.when(visit.start, clocks.own, language, there=clocks.clinic) if visit.start else None,
        "member": person_name(around.member),
    }


def _other_facts(event: Event, around: MappingContext) -> Mapping[str, str | None]:
    what = event.what or reading.concept_text((around.medication or {}).get("code"))
    if around.invoice is None:
        return {"what": what}
    # What was paid may be less than the whole: the copay, where insurance pays the rest.
    paid = Money.from_fhir((around.payment or {}).get("paymentAmount"))
    amount = event.amount or paid or Money.from_fhir(around.invoice.get("totalGross"))
    return {"what": _paid_for(around.invoice), "amount": amount.text if amount else None}


def _paid_for(invoice: Resource) -> str | None:
    line = reading.first(invoice.get("lineItem"))
    return reading.concept_text(line.get("chargeItemCodeableConcept"))


class _Clocks(NamedTuple):
    """The clocks that times are told on: the patient's, else the clinic's, else the server's; and the clinic's."""

    own: ZoneInfo
    clinic: ZoneInfo | None

    @classmethod
    def of(cls, around: MappingContext, default: str) -> _Clocks:
        """Return the clocks for a message."""
        clinic = clinic_clock.clock_of(around.clinic, default) if around.clinic else None
        own = users.from_fhir(around.patient).timezone
        return cls(clinic_clock.named(own, clinic.key if clinic else default), clinic)
