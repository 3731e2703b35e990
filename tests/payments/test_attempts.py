"""Attempts to pay: once, whoever asks, whatever breaks, and brought to an end by the job."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.engine.context import Context, Request, Services, now
from fhir_server.engine.engine import asking, handle
from fhir_server.errors import NotFound
from fhir_server.hospital.billing.card import attempts
from fhir_server.hospital.billing.card.attempts import (
    AlreadyPaid,
    AttemptOpen,
    Card,
    NotPayable,
    begin,
    charge_card,
    is_open,
    key_of,
    record_outcome,
)
from fhir_server.hospital.billing.card.sandbox import SandboxGateway
from fhir_server.hospital.billing.card.stripe import StripeGateway
from fhir_server.hospital.billing.job import CardPayments
from fhir_server.hospital.gateways.card import Charge, Gateway, GatewayUnavailable
from fhir_server.r4 import values
from mappings.shared.money import Money
from tests.payments.fake_stripe import FakeStripe

PRICE = Money(amount=Decimal("80.00"), currency="EUR")
LATER = timedelta(minutes=1)
INVOICE = {
    "resourceType": "Invoice",
    "id": "inv",
    "status": "issued",
    "subject": {"reference": "Patient/ana"},
    "totalGross": {"value": Decimal("80.00"), "currency": "EUR"},
}


class Crash(Exception):
    """The worker dies."""


@dataclass
class Watched(SandboxGateway):
    """A sandbox that counts, and may crash the worker after it has charged."""

    crash: bool = False
    charges: list[Charge] = field(default_factory=list)
    refunds: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    async def charge(self, *arguments: Any, **more: Any) -> Charge:
        charge = await super().charge(*arguments, **more)
        if charge.status == "completed" and charge not in self.charges:
            self.charges.append(charge)
        await asyncio.sleep(0)
        if self.crash:
            raise Crash
        return charge

    async def refund(self, charge_id: str, *arguments: Any, **more: Any) -> Any:
        self.refunds.append(charge_id)
        return await super().refund(charge_id, *arguments, **more)


@dataclass
class Desk:
    """The desk at which Ana's invoice is paid."""

    context: Context

    async def put(self, resource: dict[str, Any]) -> None:
        await handle(self.context, Request("PUT", f"{resource['resourceType']}/{resource['id']}", resource=resource))

    async def read(self, path: str) -> dict[str, Any]:
        answer = await handle(self.context, Request("GET", path))
        result: dict[str, Any] = values.decode(answer.json or b"")
        return result

    async def pay(self, gateway: Gateway, card: str = "tok_visa", request_id: str | None = None) -> Charge:
        paying = Card(card, request_id or str(uuid.uuid4()))
        return await charge_card(asking(self.context), gateway, "inv", PRICE, paying)

    async def begin(self, holder: str = "ana") -> str:
        return await begin(asking(self.context), "inv", PRICE, holder)

    async def stands(self) -> tuple[str, str]:
        """Return the invoice's status and the outcome of the payment."""
        attempt = await self.read("PaymentReconciliation/inv")
        return (await self.read("Invoice/inv"))["status"], attempt["outcome"]


@pytest.fixture
async def desk(services: Services) -> Desk:
    """The desk, with the invoice."""
    made = Desk(Context(services, "http://server.test/fhir"))
    await made.put(INVOICE)
    return made


async def test_a_card_that_pays_settles_the_invoice(desk: Desk) -> None:
    """After a completed charge the invoice is balanced, and the payment names the gateway's transaction."""
    charge = await desk.pay(SandboxGateway())
    assert await desk.stands() == ("balanced", "complete")
    attempt = await desk.read("PaymentReconciliation/inv")
    assert attempt["paymentIdentifier"]["value"] == charge.id
    assert attempt["paymentAmount"] == INVOICE["totalGross"]


