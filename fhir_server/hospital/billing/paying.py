"""Paying an invoice: by card through the gateway, by insurance that was verified, or in cash at the clinic."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from fhir_server.engine.context import now
from fhir_server.errors import Conflict, PreconditionFailed
from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.api.problem import Problem, invalid, refused
from fhir_server.hospital.billing import refunds
from fhir_server.hospital.billing.amounts_due import Due
from fhir_server.hospital.billing.card.attempts import (
    AlreadyPaid,
    AttemptOpen,
    Card,
    NotPayable,
    charge_card,
    is_open,
    resolve_others,
)
from fhir_server.hospital.gateways.card import Charge, GatewayUnavailable
from mappings.billing import payments
from mappings.billing.payments import Method, Payment
from mappings.shared.elements import Resource
from mappings.shared.money import Money

_TRIES = 20
_NAMESPACE = uuid.UUID("0d7c8f0a-3b0e-4e0e-9d53-5f1f3c1d0b11")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be paid, and how."""

    money: Money
    method: Method
    card_token: str | None = None


async def pay(caller: Caller, row: Payment, due: Due, order: Order, request_id: str) -> Payment:
    """Return the payment; raises Problem where it was paid before, another amount is due, or it is declined.

    `row` says what is paid for; `request_id` is the same for a request that is sent again.
    """
    if due.is_paid:
        raise Problem("already_paid")
    _require_due(due, order)
    invoice = due.invoice or await _new_invoice(caller, row)
    if order.method == "card":
        await _by_card(caller, invoice, order, request_id)
    else:
        await _otherwise(caller, invoice["id"], order)
    return await _outcome(caller, invoice)


def _require_due(due: Due, order: Order) -> None:
    """Raise Problem where this cannot be paid like this; nothing is written for what is refused."""
    if due.invoice is not None and due.invoice.get("status") == "cancelled":
        raise Problem("appointment_canceled")
    if due.invoice is not None and due.invoice.get("lineItem"):
        if order.money != due.amount:
            raise refused("amount", "amount_mismatch")
    elif not order.money.amount:  # without a fee any positive amount is taken
        raise invalid("amount", "positive")
    if order.method == "insurance" and not (due.eligibility and due.eligibility.covered):
        raise refused("payment_method", "insurance_not_verified")


async def _new_invoice(caller: Caller, row: Payment) -> dict[str, Any]:
    """Return the invoice of a thing without a fee; its total becomes what is paid in the end."""
    made = row.model_copy(update={"id": str(uuid.uuid5(_NAMESPACE, row.paid_for or ""))})
    document = payments.to_fhir(made, user_id=caller.patient_id, at=now()).invoice
    try:
        return await caller.acting.create(document)
    except PreconditionFailed:  # another request made it at the same time
        invoice = await caller.acting.read("Invoice", document["id"])
        if invoice is None:
            raise Problem("request_in_progress") from None
        return invoice


async def _by_card(caller: Caller, invoice: Resource, order: Order, request_id: str) -> None:
    try:
        charge = await charge_card(
            caller.public.ask,
            caller.server.gateway,
            invoice["id"],
            order.money,
            Card(order.card_token or "", request_id),
            description=f"Invoice {invoice['id']}",
        )
    except AlreadyPaid as error:
        raise Problem("already_paid") from error
    except AttemptOpen as error:
        raise Problem("request_in_progress") from error
    except NotPayable as error:
        raise Problem("appointment_canceled") from error
    except GatewayUnavailable as error:
        raise Problem("gateway_unavailable", headers={"Retry-After": "10"}) from error
    if charge.status == "failed":
        raise Problem("payment_declined")


async def _otherwise(caller: Caller, invoice_id: str, order: Order) -> None:
    """Write down that it was paid by insurance, or is going to be in cash; who loses a race looks again.

    A card that is being charged meanwhile may turn out to have paid.
    """
    for _ in range(_TRIES):
        try:
            await resolve_others(caller.public.ask, caller.server.gateway, invoice_id)
        except AttemptOpen as error:
            raise Problem("request_in_progress") from error
        try:
            entries = await _payment_entries(caller, invoice_id, order)
            if entries:
                await caller.acting.transact({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        except (PreconditionFailed, Conflict):
            continue
        return
    raise Problem("request_in_progress")


async def _payment_entries(caller: Caller, invoice_id: str, order: Order) -> list[dict[str, Any]]:
    """Return what is to be written for a payment by insurance or in cash; nothing where that is promised already."""
    invoice = await caller.acting.read("Invoice", invoice_id)
    previous = await caller.acting.read("PaymentReconciliation", invoice_id)
    if invoice is None or invoice.get("status") == "cancelled":
        raise Problem("appointment_canceled")
    if invoice.get("status") == "balanced" or (previous is not None and previous.get("outcome") == "complete"):
        raise Problem("already_paid")
    if previous is not None and is_open(previous):
        raise AttemptOpen(previous)
    charge = Charge(f"insurance-{invoice_id}", "completed") if order.method == "insurance" else None
    row = payments.from_fhir(invoice).model_copy(
        update={
            "amount": order.money.amount,
            "currency": order.money.currency,
            "payment_method": order.method,
            "status": "completed" if charge else "pending",
            "transaction_id": charge.id if charge else None,
        }
    )
    if charge is None and previous is not None and _is_promised(invoice, previous, row):
        return []
    attempt = payments.to_fhir(row, user_id=caller.patient_id, at=now()).reconciliation
    assert attempt is not None, "a payment by some method has one"
    entries = [_put(attempt, previous)]
    return [*entries, _put(payments.balanced(invoice, attempt), invoice)] if charge else entries


def _is_promised(invoice: Resource, attempt: Resource, row: Payment) -> bool:
    names = ("amount", "currency", "payment_method", "status")
    before = payments.from_fhir(invoice, attempt)
    return all(getattr(before, name) == getattr(row, name) for name in names)


def _put(resource: dict[str, Any], previous: Resource | None) -> dict[str, Any]:
    url = f"{resource['resourceType']}/{resource['id']}"
    condition = {"ifMatch": f'W/"{previous["meta"]["versionId"]}"'} if previous else {"ifNoneMatch": "*"}
    return {"resource": resource, "request": {"method": "PUT", "url": url, **condition}}


async def _outcome(caller: Caller, invoice: Resource) -> Payment:
    stored = await caller.acting.read("Invoice", invoice["id"]) or invoice
    attempt = await caller.acting.read("PaymentReconciliation", invoice["id"])
    row = payments.from_fhir(stored, attempt, created=await caller.acting.created_at(stored))
    if stored.get("status") == "cancelled":  # while the card was being charged: what was taken goes back
        await refunds.refund_for(caller, row.paid_for or "")
        raise Problem("appointment_canceled")
    return row
