"""The job that brings payments by card to an end: attempts whose outcome nobody waited for, and refunds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from fhir_server.engine.context import Context, Services, instant, now
from fhir_server.engine.engine import asking
from fhir_server.engine.search.every_match import every_match
from fhir_server.errors import FhirError
from fhir_server.hospital.api.fhir import in_process
from fhir_server.hospital.billing.card import attempts
from fhir_server.hospital.billing.refunds import give_back
from fhir_server.hospital.gateways.card import Gateway, GatewayUnavailable
from fhir_server.jobs.runner import Job
from fhir_server.store.work.jobs import Lease
from fhir_server.work.items import set_aside
from mappings.shared import reading

EVERY_SECONDS = 60.0
ABANDONED = timedelta(minutes=5)
"""Longer than a gateway is given to answer: nobody waits for an attempt that is open since."""
_LOOK_BACK = timedelta(days=30)

Resource = dict[str, Any]
log = structlog.get_logger(__name__)


def card_payments(services: Services, base_url: str, gateway: Gateway) -> Job:
    """Return the job."""
    return Job("card-payments", CardPayments(Context(services, base_url), gateway).run, EVERY_SECONDS)


@dataclass(frozen=True, slots=True)
class CardPayments:
    """What is to be done about payments by card."""

    context: Context
    gateway: Gateway

    async def run(self, lease: Lease) -> None:
        """Close abandoned attempts and give back what is due."""
        at = now()
        closed = await self.close_abandoned(at - ABANDONED)
        refunded = await self.refund_due(at)
        await lease.save({"at": at, "closed": closed, "refunded": refunded})

    async def close_abandoned(self, before: datetime) -> int:
        """Resolve the attempts that were left open before a time, by what the gateway knows of them."""
        times = [("_lastUpdated", f"lt{instant(before)}"), ("_lastUpdated", f"ge{instant(before - _LOOK_BACK)}")]
        closed = 0
        async for attempt in every_match(self.context, "PaymentReconciliation", [("outcome", "queued"), *times]):
            key = attempts.key_of(attempt)
            if key is None:
                continue  # cash: it waits for a person
            with set_aside("payment.failed"):
                try:
                    closed += await self._close(attempt, key)
                except FhirError as error:
                    log.warning("payment.open", kind=type(error).__name__)
        return closed

    async def _close(self, attempt: Resource, key: str) -> bool:
        since = reading.moment(attempt.get("created")) or datetime.now(UTC)
        charge = await self.gateway.find(key, since=since)
        if charge is None:
            await attempts.fail(asking(self.context), attempt)
        elif charge.status != "pending":
            await attempts.record_outcome(asking(self.context), key, charge)
        else:
            return False
        return True

    async def refund_due(self, at: datetime) -> int:
        """Give back what was paid by card for invoices that were cancelled since."""
        cancelled = [("status", "cancelled"), ("_lastUpdated", f"ge{instant(at - _LOOK_BACK)}")]
        refunded, fhir = 0, in_process(self.context.services, self.context.base_url)
        async for invoice in every_match(self.context, "Invoice", cancelled):
            with set_aside("refund.failed"):
                try:
                    refunded += await give_back(fhir, self.gateway, invoice)
                except GatewayUnavailable:
                    log.warning("refund.delayed")
                except FhirError as error:
                    log.warning("refund.not_recorded", kind=type(error).__name__)
        return refunded
