"""Endpoints 26 and 27: what the user is told, and what of it was read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from fhir_server.engine.context import now
from fhir_server.errors import PreconditionFailed
from fhir_server.hospital.api.caller import Called
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.own import require_own
from fhir_server.hospital.api.paging import Cursor, Limit, Page, searched
from fhir_server.hospital.api.problem import Problem
from fhir_server.hospital.notifications.answers import NotificationAnswer, notification_answer
from mappings.shared import elements

router = APIRouter(prefix="/notifications", tags=["notifications"])
_ATTEMPTS = 5


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
    criteria = [*(unread if unread_only else mine), ("_sort", "-sent")]
    page = await searched(caller, "Communication", criteria, limit, cursor)
    left = await caller.fhir.search("Communication", [*unread, ("_summary", "count")])
    items = [await notification_answer(caller, item) for item in page.items]
    return Notifications(items=items, total=page.total, next=page.next, unread=left.total or 0)


@router.put("/{notification_id}/read", responses=errors("invalid_token", "not_found"))
async def read_notification(notification_id: str, caller: Called) -> NotificationAnswer:
    """Mark a notification as read."""
    for _ in range(_ATTEMPTS):
        communication = await require_own(caller, "Communication", notification_id)
        if "received" in communication:
            return await notification_answer(caller, communication)
        try:
            return await notification_answer(
                caller, await caller.acting.update({**communication, "received": elements.instant(now())})
            )
        except PreconditionFailed:
            continue
    raise Problem("conflict")
