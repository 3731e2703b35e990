"""Giving back what was paid by card for what is cancelled: one rule for the request that cancels and for the job."""

from __future__ import annotations

from typing import Any

import structlog

from fhir_server.errors import FhirError
from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.api.fhir import Fhir
from fhir_server.hospital.billing.amounts_due import invoices_for
from fhir_server.hospital.gateways.card import Gateway, GatewayUnavailable
from mappings.billing import payments
from mappings.shared.elements import Resource

log = structlog.get_logger(__name__)


async def refund_for(caller: Caller, reference: str) -> None:
    """Give back what was paid by card for a cancelled thing; where that fails the mark stays, and the job tries on."""
    invoice = (await invoices_for(caller.acting, [reference])).get(reference)
    if invoice is None:
        return
    try:
        await give_back(caller.acting, caller.server.gateway, invoice)
    except (GatewayUnavailable, FhirError) as error:
        log.warning("refund.delayed", kind=type(error).__name__)


async def give_back(fhir: Fhir, gateway: Gateway, invoice: dict[str, Any]) -> bool:
    """Give back what is due by card for an invoice, and mark that; returns whether anything was.

    Raises GatewayUnavailable, and FhirError where the invoice was changed meanwhile: whoever did so finds the mark.
    """
    refund = payments.refund_due(invoice, await attempts_of(fhir, invoice))
    if refund is None:
        return False
    answer = await gateway.refund(refund.transaction_id, refund.amount, idempotency_key=f"refund-{invoice['id']}")
    if answer.status != "completed":
        log.warning("refund.failed", status=answer.status, reason=answer.reason)
        return False
    await fhir.update(payments.with_refund_status(invoice, "completed"))
    return True


async def attempts_of(fhir: Fhir, invoice: Resource) -> list[dict[str, Any]]:
    """Return the attempts to pay the invoice."""
    key = payments.attempts_key(invoice["id"])
    return (await fhir.all("PaymentReconciliation", [("identifier", key)])).matches


async def payment_of(caller: Caller, invoice: Resource) -> dict[str, Any] | None:
    """Return the attempt to pay the invoice that counts."""
    return payments.counting(await attempts_of(caller.acting, invoice))
