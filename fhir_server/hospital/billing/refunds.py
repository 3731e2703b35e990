"""Giving back what was paid by card for what is cancelled."""

from __future__ import annotations

from typing import Any

from fhir_server.errors import FhirError
from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.billing.amounts_due import invoices_for
from fhir_server.hospital.gateways.card import GatewayUnavailable
from mappings.billing import payments
from mappings.shared.elements import IDENTIFIER, Resource
from mappings.shared.money import Money


async def settle(caller: Caller, reference: str) -> None:
    """Give back what was paid by card for a cancelled thing, if it is marked so; where that fails the mark stays."""
    invoice = (await invoices_for(caller.acting, [reference])).get(reference)
    if invoice is None or payments.from_fhir(invoice).refund_status != "pending":
        return
    paid = await payment_of(caller, invoice)
    row = payments.from_fhir(invoice, paid)
    if row.payment_method != "card" or row.transaction_id is None or row.currency is None:
        return
    amount = Money(amount=row.amount, currency=row.currency)
    try:
        refund = await caller.server.gateway.refund(
            row.transaction_id, amount, idempotency_key=f"refund-{invoice['id']}"
        )
    except GatewayUnavailable:
        return
    if refund.status == "completed":
        await _mark(caller, invoice)


async def _mark(caller: Caller, invoice: dict[str, Any]) -> None:
    try:
        await caller.acting.update(payments.with_refund_status(invoice, "completed"))
    except FhirError:
        return  # it was changed meanwhile; whoever did so finds the mark


async def payment_of(caller: Caller, invoice: Resource) -> dict[str, Any] | None:
    """Return the attempt to pay the invoice that counts: the one that succeeded, else the latest."""
    key = f"{IDENTIFIER}payment-of|Invoice/{invoice['id']}"
    found = (await caller.acting.all("PaymentReconciliation", [("identifier", key)])).matches
    found.sort(key=lambda item: (item.get("outcome") == "complete", item.get("created", ""), item["id"]))
    return found[-1] if found else None
