"""Money moves once: whatever is sent twice, at the same time or by two ways, no more goes back than was taken."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from fhir_server.hospital.billing.card.sandbox import SandboxGateway
from fhir_server.hospital.gateways.card import Charge, Refund
from mappings.shared.money import Money
from tests.facade.billing.test_payment import PAY, booked, paying
from tests.facade_server import Hospital

AT_ONCE = 8


class Books:
    """What a gateway was told to take and to give back, by charge."""

    def __init__(self) -> None:
        self.taken: dict[str, Money] = {}
        self.given_back: dict[str, tuple[str, Money]] = {}

    def balance(self) -> Counter[str]:
        """Return what is left of each charge, in units of the currency."""
        left = Counter({charge: int(amount.amount) for charge, amount in self.taken.items()})
        for charge, amount in self.given_back.values():
            left[charge] -= int(amount.amount)
        return left


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> Books:
    """Return the books of the gateway."""
    kept = Books()
    charge, refund = SandboxGateway.charge, SandboxGateway.refund

    async def charging(self: SandboxGateway, amount: Money, **given: Any) -> Charge:
        await asyncio.sleep(0)  # a gateway is asked over a network, and others go on meanwhile
        made = await charge(self, amount, **given)
        if made.status == "completed":
            kept.taken[made.id] = amount
        return made

    async def refunding(self: SandboxGateway, charge_id: str, amount: Money, *, idempotency_key: str) -> Refund:
        await asyncio.sleep(0)
        kept.given_back[idempotency_key] = (charge_id, amount)
        return await refund(self, charge_id, amount, idempotency_key=idempotency_key)

    monkeypatch.setattr(SandboxGateway, "charge", charging)
    monkeypatch.setattr(SandboxGateway, "refund", refunding)
    return kept


async def test_a_visit_cancelled_many_times_is_refunded_once(hospital: Hospital, books: Books) -> None:
    """At once, again, and after staff has set the invoice back: one refund of what was paid."""
    mara, appointment = await booked(hospital)
    await mara.ask("POST", PAY, paying(appointment), status=201)
    path = f"/booking/appointments/{appointment['id']}"
    answers = await asyncio.gather(*(mara.send("DELETE", path) for _ in range(AT_ONCE)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    await mara.send("DELETE", path)
    [invoice] = (await hospital.fhir("GET", "Invoice"))["entry"]
    await hospital.put(invoice["resource"] | {"status": "balanced"})
    await mara.send("DELETE", path)
    assert len(books.given_back) == 1
    assert set(books.balance().values()) == {0}


async def test_paying_beside_cancelling_leaves_no_money(hospital: Hospital, books: Books) -> None:
    """Whichever comes first: of a visit that is cancelled nothing is kept, and nothing is given back twice."""
    mara, appointment = await booked(hospital)
    path = f"/booking/appointments/{appointment['id']}"
    paid = [
        mara.send("POST", PAY, paying(appointment), headers={"Idempotency-Key": f"key-{at}"}) for at in range(AT_ONCE)
    ]
    answers = await asyncio.gather(*paid, *(mara.send("DELETE", path) for _ in range(AT_ONCE)))
    assert all(answer.status_code < 500 for answer in answers)
    assert (await mara.ask("DELETE", path))["status"] == "canceled"
    assert len(books.taken) <= 1
    assert set(books.balance().values()) <= {0}


async def test_nobody_is_refunded_for_the_visit_of_another(hospital: Hospital, books: Books) -> None:
    """Another patient can neither cancel nor pay it, and its payment's key is nothing to theirs."""
    mara, appointment = await booked(hospital)
    body = paying(appointment)
    await mara.ask("POST", PAY, body, status=201, headers={"Idempotency-Key": "once"})
    other = await hospital.sign_up("berta")
    assert (await other.send("DELETE", f"/booking/appointments/{appointment['id']}")).status_code == 404
    for key in ("once", "another"):
        answer = await other.send("POST", PAY, body, headers={"Idempotency-Key": key})
        missing = await other.send(
            "POST", PAY, body | {"appointment_id": "nowhere"}, headers={"Idempotency-Key": f"{key}-2"}
        )
        assert (answer.status_code, answer.json()["errors"]) == (missing.status_code, missing.json()["errors"])
    assert (len(books.taken), books.given_back) == (1, {})
