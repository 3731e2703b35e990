"""Paying an invoice: by card through the gateway, by insurance that was verified, or in cash at the clinic."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.engine.context import now
from fhir_server.errors import PreconditionFailed
from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.api.problem import Problem, invalid, refused
from fhir_server.hospital.billing import refunds
from fhir_server.hospital.billing.amounts_due import Due, invoices_for
from fhir_server.hospital.billing.card.attempts import AlreadyPaid, NotPayable, charge_card, is_open
from fhir_server.hospital.billing.card.gateway import Charge, GatewayUnavailable
from mappings.billing import payments
from mappings.billing.payments import Method, Payment
from mappings.shared.changes import changed
from mappings.shared.elements import Resource
from mappings.shared.money import Money

_NAMESPACE = uuid.UUID("0d7c8f0a-3b0e-4e0e-9d53-5f1f3c1d0b11")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be paid, and how."""

    money: Money
    method: Method
    card_token: str | None = None


async def pay(caller: Caller, row: Payment, due: Due, order: Order) -> Payment:
    """Return the payment; raises Problem where it was paid before, another amount is due, or it is declined.

    `row` says what is paid for.
    """
    if due.is_paid:
        raise Problem("already_paid")
    invoice = await _invoice(caller, row, due, order)
    if order.method == "card":
        await _by_card(caller, invoice, order)
    elif order.method == "insurance" and not (due.eligibility and due.eligibility.covered):
        raise refused("payment_method", "insurance_not_verified")
    else:
        await _otherwise(caller, invoice, order)
    return await _outcome(caller, invoice)


async def _invoice(caller: Caller, row: Payment, due: Due, order: Order) -> dict[str, Any]:
    """Return the invoice to be paid: the one there is, or a new one where there is no fee; raises Problem."""
    if due.invoice is not None and due.invoice["status"] == "cancelled":
        raise Problem("appointment_canceled")
    if due.invoice is not None and due.invoice.get("lineItem"):
        if order.money != due.amount:
            raise refused("amount", "amount_mismatch")
        return due.invoice
    if not order.money.amount:
        raise invalid("amount", "positive")
    made = row.model_copy(update={"id": str(uuid.uuid5(_NAMESPACE, row.paid_for or ""))})
    document = payments.to_fhir(made, user_id=caller.patient_id, at=now()).invoice
    if due.invoice is None:
        return await _new_invoice(caller, document, order)
    # Without a fee any amount is taken, so an attempt that failed binds nobody to its amount.
    old = payments.to_fhir(payments.from_fhir(due.invoice), user_id=caller.patient_id, at=now()).invoice
    new = changed(due.invoice, old, {**old, "totalNet": document["totalNet"], "totalGross": document["totalGross"]})
    return new if new == due.invoice else await caller.acting.update(new)


async def _new_invoice(caller: Caller, document: dict[str, Any], order: Order) -> dict[str, Any]:
    try:
        return await caller.acting.create(document)
    except PreconditionFailed:  # another request made it at the same time
        found = await caller.acting.read("Invoice", document["id"])
        if found is None or Money.from_fhir(found["totalGross"]) != order.money:
            raise Problem("request_in_progress") from None
        return found


async def _by_card(caller: Caller, invoice: Resource, order: Order) -> None:
    try:
        charge = await charge_card(
            caller.public.ask,
            caller.server.gateway,
            invoice["id"],
            order.money,
            card_token=order.card_token or "",
            description=f"Invoice {invoice['id']}",
        )
    except AlreadyPaid as error:
        raise Problem("already_paid") from error
    except NotPayable as error:
        raise Problem("appointment_canceled") from error
    except GatewayUnavailable as error:
        raise Problem("gateway_unavailable", headers={"Retry-After": "10"}) from error
    if charge.status == "failed":
        raise Problem("payment_declined")


async def _otherwise(caller: Caller, invoice: dict[str, Any], order: Order) -> None:
    """Write down that it was paid by insurance, or is going to be in cash."""
    previous = await caller.acting.read("PaymentReconciliation", invoice["id"])
    if previous is not None and previous.get("outcome") == "complete":
        raise Problem("already_paid")
    if previous is not None and is_open(previous):
        raise Problem("request_in_progress")  # a card may turn out to have been charged
    charge = Charge(f"insurance-{invoice['id']}", "completed") if order.method == "insurance" else None
    row = payments.from_fhir(invoice).model_copy(
        update={
            "amount": order.money.amount,
            "currency": order.money.currency,
            "payment_method": order.method,
            "status": "completed" if charge else "pending",
            "transaction_id": charge.id if charge else None,
        }
    )
    attempt = payments.to_fhir(row, user_id=caller.patient_id, at=now()).reconciliation
    assert attempt is not None, "a payment by some method has one"
    entries = [_put(attempt, previous)]
    if charge:
        entries.append(_put({**invoice, "status": "balanced"}, invoice))
    try:
        await caller.acting.transact({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    except PreconditionFailed as error:
        raise Problem("request_in_progress") from error


def _put(resource: dict[str, Any], previous: Resource | None) -> dict[str, Any]:
    url = f"{resource['resourceType']}/{resource['id']}"
    condition = {"ifMatch": f'W/"{previous["meta"]["versionId"]}"'} if previous else {"ifNoneMatch": "*"}
    return {"resource": resource, "request": {"method": "PUT", "url": url, **condition}}


async def _outcome(caller: Caller, invoice: Resource) -> Payment:
    stored = await caller.acting.read("Invoice", invoice["id"]) or invoice
    attempt = await caller.acting.read("PaymentReconciliation", invoice["id"])
    row = payments.from_fhir(stored, attempt, created=await caller.acting.created_at(stored))
    if stored["status"] == "cancelled":  # while the card was being charged: what was taken goes back
        await refunds.settle(caller, row.paid_for or "")
        raise Problem("appointment_canceled")
    return row


async def due_of(caller: Caller, reference: str) -> Due:
    """Return what is owed for a thing that no policy was chosen for."""
    invoice = (await invoices_for(caller.acting, [reference])).get(reference)
    return replace(Due(invoice, None, None), amount=_total(invoice))


def _total(invoice: Resource | None) -> Money | None:
    if invoice is None:
        return None
    row = payments.from_fhir(invoice)
    return Money(amount=row.amount, currency=row.currency)
