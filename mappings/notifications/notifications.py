"""Table `notifications`: a Communication to the user. https://hl7.org/fhir/R4/communication.html"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from fhir_server.own_urls import own_url, own_urls
from mappings.shared import elements, reading
from mappings.shared.elements import Element, Resource
from mappings.shared.rows import Code, Id, Row, Text

Kind = Literal[
    "appointment_booked",
    "appointment_rescheduled",
    "appointment_canceled",
    "appointment_reminder",
    "result_ready",
    "prescription_added",
    "treatment_plan_added",
    "document_added",
    "payment_completed",
    "payment_failed",
    "refund_pending",
    "refund_completed",
    "general",
]
KINDS: frozenset[str] = frozenset(get_args(Kind))

_CATEGORY = "http://terminology.hl7.org/CodeSystem/communication-category"
_KIND = "notification-kind"


class Related(BaseModel):
    """The resource that a notification is about."""

    model_config = ConfigDict(frozen=True)

    type: Code
    id: Id


class Notification(Row):
    """A row of `notifications`; it is read once Communication.received says when."""

    user_id: Id | None = None
    message: Text | None = None
    is_read: bool = False
    kind: Kind = "general"
    related: Related | None = None


def to_fhir(
    row: Notification,
    *,
    at: datetime,
    language: str | None = None,
    translations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the Communication: sent `at` unless the row says when, read then too if the row says only that it was.

    `language` is that of the message; `translations` are the message in others, by language code.
    """
    return elements.build(
        "Communication",
        {
            "id": row.id,
            "meta": elements.meta("hms-notification"),
            "language": language,
            "extension": elements.row_extensions(row),
            "status": "completed",
            "category": [elements.concept(_CATEGORY, "notification", "Notification")],
            "subject": elements.reference("Patient", row.user_id),
            "topic": elements.concept(own_url("CodeSystem", _KIND), row.kind),
            "about": [elements.reference(row.related.type, row.related.id)] if row.related else None,
            "sent": elements.instant(row.created_at or at),
            "received": elements.instant(row.updated_at or at) if row.is_read else None,
            "recipient": [elements.reference("Patient", row.user_id)],
            "payload": [_payload(row.message, translations or {})],
        },
    )


def _payload(message: str | None, translations: Mapping[str, str]) -> Element | None:
    if message is None:
        return None
    return {
        "contentString": message,
        "_contentString": {"extension": [_translation(code, text) for code, text in translations.items()]},
    }


def _translation(code: str, text: str) -> Element:
    parts = [{"url": "lang", "valueCode": code}, {"url": "content", "valueString": text}]
    return {"url": elements.TRANSLATION, "extension": parts}


def from_fhir(
    communication: Resource,
    *,
    language: str | None = None,
    created: datetime | None = None,
    deleted: datetime | None = None,
) -> Notification:
    """Return the row that a Communication is, its message in `language` where it has that translation."""
    recipient = reading.referenced(communication.get("recipient"), "Patient")
    about = (reading.typed_reference(item) for item in communication.get("about", ()))
    related = next(filter(None, about), None)
    return Notification.read(
        communication,
        user_id=recipient or reading.reference_id(communication.get("subject"), "Patient"),
        message=_message(communication, language),
        is_read="received" in communication,
        kind=_kind(communication),
        related=Related(type=related[0], id=related[1]) if related else None,
        **reading.row_times(communication, created, deleted),
    )


def _kind(communication: Resource) -> Kind:
    topic = communication.get("topic", {})
    systems = own_urls("CodeSystem", _KIND)
    texts = [*(code for system in systems for code in reading.codes([topic], system)), topic.get("text")]
    return next((kind for kind in texts if kind in KINDS), "general")


def _message(communication: Resource, language: str | None) -> str | None:
    parts = (_translated(payload, language) for payload in communication.get("payload", ()))
    return "\n".join(filter(None, parts)) or reading.concept_text(communication.get("topic"))


def _translated(payload: Resource, language: str | None) -> str | None:
    for item in payload.get("_contentString", {}).get("extension", ()):
        parts = {part.get("url"): part for part in item.get("extension", ())}
        if item.get("url") == elements.TRANSLATION and language and parts.get("lang", {}).get("valueCode") == language:
            translated: str | None = parts.get("content", {}).get("valueString")
            return translated
    text: str | None = payload.get("contentString")
    return text
