"""What payment gateways tell of their own accord. https://docs.stripe.com/webhooks"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import BaseModel
from starlette.requests import Request

from fhir_server.hospital.api.caller import Server
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.problem import Problem
from fhir_server.hospital.billing.card.attempts import record_outcome

router = APIRouter(prefix="/payments/webhook", tags=["payments"])


class Received(BaseModel):
    """That the message has arrived, and need not be sent again."""

    received: bool = True


@router.post("/stripe", responses=errors("malformed", "not_found", "conflict"))
async def stripe_webhook(
    request: Request, server: Server, stripe_signature: Annotated[str | None, Header()] = None
) -> Received:
    """Take what Stripe tells of a payment, signed by Stripe; the same again changes nothing."""
    secret = server.settings.stripe_webhook_secret
    if secret is None:
        raise Problem("not_found")
    # Here and not above: Stripe's library is large, and only a server that uses it should load it.
    from fhir_server.hospital.billing.card.stripe import event_of

    event = event_of(await request.body(), stripe_signature, secret)
    if event is not None:
        await record_outcome(server.fhir().ask, *event)
    return Received()
