"""A gateway for development: no money moves, and the card's token decides what happens."""

from __future__ import annotations

import hashlib
from datetime import datetime

from fhir_server.errors import Conflict
from fhir_server.hospital.gateways.card import Charge, GatewayUnavailable, Refund
from mappings.shared.money import Money

SUCCEEDS = "tok_visa"
DECLINES = "tok_chargeDeclined"
TIMES_OUT = "tok_timeout"


class SandboxGateway:
    """Knows three cards: one that pays, one that is declined, and one that makes the gateway unreachable.

    Its books are in memory, so a restart empties them.
    """

    def __init__(self) -> None:
        self._charges: dict[str, tuple[Money, Charge]] = {}
        self._refunds: dict[str, Refund] = {}

    async def charge(
        self, amount: Money, *, card_token: str, idempotency_key: str, description: str | None = None
    ) -> Charge:
        """Charge the card; the second time with a key, tell of the first."""
        amount.smallest_units()  # as a real gateway would refuse it
        earlier = self._charges.get(idempotency_key)
        if earlier is not None:
            if earlier[0] != amount:
                raise Conflict("The idempotency key was used for another amount.")
            return earlier[1]
        if card_token == TIMES_OUT:
            raise GatewayUnavailable("The payment gateway cannot be reached; nothing was charged.", nothing_done=True)
        charge = _outcome(_id("ch", idempotency_key), card_token)
        self._charges[idempotency_key] = (amount, charge)
        return charge

    async def refund(self, charge_id: str, amount: Money, *, idempotency_key: str) -> Refund:
        """Give the money back; charges of before a restart are taken on trust."""
        amount.smallest_units()
        refund = Refund(_id("re", idempotency_key), "completed")
        return self._refunds.setdefault(idempotency_key, refund)

    async def find(self, idempotency_key: str, *, since: datetime) -> Charge | None:
        """Return the charge of that key."""
        earlier = self._charges.get(idempotency_key)
        return earlier and earlier[1]


def _outcome(charge_id: str, card_token: str) -> Charge:
    if card_token == SUCCEEDS:
        return Charge(charge_id, "completed")
    return Charge(charge_id, "failed", "card_declined" if card_token == DECLINES else "invalid_token")


def _id(kind: str, idempotency_key: str) -> str:
    return f"{kind}_{hashlib.sha256(idempotency_key.encode()).hexdigest()[:24]}"
