"""The Stripe gateway, by Stripe's own library. https://docs.stripe.com/api/payment_intents

Importing this module loads that library, which is large; only a server that uses Stripe should.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import stripe
import structlog

from fhir_server.errors import BadRequest
from fhir_server.hospital.gateways.card import Charge, GatewayUnavailable, Refund, Status
from mappings.shared.money import Money

SECONDS_TO_ANSWER = 20.0
RETRIES = 2
_CLOCKS_DIFFER = timedelta(minutes=10)
_KEYS_LAST = timedelta(hours=24)
"""How long Stripe remembers a key: a use that it still knows is not older."""

_CHARGES: dict[str, Status] = {
    "succeeded": "completed",
    "processing": "pending",
    "requires_payment_method": "failed",
    "requires_action": "failed",
    "requires_confirmation": "failed",
    "canceled": "failed",
}
_TOLD_OF = frozenset({"payment_intent.succeeded", "payment_intent.payment_failed"})
_REFUNDS: dict[str | None, Status] = {"succeeded": "completed", "pending": "pending", "requires_action": "pending"}

log = structlog.get_logger(__name__)


class StripeGateway:
    """Charges by PaymentIntents that are confirmed as they are made.

    Our key stands in the intent's metadata too, so that a charge can be found whose answer was lost.
    """

    def __init__(self, secret_key: str, api: str | None = None) -> None:
        self._client = stripe.StripeClient(
            secret_key,
            base_addresses={"api": api} if api else {},
            max_network_retries=RETRIES,
            http_client=stripe.HTTPXClient(timeout=SECONDS_TO_ANSWER),
        )

    async def charge(
        self, amount: Money, *, card_token: str, idempotency_key: str, description: str | None = None
    ) -> Charge:
        """Charge the card, a token of Stripe.js (`tok_...`) or a payment method (`pm_...`)."""
        intent = _intent(amount, card_token, idempotency_key, description)
        try:
            made = await self._client.v1.payment_intents.create_async(intent, {"idempotency_key": idempotency_key})
        except stripe.CardError as error:
            return _declined(error)
        except stripe.IdempotencyError as error:
            return await self._made_before(idempotency_key, error)
        except stripe.InvalidRequestError as error:
            return Charge("", "failed", error.code or "invalid_request")
        except stripe.StripeError as error:
            raise _unavailable(error) from error
        return _charge(made.to_dict())

    async def refund(self, charge_id: str, amount: Money, *, idempotency_key: str) -> Refund:
        """Give back that much of a succeeded intent; one that Stripe refuses to refund is a failed Refund."""
        try:
            made = await self._client.v1.refunds.create_async(
                {"payment_intent": charge_id, "amount": amount.smallest_units()}, {"idempotency_key": idempotency_key}
            )
        except stripe.InvalidRequestError as error:
            if error.code == "charge_already_refunded":
                return Refund(charge_id, "completed")
            return Refund("", "failed", error.code or "invalid_request")
        except stripe.StripeError as error:
            raise _unavailable(error) from error
        return Refund(made.id, _REFUNDS.get(made.status, "failed"), made.failure_reason)

    async def find(self, idempotency_key: str, *, since: datetime) -> Charge | None:
        """Return the charge of that key, from the list of intents and not from Stripe's search, which lags behind."""
        begin = int((since - _CLOCKS_DIFFER).timestamp())
        try:
            intents = await self._client.v1.payment_intents.list_async({"created": {"gte": begin}, "limit": 100})
            async for made in intents.auto_paging_iter():
                intent = made.to_dict()
                if _key(intent) == idempotency_key:
                    return _charge(intent)
        except stripe.StripeError as error:
            raise _unavailable(error) from error
        return None

    async def _made_before(self, idempotency_key: str, error: stripe.StripeError) -> Charge:
        """Return what became of the key's first use, which was with another card or is still under way."""
        earlier = await self.find(idempotency_key, since=datetime.now(UTC) - _KEYS_LAST)
        if earlier is None:  # its first use is still under way
            raise GatewayUnavailable("The payment gateway is still busy with this payment.") from error
        return earlier


def event_of(payload: bytes, signature: str | None, secret: str) -> tuple[str, Charge] | None:
    """Return the key and the charge that a webhook tells of, or None where it tells of something else.

    Raises BadRequest unless Stripe has signed it, within the last minutes. https://docs.stripe.com/webhooks#verify-manually
    """
    try:
        stripe.WebhookSignature.verify_header(payload, signature, secret, tolerance=stripe.Webhook.DEFAULT_TOLERANCE)
        event = json.loads(payload)
    except (ValueError, stripe.SignatureVerificationError) as error:
        raise BadRequest("The webhook is not signed by Stripe.", code="security") from error
    if event["type"] not in _TOLD_OF:
        return None
    intent = event["data"]["object"]
    key = _key(intent)
    return (key, _charge(intent)) if key else None


def _key(intent: Mapping[str, Any]) -> str | None:
    key: str | None = (intent.get("metadata") or {}).get("attempt")
    return key


def _intent(amount: Money, card_token: str, key: str, description: str | None) -> Any:
    by_card: dict[str, Any] = {"payment_method": card_token}
    if card_token.startswith("tok_"):
        by_card = {"payment_method_data": {"type": "card", "card": {"token": card_token}}}
    return {
        "amount": amount.smallest_units(),
        "currency": (amount.currency or "").lower(),
        "confirm": True,
        # The card's holder is not here to answer the bank's questions.
        "error_on_requires_action": True,
        "payment_method_types": ["card"],
        "metadata": {"attempt": key},
        **by_card,
        **({"description": description} if description else {}),
    }


def _charge(intent: Mapping[str, Any]) -> Charge:
    failure = intent.get("last_payment_error") or {}
    status = _CHARGES.get(intent["status"], "pending")
    reason = failure.get("decline_code") or failure.get("code") if status == "failed" else None
    return Charge(intent["id"], status, reason)


def _declined(error: stripe.CardError) -> Charge:
    body: Any = error.json_body
    stated = (body or {}).get("error") or {}
    intent = stated.get("payment_intent") or {}
    return Charge(intent.get("id", ""), "failed", stated.get("decline_code") or error.code or "declined")


def _unavailable(error: stripe.StripeError) -> GatewayUnavailable:
    log.error("stripe.failed", kind=type(error).__name__, status=error.http_status, code=error.code)
    # What Stripe has refused with a status of its own (a wrong key, too many requests) it has not done.
    refused = error.http_status in (401, 403, 429)
    return GatewayUnavailable("The payment gateway cannot be reached; it is safe to try again.", nothing_done=refused)
