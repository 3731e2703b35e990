"""Attempts to pay an invoice by card: written down before the gateway is asked, and resolved by what it answers.

The PaymentReconciliation of an invoice has the invoice's id; each attempt is a number in its identifier, and that
identifier is the key under which the gateway charges once. An attempt belongs to the request that began it, until its
outcome is known: another request waits for that outcome, and only after a failure makes an attempt with its own card.
An attempt whose request had no answer from the gateway is released, with its key, so asking again cannot charge again.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from fhir_server.engine.context import Ask, Request, instant, now
from fhir_server.errors import Conflict, Gone, NotFound, PreconditionFailed
from fhir_server.hospital.gateways.card import Charge, Gateway, GatewayUnavailable
from fhir_server.own_urls import own_urls
from fhir_server.r4 import values
from mappings.billing import payments
from mappings.shared import elements, reading
from mappings.shared.money import Money

Resource = dict[str, Any]

_TRIES = 20
_OTHERS_MAY_TAKE = 10.0
"""Seconds that a request waits for the outcome of another one's attempt."""
_KEY = "payment-attempt"
_RELEASED = "gateway_unavailable"
_HOLDER = "payment-attempt-by"
_PAYABLE = frozenset({"draft", "issued"})

log = structlog.get_logger(__name__)


class AlreadyPaid(Conflict):
    """The invoice has been paid."""


class NotPayable(Conflict):
    """The invoice is not one to be paid: cancelled, or entered in error."""


class AttemptOpen(Conflict):
    """Another request's attempt to pay the invoice is open: its card may yet turn out to be charged."""

    def __init__(self, attempt: Resource) -> None:
        super().__init__("Another payment of this invoice is under way; try again.")
        self.attempt = attempt


@dataclass(frozen=True, slots=True)
class Card:
    """A card at the gateway, and the request that pays with it: sent again, a request has the same id."""

    token: str
    request_id: str

    @property
    def holder(self) -> str:
        """What an attempt of this request with this card is known by; it does not tell the token."""
        return hashlib.sha256(f"{self.request_id}\x00{self.token}".encode()).hexdigest()[:32]


async def charge_card(
    ask: Ask, gateway: Gateway, invoice_id: str, amount: Money, card: Card, *, description: str | None = None
) -> Charge:
    """Pay the invoice by card, and return what became of it, which is then also written down.

    However many ask at once, one card is charged once: the others raise AlreadyPaid, or go on with their own card
    where that one was declined. Raises AlreadyPaid, NotPayable, NotFound, AttemptOpen where another request's outcome
    does not become known in time, and GatewayUnavailable: unless it is certain that nothing was charged, the attempt is
    then open until somebody tries again or a job learns what became of it.
    """
    key = await _begin_in_turn(ask, gateway, invoice_id, amount, card.holder)
    try:
        charge = await gateway.charge(amount, card_token=card.token, idempotency_key=key, description=description)
    except GatewayUnavailable as error:
        if error.nothing_done:
            await record_outcome(ask, key, Charge("", "failed", "gateway_unavailable"))
        else:
            await _release(ask, key, card.holder)
        raise
    await record_outcome(ask, key, charge)
    return charge


async def _begin_in_turn(ask: Ask, gateway: Gateway, invoice_id: str, amount: Money, holder: str) -> str:
    loop = asyncio.get_running_loop()
    until = loop.time() + _OTHERS_MAY_TAKE
    number = 0
    while True:
        try:
            return await begin(ask, invoice_id, amount, holder)
        except AttemptOpen as error:
            if await _is_resolved(ask, gateway, error.attempt):
                continue
            if _is_released(error.attempt) and _amount_of(error.attempt) == amount:
                await _take_over(ask, error.attempt, holder)
                continue
            if loop.time() > until:
                raise
        number += 1
        await _let_others_pass(min(number, 50))


