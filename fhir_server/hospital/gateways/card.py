"""What a payment gateway does for the server: charge a card, give money back, and tell of a charge made before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from fhir_server.errors import Unavailable
from mappings.shared.money import Money

Status = Literal["completed", "failed", "pending"]


class GatewayUnavailable(Unavailable):
    """The gateway cannot be reached, or does not say what it did; asking again with the same key is safe.

    `nothing_done` where it is certain that it did nothing, nor will.
    """

    def __init__(self, diagnostics: str, *, nothing_done: bool = False) -> None:
        super().__init__(diagnostics)
        self.nothing_done = nothing_done


@dataclass(frozen=True, slots=True)
class Charge:
    """What became of a charge: `reason` says why it failed, in the gateway's code ("card_declined")."""

    id: str
    status: Status
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """What became of a refund."""

    id: str
    status: Status
    reason: str | None = None


class Gateway(Protocol):
    """Charges cards, by a token that stands for the card: card numbers never reach this server.

    The same `idempotency_key` means the same charge or refund, however often it is asked for. All raise
    GatewayUnavailable; an amount finer than the currency's smallest unit is a ValueError.
    """

    async def charge(
        self, amount: Money, *, card_token: str, idempotency_key: str, description: str | None = None
    ) -> Charge:
        """Charge the card; a declined card is a failed Charge, not an error."""
        ...

    async def refund(self, charge_id: str, amount: Money, *, idempotency_key: str) -> Refund:
        """Give back that much of a completed charge."""
        ...

    async def find(self, idempotency_key: str, *, since: datetime) -> Charge | None:
        """Return the charge of that key, first asked for at that time; None where it never came about."""
        ...
