"""The Stripe adapter against Stripe's API on the loopback."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import stripe

from fhir_server.errors import BadRequest
from fhir_server.hospital.billing.card.stripe import StripeGateway, event_of
from fhir_server.hospital.gateways.card import Charge, GatewayUnavailable
from mappings.shared.money import Money
from tests.payments.fake_stripe import FakeStripe

PRICE = Money(amount=Decimal("120.50"), currency="USD")
SECRET = "whsec_hospital"


def signed(event: Any, *, secret: str = SECRET, at: float | None = None) -> tuple[bytes, str]:
    """Return a webhook's body and its signature."""
    body = json.dumps(event)
    moment = int(time.time() if at is None else at)
    return body.encode(), stripe.WebhookSignature.generate_signature_header(body, secret, moment)


def intent(status: str = "succeeded", kind: str = "payment_intent.succeeded", **more: Any) -> dict[str, Any]:
    """Return an event about a payment."""
    about = {"object": "payment_intent", "id": "pi_1", "status": status, "metadata": {"attempt": "inv/1"}, **more}
    return {"id": "evt_1", "object": "event", "type": kind, "data": {"object": about}}


@pytest.mark.parametrize("token", ["tok_visa", "pm_card_visa"])
async def test_a_card_is_charged_in_the_smallest_units(
    stripe_gateway: StripeGateway, stripe_api: FakeStripe, token: str
) -> None:
    """A completed charge has Stripe's id; the amount arrives in cents."""
    charge = await stripe_gateway.charge(PRICE, card_token=token, idempotency_key="inv/1", description="A visit")
    assert charge == Charge("pi_1", "completed")
    assert (stripe_api.intents[0]["amount"], stripe_api.intents[0]["currency"]) == (12050, "usd")


async def test_the_same_key_charges_once(stripe_gateway: StripeGateway, stripe_api: FakeStripe) -> None:
    """Asked twice under a key, even with another card, Stripe has charged once, and that charge is the answer."""
    first = await stripe_gateway.charge(PRICE, card_token="tok_visa", idempotency_key="inv/1")
    again = await stripe_gateway.charge(PRICE, card_token="tok_visa", idempotency_key="inv/1")
    other = await stripe_gateway.charge(PRICE, card_token="pm_card_visa", idempotency_key="inv/1")
    assert first == again == other
    assert stripe_api.charged == 12050


async def test_a_declined_card_is_a_failed_charge(stripe_gateway: StripeGateway) -> None:
    """A decline is told with its reason."""
    charge = await stripe_gateway.charge(PRICE, card_token="tok_chargeDeclined", idempotency_key="inv/1")
    assert charge == Charge("pi_1", "failed", "insufficient_funds")


async def test_an_unknown_card_is_a_failed_charge(stripe_gateway: StripeGateway) -> None:
    """A token that Stripe does not know charges nothing."""
    charge = await stripe_gateway.charge(PRICE, card_token="tok_none", idempotency_key="inv/1")
    assert (charge.status, charge.reason) == ("failed", "resource_missing")


async def test_a_charge_whose_answer_was_lost_can_be_found(
    stripe_gateway: StripeGateway, stripe_api: FakeStripe
) -> None:
    """No answer is GatewayUnavailable, nothing certain; later the charge is found by its key."""
    since = datetime.now(UTC)
    stripe_api.answers_lost = True
    with pytest.raises(GatewayUnavailable) as failure:
        await stripe_gateway.charge(PRICE, card_token="tok_visa", idempotency_key="inv/1")
    assert not failure.value.nothing_done
    assert await stripe_gateway.find("inv/1", since=since) == Charge("pi_1", "completed")
    assert await stripe_gateway.find("inv/2", since=since) is None
    assert await stripe_gateway.find("inv/1", since=since + timedelta(days=1)) is None


async def test_a_wrong_key_charges_nothing_for_certain(stripe_api: FakeStripe) -> None:
    """Where Stripe does not let us in, it has done nothing."""
    with pytest.raises(GatewayUnavailable) as failure:
        await StripeGateway("sk_wrong", stripe_api.url).charge(PRICE, card_token="tok_visa", idempotency_key="inv/1")
    assert failure.value.nothing_done


async def test_without_stripe_there_is_no_charge() -> None:
    """An address where nobody answers is GatewayUnavailable."""
    with pytest.raises(GatewayUnavailable):
        await StripeGateway("sk", "http://127.0.0.1:9").charge(PRICE, card_token="tok_visa", idempotency_key="inv/1")


async def test_a_refund_is_made_once(stripe_gateway: StripeGateway, stripe_api: FakeStripe) -> None:
    """The same refund asked for twice gives the money back once."""
    for _ in range(2):
        refund = await stripe_gateway.refund("pi_1", PRICE, idempotency_key="refund-inv")
        assert (refund.id, refund.status) == ("re_1", "completed")
    assert [item["amount"] for item in stripe_api.refunds] == [12050]


def test_a_signed_webhook_tells_the_charge() -> None:
    """The key and the outcome are read from an event that Stripe has signed."""
    assert event_of(*signed(intent()), SECRET) == ("inv/1", Charge("pi_1", "completed"))
    error = {"decline_code": "expired_card"}
    failed = intent("requires_payment_method", "payment_intent.payment_failed", last_payment_error=error)
    assert event_of(*signed(failed), SECRET) == ("inv/1", Charge("pi_1", "failed", "expired_card"))


@pytest.mark.parametrize("event", [intent(kind="payment_intent.created"), intent(metadata={}), intent(metadata=None)])
def test_other_webhooks_tell_nothing(event: Any) -> None:
    """Events of other kinds, and payments that are not ours, are taken and left alone."""
    assert event_of(*signed(event), SECRET) is None


def test_a_webhook_that_stripe_has_not_signed_is_refused() -> None:
    """No signature, another's, an old one, and another body are all refused."""
    body, signature = signed(intent())
    for values in (
        (body, None),
        (body, "nonsense"),
        signed(intent(), secret="whsec_other"),
        signed(intent(), at=time.time() - 3600),
        (body.replace(b"inv/1", b"inv/2"), signature),
        (b"\xff", signature),
    ):
        with pytest.raises(BadRequest):
            event_of(*values, SECRET)