async def resolve_others(ask: Ask, gateway: Gateway, invoice_id: str) -> None:
    """Wait until no attempt to pay the invoice by card is open; raises AttemptOpen where one stays so for too long.

    Who pays it otherwise is then told what became of the card.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + _OTHERS_MAY_TAKE
    number = 0
    while True:
        attempt = await _read(ask, "PaymentReconciliation", invoice_id)
        if attempt is None or not is_open(attempt):
            return
        if await _is_resolved(ask, gateway, attempt):
            continue
        if _is_released(attempt) or loop.time() > until:
            raise AttemptOpen(attempt)
        number += 1
        await _let_others_pass(min(number, 50))


async def begin(ask: Ask, invoice_id: str, amount: Money, holder: str) -> str:
    """Write down that a card is about to be charged, and return the key to charge it under.

    Raises AttemptOpen where the open attempt is not the holder's own.
    """
    for number in range(_TRIES):
        invoice = await _read(ask, "Invoice", invoice_id)
        if invoice is None:
            raise NotFound(f"Invoice/{invoice_id} does not exist.")
        previous = await _read(ask, "PaymentReconciliation", invoice_id)
        _require_payable(invoice, previous)
        attempt = _next_attempt(invoice, previous, amount, holder)
        if await _stored(ask, _put(attempt, previous)):
            return key_of(attempt) or ""
        await _let_others_pass(number)
    raise Conflict("Others are paying this invoice; try again.")


def _next_attempt(invoice: Resource, previous: Resource | None, amount: Money, holder: str) -> Resource:
    if previous is None or not is_open(previous):
        return _attempt(invoice, _next_key(invoice["id"], previous), amount, holder)
    if _holder_of(previous) != holder or _amount_of(previous) != amount:
        raise AttemptOpen(previous)
    return _again(previous)


async def _is_resolved(ask: Ask, gateway: Gateway, attempt: Resource) -> bool:
    """Resolve an open attempt by what the gateway knows of it; return whether its outcome is known now."""
    key = key_of(attempt) or ""
    charge = await gateway.find(key, since=reading.moment(attempt.get("created")) or now())
    if charge is None or charge.status == "pending":
        return False
    await record_outcome(ask, key, charge)
    return True


async def _release(ask: Ask, key: str, holder: str) -> None:
    """Let others take the attempt up: the gateway did not say what became of it."""
    attempt = await _read(ask, "PaymentReconciliation", key.rpartition("/")[0])
    if attempt is not None and is_open(attempt) and key_of(attempt) == key and _holder_of(attempt) == holder:
        await _stored(ask, _put({**attempt, "disposition": _RELEASED}, attempt))


async def _take_over(ask: Ask, attempt: Resource, holder: str) -> None:
    """Make a released attempt the holder's; of several who try, one gets it."""
    await _stored(ask, _put(_again(_held_by(attempt, holder)), attempt))


async def record_outcome(ask: Ask, key: str, charge: Charge) -> None:
    """Write down what became of the attempt; the second time, and against a payment already known, change nothing."""
    invoice_id = key.rpartition("/")[0]
    for number in range(_TRIES):
        attempt = await _read(ask, "PaymentReconciliation", invoice_id)
        if attempt is None or key_of(attempt) != key:
            if charge.status == "completed":
                log.error("payment.unexpected", key=key, charge=charge.id)
            return
        resolved = _with_outcome(attempt, charge)
        entries = [] if resolved == attempt else [_put(resolved, attempt)]
        if charge.status == "completed":
            entries += _paid(await _read(ask, "Invoice", invoice_id), attempt)
        if not entries or await _stored(ask, *entries):
            return
        await _let_others_pass(number)
    raise Conflict("Others are changing this payment; try again.")


async def fail(ask: Ask, attempt: Resource) -> None:
    """Close an open attempt that came to nothing, unless somebody has taken it up since it was read."""
    await _stored(ask, _put(_with_outcome(attempt, Charge("", "failed", "not_charged")), attempt))


def key_of(reconciliation: Mapping[str, Any]) -> str | None:
    """Return the key of the attempt by card that a PaymentReconciliation tells of."""
    return reading.identifier(reconciliation, _KEY)


