"""The AuditEvent of a notification: with whose rights, of which resources, and how the receiver answered."""

from __future__ import annotations

import time

from fhir_server.audit.job import tell
from fhir_server.audit.records import AccessRecord, Actor, EntryRecord
from fhir_server.engine.context import Services
from fhir_server.engine.disclosure import disclosing, note_resource
from fhir_server.engine.subscriptions.delivery import Attempt
from fhir_server.engine.versions import new_id
from fhir_server.store.accounts.bearer_tokens import bearer_token

_UNANSWERED = 504
"""How a delivery ended that was sent and never answered."""


async def tell_of_notification(services: Services, base_url: str, attempt: Attempt) -> None:
    """Store the AuditEvent of a delivery; none where nobody's rights are asked, on an open server."""
    meaning = (attempt.state.subscriber or {}).get("token")
    if meaning is None:
        return
    token, status = bearer_token(meaning), attempt.status or _UNANSWERED
    with disclosing() as disclosure:
        for shown in attempt.events:
            note_resource(base_url, shown.event.type, shown.event.id, shown.json)
    record = AccessRecord(
        id=new_id(),
        milliseconds=int(time.time() * 1000),
        actor=Actor("", token.client_id, token.user_id or "", token.username or "", token.fhir_user or ""),
        method=attempt.method,
        path=f"Subscription/{attempt.state.id}",
        query="",
        status=status,
        event="notification",
        patient=token.context.patient or "",
        entries=tuple(
            EntryRecord("GET", f"{shown.reference}/_history/{shown.event.version}", str(status))
            for shown in attempt.events
            if shown.json is not None
        ),
        patients=tuple(disclosure.patients),
    )
    await tell(services, base_url, record)
