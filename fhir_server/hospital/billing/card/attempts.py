"""Attempts to pay an invoice by card: written down before the gateway is asked, and settled by what it answers.

The PaymentReconciliation of an invoice has the invoice's id; each attempt is a number in its identifier, and that
identifier is the key under which the gateway charges once. An attempt whose outcome is not known keeps its key, so
asking again cannot charge again; only after a failure is there a next attempt, with a key of its own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog

from fhir_server.engine.context import Ask, Request, instant, now
from fhir_server.errors import Conflict, Gone, NotFound, PreconditionFailed
from fhir_server.hospital.billing.card.gateway import Charge, Gateway, GatewayUnavailable
from fhir_server.r4 import values
from mappings.billing import payments
from mappings.shared import elements, reading
from mappings.shared.money import Money

Resource = dict[str, Any]

_TRIES = 20
_SYSTEM = f"{elements.IDENTIFIER}payment-attempt"
_PAYABLE = frozenset({"draft", "issued"})

log = structlog.get_logger(__name__)


class AlreadyPaid(Conflict):
    """The invoice has been paid."""


class NotPayable(Conflict):
    """The invoice is not one to be paid: cancelled, or entered in error."""


async def charge_card(
    ask: Ask,
    gateway: Gateway,
    invoice_id: str,
    amount: Money,
    *,
    card_token: str,
    description: str | None = None,
) -> Charge:
    """Pay the invoice by card, and return what became of it, which is then also written down.

    However many ask at once, the card is charged once. Raises AlreadyPaid, NotPayable, NotFound, and
    GatewayUnavailable: unless it is certain that nothing was charged, the attempt is then open until somebody tries
    again or a job learns what became of it.
    """
    key = await begin(ask, invoice_id, amount)
    try:
        charge = await gateway.charge(amount, card_token=card_token, idempotency_key=key, description=description)
    except GatewayUnavailable as error:
        if error.nothing_done:
            await settle(ask, key, Charge("", "failed", "gateway_unavailable"))
        raise
    await settle(ask, key, charge)
    return charge


async def begin(ask: Ask, invoice_id: str, amount: Money) -> str:
    """Write down that a card is about to be charged, and return the key to charge it under."""
    for number in range(_TRIES):
        invoice = await _read(ask, "Invoice", invoice_id)
        if invoice is None:
            raise NotFound(f"Invoice/{invoice_id} does not exist.")
        previous = await _read(ask, "PaymentReconciliation", invoice_id)
        _require_payable(invoice, previous)
        key = _next_key(invoice_id, previous)
        attempt = _again(previous) if previous and is_open(previous) else _attempt(invoice, key, amount, now())
        if await _stored(ask, _put(attempt, previous)):
            return key
        await _let_others_pass(number)
    raise Conflict("Others are paying this invoice; try again.")


async def settle(ask: Ask, key: str, charge: Charge) -> None:
    """Write down what became of the attempt; the second time, and against a payment already known, change nothing."""
    invoice_id = key.rpartition("/")[0]
    for number in range(_TRIES):
        attempt = await _read(ask, "PaymentReconciliation", invoice_id)
        if attempt is None or key_of(attempt) != key:
            if charge.status == "completed":
                log.error("payment.unexpected", key=key, charge=charge.id)
            return
        settled = _settled(attempt, charge)
        entries = [] if settled == attempt else [_put(settled, attempt)]
        if charge.status == "completed":
            entries += _paid(await _read(ask, "Invoice", invoice_id))
        if not entries or await _stored(ask, *entries):
            return
        await _let_others_pass(number)
    raise Conflict("Others are changing this payment; try again.")


async def fail(ask: Ask, attempt: Resource) -> None:
    """Close an open attempt that came to nothing, unless somebody has taken it up since it was read."""
    await _stored(ask, _put(_settled(attempt, Charge("", "failed", "not_charged")), attempt))


def key_of(reconciliation: Mapping[str, Any]) -> str | None:
    """Return the key of the attempt by card that a PaymentReconciliation tells of."""
    marks = reconciliation.get("identifier", ())
    return next((mark.get("value") for mark in marks if mark.get("system") == _SYSTEM), None)


def is_open(reconciliation: Mapping[str, Any]) -> bool:
    """Return whether it is an attempt by card whose outcome is not known: the card may yet turn out to be charged."""
    return reconciliation.get("outcome") == "queued" and key_of(reconciliation) is not None


def _require_payable(invoice: Resource, previous: Resource | None) -> None:
    if invoice["status"] == "balanced" or (previous or {}).get("outcome") == "complete":
        raise AlreadyPaid("The invoice has been paid.")
    if invoice["status"] not in _PAYABLE:
        raise NotPayable(f"An invoice that is {invoice['status']} is not to be paid.")


def _next_key(invoice_id: str, previous: Resource | None) -> str:
    if previous is not None and is_open(previous):
        return key_of(previous) or ""
    if previous is None:
        return f"{invoice_id}/1"
    # The version that the attempt will be: no earlier attempt can have had that, by whatever method.
    version = previous["meta"]["versionId"]
    return f"{invoice_id}/{int(version) + 1 if version.isdecimal() else f'after-{version}'}"


def _attempt(invoice: Resource, key: str, amount: Money, at: datetime) -> Resource:
    row = payments.from_fhir(invoice).model_copy(
        update={"amount": amount.amount, "currency": amount.currency, "payment_method": "card", "status": "pending"}
    )
    made = payments.to_fhir(row, user_id=_payer(invoice), at=at).reconciliation
    assert made is not None, "a row with a payment method has one"
    return {**made, "identifier": [*made.get("identifier", ()), {"system": _SYSTEM, "value": key}]}


def _again(attempt: Resource) -> Resource:
    # The new version tells the job that somebody is at it, so that it does not close what is about to be charged.
    return {
        **attempt,
        "processNote": [{"type": "display", "text": f"The gateway was asked again at {instant(now())}."}],
    }


def _payer(invoice: Resource) -> str:
    return reading.reference_id(invoice.get("subject"), "Patient") or ""


def _settled(attempt: Resource, charge: Charge) -> Resource:
    if attempt.get("outcome") == "complete":
        return attempt
    outcome = {"completed": "complete", "failed": "error", "pending": "queued"}[charge.status]
    mark = elements.identifier("transaction", charge.id or None)
    kept = {name: value for name, value in attempt.items() if name != "paymentIdentifier"}
    kept |= {"outcome": outcome, **({"paymentIdentifier": mark} if mark else {})}
    return kept if charge.reason is None else {**kept, "disposition": charge.reason}


def _paid(invoice: Resource | None) -> list[Resource]:
    """Return the change that a payment makes to its invoice; one cancelled meanwhile is to be refunded."""
    if invoice is None or invoice["status"] == "balanced" or reading.extension(invoice, "refund-status"):
        return []
    if invoice["status"] in _PAYABLE:
        return [_put({**invoice, "status": "balanced"}, invoice)]
    refund = elements.extension("refund-status", "Code", "pending")
    return [_put({**invoice, "extension": [*invoice.get("extension", ()), refund]}, invoice)]


def _put(resource: Resource, previous: Resource | None) -> Resource:
    condition = {"ifNoneMatch": "*"} if previous is None else {"ifMatch": f'W/"{previous["meta"]["versionId"]}"'}
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url, **condition}}


async def _let_others_pass(number: int) -> None:
    """Wait a little after losing a race, longer each time, so that not all run into one another again."""
    await asyncio.sleep(random.uniform(0, 0.005 * (number + 1)))  # noqa: S311 - not a secret


async def _read(ask: Ask, resource_type: str, resource_id: str) -> Resource | None:
    try:
        answer = await ask(Request("GET", f"{resource_type}/{resource_id}"))
    except (NotFound, Gone):
        return None
    found: Resource = values.decode(answer.json or b"")
    return found


async def _stored(ask: Ask, *entries: Resource) -> bool:
    """Store the entries together; return False where one of them was changed by another meanwhile."""
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}
    try:
        await ask(Request("POST", "", resource=bundle))
    except (PreconditionFailed, Conflict):
        return False
    return True