def _holder_of(attempt: Mapping[str, Any]) -> str | None:
    return reading.identifier(attempt, _HOLDER)


def _held_by(attempt: Resource, holder: str) -> Resource:
    systems = own_urls("identifier", _HOLDER)
    marks = [mark for mark in attempt.get("identifier", ()) if mark.get("system") not in systems]
    return {**attempt, "identifier": [*marks, elements.identifier(_HOLDER, holder)]}


def _is_released(attempt: Mapping[str, Any]) -> bool:
    """Return whether nobody is asking the gateway; the attempt's key cannot charge twice, so anybody may use it."""
    return attempt.get("disposition") == _RELEASED


def _amount_of(attempt: Mapping[str, Any]) -> Money | None:
    return Money.from_fhir(attempt.get("paymentAmount"))


def is_open(reconciliation: Mapping[str, Any]) -> bool:
    """Return whether it is an attempt by card whose outcome is not known: the card may yet turn out to be charged."""
    return reconciliation.get("outcome") == "queued" and key_of(reconciliation) is not None


def _require_payable(invoice: Resource, previous: Resource | None) -> None:
    if invoice.get("status") == "balanced" or (previous or {}).get("outcome") == "complete":
        raise AlreadyPaid("The invoice has been paid.")
    if invoice.get("status") not in _PAYABLE:
        raise NotPayable(f"An invoice that is {invoice.get('status')} is not to be paid.")


def _next_key(invoice_id: str, previous: Resource | None) -> str:
    if previous is None:
        return f"{invoice_id}/1"
    # The version that the attempt will be: no earlier attempt can have had that, by whatever method.
    version = previous["meta"]["versionId"]
    return f"{invoice_id}/{int(version) + 1 if version.isdecimal() else f'after-{version}'}"


def _attempt(invoice: Resource, key: str, amount: Money, holder: str) -> Resource:
    row = payments.from_fhir(invoice).model_copy(
        update={"amount": amount.amount, "currency": amount.currency, "payment_method": "card", "status": "pending"}
    )
    made = payments.to_fhir(row, user_id=_payer(invoice), at=now()).reconciliation
    assert made is not None, "a row with a payment method has one"
    return _held_by({**made, "identifier": [*made.get("identifier", ()), elements.identifier(_KEY, key)]}, holder)


def _again(attempt: Resource) -> Resource:
    # The new version tells the job that somebody is at it, so that it does not close what is about to be charged.
    return {
        **attempt,
        "disposition": "card",
        "processNote": [{"type": "display", "text": f"The gateway was asked again at {instant(now())}."}],
    }


def _payer(invoice: Resource) -> str:
    return reading.reference_id(invoice.get("subject"), "Patient") or ""


def _with_outcome(attempt: Resource, charge: Charge) -> Resource:
    if attempt.get("outcome") == "complete":
        return attempt
    outcome = {"completed": "complete", "failed": "error", "pending": "queued"}[charge.status]
    mark = elements.identifier("transaction", charge.id or None)
    kept = {name: value for name, value in attempt.items() if name != "paymentIdentifier"}
    kept |= {"outcome": outcome, **({"paymentIdentifier": mark} if mark else {})}
    return {**kept, "disposition": charge.reason or "card"}


def _paid(invoice: Resource | None, attempt: Resource) -> list[Resource]:
    """Return the change that a payment makes to its invoice; one cancelled meanwhile is to be refunded."""
    if invoice is None or invoice.get("status") == "balanced" or reading.extension(invoice, "refund-status"):
        return []
    if invoice.get("status") in _PAYABLE:
        return [_put(payments.balanced(invoice, attempt), invoice)]
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
    resource: Resource = values.decode(answer.json or b"")
    return resource


async def _stored(ask: Ask, *entries: Resource) -> bool:
    """Store the entries together; return False where one of them was changed by another meanwhile."""
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}
    try:
        await ask(Request("POST", "", resource=bundle))
    except (PreconditionFailed, Conflict):
        return False
    return True
