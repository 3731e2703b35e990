"""Endpoints 26 and 27: what the user is told, and what of it was read."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from fhir_server.engine.context import now
from fhir_server.errors import PreconditionFailed
from fhir_server.hospital.api.answers import Answer
from fhir_server.hospital.api.caller import Called, Caller
from fhir_server.hospital.api.openapi import errors
from fhir_server.hospital.api.paging import Cursor, Limit, Page, opened, sealed
from fhir_server.hospital.api.problem import Problem
from mappings.notifications import notifications
from mappings.notifications.notifications import Kind
from mappings.shared import elements

router = APIRouter(prefix="/notifications", tags=["notifications"])
_ATTEMPTS = 5


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


class Notifications(Page[NotificationAnswer]):
    """A page of notifications, and how many of all are unread."""

    unread: int


@router.get("", responses=errors("invalid_token", "bad_cursor"))
async def list_notifications(
    caller: Called,
    unread_only: Annotated[bool, Query()] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Notifications:
    """Return the user's notifications, the newest first."""
    mine = [("recipient", f"Patient/{caller.patient_id}")]
    unread = [*mine, ("received:missing", "true")]
    token = opened(caller.server, "notifications", cursor) if cursor is not None else None
    criteria = [*(unread if unread_only else mine), ("_sort", "-sent"), ("_count", str(limit)), ("_total", "accurate")]
    found = await caller.fhir.search("Communication", criteria, token=token)
    left = await caller.fhir.search("Communication", [*unread, ("_summary", "count")])
    items = [await notification_answer(caller, item) for item in found.matches]
    following = sealed(caller.server, "notifications", found.next) if found.next else None
    return Notifications(items=items, total=found.total or 0, next=following, unread=left.total or 0)


async def notification_answer(caller: Caller, communication: dict[str, Any]) -> NotificationAnswer:
    """Return the answer for a Communication."""
    created = await caller.fhir.created_at(communication)
    language = await caller.language()
    return NotificationAnswer.of(notifications.from_fhir(communication, language=language, created=created))


@router.put("/{notification_id}/read", responses=errors("invalid_token", "not_found"))
async def read_notification(notification_id: str, caller: Called) -> NotificationAnswer:
    """Mark a notification as read."""
    for _ in range(_ATTEMPTS):
        found = await caller.fhir.read("Communication", notification_id)
        if found is None or notifications.from_fhir(found).user_id != caller.patient_id:
            raise Problem("not_found")
        if "received" in found:
            return await notification_answer(caller, found)
        try:
            return await notification_answer(
                caller, await caller.acting.update({**found, "received": elements.instant(now())})
            )
        except PreconditionFailed:
            continue
    raise Problem("conflict")
