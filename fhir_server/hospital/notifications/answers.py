"""Notifications as the app sees them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from fhir_server.hospital.api.answers import Answer
from fhir_server.hospital.api.caller import Caller
from mappings.notifications import notifications
from mappings.notifications.notifications import Kind


class RelatedAnswer(BaseModel):
    """The FHIR resource that a notification is about."""

    type: str
    id: str


class NotificationAnswer(Answer):
    """A notification, in the caller's language where it has that."""

    message: str | None
    is_read: bool
    kind: Kind
    related: RelatedAnswer | None


async def notification_answer(caller: Caller, communication: dict[str, Any]) -> NotificationAnswer:
    """Return the answer for a Communication."""
    created = await caller.fhir.created_at(communication)
    language = await caller.language()
    return NotificationAnswer.of(notifications.from_fhir(communication, language=language, created=created))