async def test_who_asks_at_once_is_charged_once(desk: Desk) -> None:
    """Of twenty requests at once one charges its card; the others are told that it is paid."""
    gateway = Watched()
    outcomes = await asyncio.gather(*(desk.pay(gateway) for _ in range(20)), return_exceptions=True)
    assert len(gateway.charges) == 1
    assert [item for item in outcomes if not isinstance(item, AlreadyPaid)] == gateway.charges
    assert await desk.stands() == ("balanced", "complete")


async def test_each_card_has_its_own_outcome(desk: Desk) -> None:
    """Whoever pays beside others is told of the own card: a declined one is never told that it paid."""
    gateway = Watched()
    cards = ["tok_chargeDeclined", "tok_visa"] * 6
    outcomes = await asyncio.gather(*(desk.pay(gateway, card) for card in cards), return_exceptions=True)
    for card, outcome in zip(cards, outcomes, strict=True):
        if isinstance(outcome, Charge):
            assert outcome.status == ("completed" if card == "tok_visa" else "failed")
        else:
            assert isinstance(outcome, AlreadyPaid)
    assert sum(isinstance(item, Charge) and item.status == "completed" for item in outcomes) == 1
    assert len(gateway.charges) == 1


async def test_anothers_attempt_is_not_taken_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another request's card may yet be charged no second one is, and the attempt stays as it is."""
    monkeypatch.setattr(attempts, "_OTHERS_MAY_TAKE", 0.05)
    key = await desk.begin("another")
    gateway = Watched()
    with pytest.raises(AttemptOpen):
        await desk.pay(gateway)
    attempt = await desk.read("PaymentReconciliation/inv")
    assert (key_of(attempt), gateway.charges) == (key, [])


async def test_a_declined_card_can_be_followed_by_another(desk: Desk) -> None:
    """A declined attempt is written down; the next has a key of its own and may pay."""
    gateway = Watched()
    assert (await desk.pay(gateway, "tok_chargeDeclined")).status == "failed"
    assert await desk.stands() == ("issued", "error")
    first = key_of(await desk.read("PaymentReconciliation/inv"))
    assert (await desk.pay(gateway)).status == "completed"
    assert key_of(await desk.read("PaymentReconciliation/inv")) != first
    with pytest.raises(AlreadyPaid):
        await desk.pay(gateway)


async def test_a_gateway_that_cannot_be_reached_charges_nothing(desk: Desk) -> None:
    """The caller is told, the attempt is closed, and the next may pay."""
    gateway = Watched()
    with pytest.raises(GatewayUnavailable):
        await desk.pay(gateway, "tok_timeout")
    assert await desk.stands() == ("issued", "error")
    assert (await desk.pay(gateway)).status == "completed"


@pytest.mark.parametrize("same", [True, False], ids=["the same request", "another request"])
async def test_after_a_crash_the_next_try_finds_the_charge(desk: Desk, *, same: bool) -> None:
    """Where the worker dies between charge and record, paying again charges nothing again."""
    gateway = Watched(crash=True)
    with pytest.raises(Crash):
        await desk.pay(gateway, request_id="once")
    assert await desk.stands() == ("issued", "queued")
    gateway.crash = False
    if same:
        assert await desk.pay(gateway, request_id="once") == gateway.charges[0]
    else:
        with pytest.raises(AlreadyPaid):
            await desk.pay(gateway)
    assert len(gateway.charges) == 1
    assert await desk.stands() == ("balanced", "complete")


async def test_after_a_crash_the_job_finds_the_charge(desk: Desk) -> None:
    """Where nobody tries again, the job learns from the gateway that the card was charged."""
    gateway = Watched(crash=True)
    with pytest.raises(Crash):
        await desk.pay(gateway)
    assert await CardPayments(desk.context, gateway).close_abandoned(now() + LATER) == 1
    assert await desk.stands() == ("balanced", "complete")


async def test_the_job_closes_what_came_to_nothing(desk: Desk) -> None:
    """An attempt that never reached the gateway fails, and the next has another key."""
    key = await desk.begin()
    job = CardPayments(desk.context, SandboxGateway())
    assert await job.close_abandoned(now() - LATER) == 0, "somebody may be at it"
    assert await job.close_abandoned(now() + LATER) == 1
    assert await desk.stands() == ("issued", "error")
    assert await desk.begin() != key


