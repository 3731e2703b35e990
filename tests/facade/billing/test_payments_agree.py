"""Which payment counts and which is refunded is one rule: the app, the export and the refund job agree."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_server.engine.context import Context, now
from fhir_server.hospital.billing.card.sandbox import SandboxGateway
from fhir_server.hospital.billing.job import CardPayments
from fhir_server.hospital.tables.companions import Reading
from fhir_server.hospital.tables.resources import from_resources
from fhir_server.hospital.tables.tables import BY_NAME
from mappings.billing import payments
from tests.facade.clinic import booking_of, open_clinics
from tests.facade_server import ORIGIN, AppUser, Hospital


def attempt(invoice_id: str, name: str, outcome: str, method: str, day: int, **more: Any) -> dict[str, Any]:
    """Return an attempt to pay the invoice on a day of March."""
    row = payments.Payment(
        id=invoice_id, amount=Decimal(90), currency="USD", payment_method=method, transaction_id=f"t-{name}"
    )
    made = payments.to_fhir(row, user_id="x", at=now(), reconciliation_id=name).reconciliation
    assert made is not None
    return {**made, "outcome": outcome, "created": f"2026-03-{day:02d}T10:00:00Z", **more}


CASES = {
    "a success before a failure": (
        [("one", "complete", "card", 1, {}), ("two", "error", "card", 2, {})], "t-one", "t-one"
    ),
    "an entry in error": (
        [("one", "complete", "card", 1, {}), ("two", "complete", "card", 2, {"status": "entered-in-error"})],
        "t-one", "t-one",
    ),
    "cash after a card": (
        [("one", "complete", "card", 1, {}), ("two", "complete", "cash", 2, {})], "t-two", "t-one"
    ),
    "a card that failed": ([("one", "error", "card", 1, {})], "t-one", None),
    "a card that is charged": ([("one", "queued", "card", 1, {})], "t-one", None),
}  # fmt: skip


class Watched(SandboxGateway):
    """A sandbox that gives back whatever it is asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.refunds: list[str] = []

    async def refund(self, charge_id: str, *arguments: Any, **more: Any) -> Any:
        self.refunds.append(charge_id)
        return await super().refund(charge_id, *arguments, **more)


async def shown(user: AppUser) -> str | None:
    item = (await user.ask("GET", "/history/appointments"))["items"][0]
    transaction: str | None = item["payment"]["transaction_id"]
    return transaction


async def exported(hospital: Hospital) -> list[Any]:
    reading = Reading(hospital.services)
    table = BY_NAME["payments"]
    rows = [
        from_resources(table, whole.resources, whole.around)
        async for batch in reading.batches(table)
        for whole in batch
    ]
    return [getattr(row, "transaction_id") for row in rows]  # noqa: B009 - of any table's row


@pytest.mark.parametrize("case", CASES)
async def test_the_app_the_export_and_the_job_agree(hospital: Hospital, case: str) -> None:
    """The payment that the app shows is the one that is exported; what is refunded is what a card has paid."""
    attempts, counts, refunded = CASES[case]
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    await mara.ask("POST", "/booking/appointments", booking_of(), status=201)
    invoice = (await hospital.fhir("GET", "Invoice"))["entry"][0]["resource"]
    await hospital.put(
        *(attempt(invoice["id"], *facts, **more) for *facts, more in attempts)  # type: ignore[misc]
    )
    assert await shown(mara) == counts
    assert await exported(hospital) == [counts]
    await hospital.put(payments.with_refund_status(invoice | {"status": "cancelled"}, "pending"))
    gateway = Watched()
    await CardPayments(Context(hospital.services, f"{ORIGIN}/fhir"), gateway).refund_due(now())
    assert gateway.refunds == ([refunded] if refunded else [])
