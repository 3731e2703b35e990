"""From an event to the Communication that tells it: in the patient's language, on the patient's clock.

The message stands in every language that the server speaks, so that an app may ask for another.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.hospital.notifications.events import Event
from mappings.accounts import users
from mappings.notifications import messages
from mappings.notifications.messages import LANGUAGES, Language
from mappings.notifications.notifications import Notification, to_fhir
from mappings.shared import clinic_clock, reading
from mappings.shared.elements import Resource
from mappings.shared.money import Money


@dataclass(frozen=True, slots=True)
class MappingContext:
    """The resources that an event's message draws on, as far as they are there."""

    patient: Resource
    doctor: Resource | None = None
    clinic: Resource | None = None
    invoice: Resource | None = None
    medication: Resource | None = None


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
    clock = _clock(around, default_clock)
    own = messages.choose_language(None, users.from_fhir(around.patient).language)
    said = {language: _message(event, around, clock, language) for language in LANGUAGES}
    row = Notification(
        id=communication_id(event),
        user_id=around.patient["id"],
        message=said[own],
        kind=event.kind,
        related=event.related,
    )
    others: dict[str, str] = {language: text for language, text in said.items() if language != own}
    return to_fhir(row, at=at, language=own, translations=others)


def _message(event: Event, around: MappingContext, clock: ZoneInfo, language: Language) -> str:
    facts = _visit_facts(event, around, clock, language) if event.visit else _other_facts(event, around)
    return messages.message(event.kind, language, **facts)


def _visit_facts(event: Event, around: MappingContext, clock: ZoneInfo, language: Language) -> Mapping[str, str | None]:
    start = event.visit.start if event.visit else None
    return {
        "doctor": reading.human_name(reading.official_name(around.doctor)) if around.doctor else None,
        "clinic": (around.clinic or {}).get("name"),
        "when": messages.when(start, clock, language) if start else None,
    }


def _other_facts(event: Event, around: MappingContext) -> Mapping[str, str | None]:
    what = event.what or reading.concept_text((around.medication or {}).get("code"))
    if around.invoice is None:
        return {"what": what}
    amount = event.amount or Money.from_fhir(around.invoice.get("totalGross"))
    said = f"{amount.amount:f} {amount.currency or ''}".rstrip() if amount else None
    return {"what": _paid_for(around.invoice), "amount": said}


def _paid_for(invoice: Resource) -> str | None:
    line = reading.first(invoice.get("lineItem"))
    return reading.concept_text(line.get("chargeItemCodeableConcept"))


def _clock(around: MappingContext, default_clock: str) -> ZoneInfo:
    """Return the patient's clock, else the clinic's, else the server's."""
    own = users.from_fhir(around.patient).timezone
    for name in (own, reading.time_zone(around.clinic) if around.clinic else None, default_clock):
        try:
            if name:
                return clinic_clock.zone(name)
        except ValueError:
            continue
    return ZoneInfo("UTC")