async def test_an_attempt_that_is_taken_up_again_is_not_closed(desk: Desk) -> None:
    """The job, and who tries again, cannot both go on: whoever is first makes the other see."""
    key = await desk.begin()

    class Slow(SandboxGateway):
        async def find(self, idempotency_key: str, **_: Any) -> Charge | None:
            assert await desk.begin() == key
            return None

    await CardPayments(desk.context, Slow()).close_abandoned(now() + LATER)
    assert is_open(await desk.read("PaymentReconciliation/inv"))


async def test_what_is_settled_stays(desk: Desk) -> None:
    """Telling the outcome again makes no new version, and a late failure does not undo a payment."""
    charge = await desk.pay(SandboxGateway())
    before = await desk.read("PaymentReconciliation/inv")
    key = key_of(before) or ""
    await record_outcome(asking(desk.context), key, charge)
    await record_outcome(asking(desk.context), key, Charge(charge.id, "failed", "late"))
    assert await desk.read("PaymentReconciliation/inv") == before


async def test_an_invoice_cancelled_while_its_card_was_charged_is_refunded(desk: Desk) -> None:
    """What was taken for a cancelled invoice goes back, once."""
    gateway = Watched()
    key = await desk.begin()
    await desk.put({**INVOICE, "status": "cancelled"})
    charge = await gateway.charge(PRICE, card_token="tok_visa", idempotency_key=key)
    await record_outcome(asking(desk.context), key, charge)
    job = CardPayments(desk.context, gateway)
    assert await job.refund_due(now()) == 1
    assert await job.refund_due(now()) == 0
    assert gateway.refunds == [charge.id]
    marks = (await desk.read("Invoice/inv"))["extension"]
    assert [mark["valueCode"] for mark in marks if mark["url"].endswith("/refund-status")] == ["completed"]


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
async def test_what_is_not_owed_is_not_paid(desk: Desk, status: str) -> None:
    """No card is charged for an invoice that is cancelled."""
    await desk.put({**INVOICE, "status": status})
    gateway = Watched()
    with pytest.raises(NotPayable):
        await desk.pay(gateway)
    assert gateway.charges == []


async def test_without_an_invoice_nothing_is_paid(desk: Desk) -> None:
    """An unknown invoice is NotFound."""
    with pytest.raises(NotFound):
        await charge_card(asking(desk.context), SandboxGateway(), "none", PRICE, Card("tok_visa", "once"))


@pytest.mark.parametrize("same", [True, False], ids=["the same request", "another card"])
async def test_a_lost_answer_of_stripe_charges_once(
    desk: Desk, stripe_api: FakeStripe, stripe_gateway: StripeGateway, *, same: bool
) -> None:
    """Stripe charges, its answer is lost, and it is tried again: one charge, told as paid by the card that paid."""
    stripe_api.answers_lost = True
    with pytest.raises(GatewayUnavailable):
        await desk.pay(stripe_gateway, request_id="once")
    assert is_open(await desk.read("PaymentReconciliation/inv"))
    stripe_api.answers_lost = False
    if same:
        assert (await desk.pay(stripe_gateway, request_id="once")).status == "completed"
    else:
        with pytest.raises(AlreadyPaid):
            await desk.pay(stripe_gateway, "pm_card_visa")
    assert stripe_api.charged == 8000
    assert await desk.stands() == ("balanced", "complete")


async def test_a_released_attempt_is_taken_up_under_its_key(desk: Desk) -> None:
    """Where the gateway did not answer and knows of no charge, the next request goes on under the same key."""

    class Mute(SandboxGateway):
        async def charge(self, *_: Any, **__: Any) -> Charge:
            raise GatewayUnavailable("No answer.")

    with pytest.raises(GatewayUnavailable):
        await desk.pay(Mute())
    key = key_of(await desk.read("PaymentReconciliation/inv"))
    gateway = Watched()
    assert (await desk.pay(gateway)).status == "completed"
    assert key_of(await desk.read("PaymentReconciliation/inv")) == key
