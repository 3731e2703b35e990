"""Endpoints 12 and 13: verifying insurance and paying."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from fhir_server.hospital.billing.card.sandbox import SandboxGateway
from tests.facade.clinic import booking_of, open_clinics, policy_of
from tests.facade_server import AppUser, Hospital

PAY = "/booking/payment"
VERIFY = "/booking/insurance/verify"
POLICY = {"provider": "Solace Mutual", "policy_number": "SOL-1", "member_id": "M-1"}


async def booked(hospital: Hospital, name: str = "mara", **overrides: Any) -> tuple[AppUser, dict[str, Any]]:
    """Return a user with an appointment that costs ninety dollars."""
    await open_clinics(hospital)
    user = await hospital.sign_up(name)
    return user, await user.ask("POST", "/booking/appointments", booking_of(**overrides), status=201)


def paying(appointment: dict[str, Any], **overrides: Any) -> dict[str, Any]:
    """Return the body that pays for an appointment by card."""
    return {
        "appointment_id": appointment["id"],
        "amount": 90,
        "currency": "USD",
        "payment_method": "card",
        "card_token": "tok_visa",
        **overrides,
    }


async def test_paying_by_card(hospital: Hospital) -> None:
    """A card that works pays at once, the Invoice is balanced, and a second payment is refused."""
    mara, appointment = await booked(hospital)
    paid = await mara.ask("POST", PAY, paying(appointment), status=201)
    expected = {
        "appointment_id": appointment["id"],
        "amount": 90.0,
        "currency": "USD",
        "payment_method": "card",
        "status": "completed",
    }
    assert {name: paid[name] for name in expected} == expected
    assert paid["transaction_id"]
    assert (await hospital.fhir("GET", f"Invoice/{paid['id']}"))["status"] == "balanced"
    await mara.refused("already_paid", "POST", PAY, paying(appointment))


async def test_declined_cards(hospital: Hospital) -> None:
    """A declined card is told as such, the failure is kept, and another card can pay."""
    mara, appointment = await booked(hospital)
    await mara.refused("payment_declined", "POST", PAY, paying(appointment, card_token="tok_chargeDeclined"))
    answer = await hospital.fhir("GET", "PaymentReconciliation")
    assert [entry["resource"]["outcome"] for entry in answer["entry"]] == ["error"]
    await mara.ask("POST", PAY, paying(appointment), status=201)


async def test_an_unreachable_gateway(hospital: Hospital) -> None:
    """When the gateway does not answer nothing is charged, and trying again is safe."""
    mara, appointment = await booked(hospital)
    headers = {"Idempotency-Key": "k1"}
    response = await mara.send("POST", PAY, paying(appointment, card_token="tok_timeout"), headers=headers)
    assert (response.status_code, response.json()["code"]) == (503, "gateway_unavailable")
    assert int(response.headers["retry-after"]) > 0
    await mara.refused(
        "gateway_unavailable", "POST", PAY, paying(appointment, card_token="tok_timeout"), headers=headers
    )
    await mara.ask("POST", PAY, paying(appointment), status=201)


async def test_the_same_key_twenty_times(hospital: Hospital) -> None:
    """Twenty times the same key at once pays once, and all get the same answer."""
    mara, appointment = await booked(hospital)
    headers = {"Idempotency-Key": "k1"}
    answers = await asyncio.gather(*(mara.send("POST", PAY, paying(appointment), headers=headers) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert (await hospital.fhir("GET", "PaymentReconciliation"))["total"] == 1


@pytest.mark.parametrize("fee", [True, False], ids=["a fee", "no fee"])
async def test_many_at_once(hospital: Hospital, *, fee: bool) -> None:
    """Of several who pay at once one is charged; the others are told that it is paid, or of their own declined card."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    free = {"doctor_id": "ferrand", "clinic_id": "hillside", "specialty_id": "skin", "slot_id": "ferrand-9"}
    appointment = await mara.ask("POST", "/booking/appointments", booking_of() if fee else free, status=201)
    cards = ["tok_visa", "tok_chargeDeclined"] * 4
    amounts = [90] * 8 if fee else range(10, 90, 10)
    answers = await asyncio.gather(
        *(
            mara.send("POST", PAY, paying(appointment, card_token=card, amount=amount))
            for card, amount in zip(cards, amounts, strict=True)
        )
    )
    codes = [(card, answer.status_code, answer.json().get("code")) for card, answer in zip(cards, answers, strict=True)]
    assert sum(status == 201 for _, status, _ in codes) == 1
    for card, status, code in codes:
        assert (status, code) in {(409, "already_paid"), *(
            [(201, None)] if card == "tok_visa" else [(402, "payment_declined")])}  # fmt: skip
    paid = next(answer.json() for answer in answers if answer.status_code == 201)
    invoice = await hospital.fhir("GET", f"Invoice/{paid['id']}")
    assert (invoice["status"], float(invoice["totalGross"]["value"])) == ("balanced", paid["amount"])


async def test_cash_waits_for_a_card_that_is_being_charged(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who promises cash while a card is charged is told that it is paid, not that another request runs."""
    mara, appointment = await booked(hospital)
    begun, go_on = asyncio.Event(), asyncio.Event()
    charge = SandboxGateway.charge

    async def slowly(*args: Any, **more: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await charge(*args, **more)

    monkeypatch.setattr(SandboxGateway, "charge", slowly)
    card = asyncio.create_task(mara.send("POST", PAY, paying(appointment)))
    await begun.wait()
    cash = asyncio.create_task(mara.send("POST", PAY, paying(appointment, payment_method="cash", card_token=None)))
    done, _ = await asyncio.wait([cash], timeout=0.5)
    go_on.set()
    assert not done
    answers = [await card, await cash]
    assert [(each.status_code, each.json().get("code")) for each in answers] == [(201, None), (409, "already_paid")]


async def test_cash_many_times_at_once(hospital: Hospital) -> None:
    """To promise cash again changes nothing."""
    mara, appointment = await booked(hospital)
    body = paying(appointment, payment_method="cash", card_token=None)
    answers = await asyncio.gather(*(mara.send("POST", PAY, body) for _ in range(8)))
    assert {(answer.status_code, answer.json()["status"]) for answer in answers} == {(201, "pending")}
    attempt = (await hospital.fhir("GET", "PaymentReconciliation"))["entry"][0]["resource"]
    assert attempt["meta"]["versionId"] == "1"


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"amount": 89.99}, "amount_mismatch", "amount"),
        ({"currency": "EUR"}, "amount_mismatch", "amount"),
        ({"amount": 0}, "validation_failed", "amount"),
        ({"amount": -5}, "validation_failed", "amount"),
        ({"amount": 90.001}, "validation_failed", "amount"),
        ({"amount": "x"}, "validation_failed", "amount"),
        ({"currency": "usd"}, "validation_failed", "currency"),
        ({"payment_method": "cheque"}, "validation_failed", "payment_method"),
        ({"card_token": None}, "validation_failed", "card_token"),
        ({"appointment_id": "nothing"}, "validation_failed", "appointment_id"),
    ],
)
async def test_faulty_payments(hospital: Hospital, changes: dict[str, Any], code: str, field: str) -> None:
    """Another amount than is due, and faulty fields, are refused before anything is charged."""
    mara, appointment = await booked(hospital)
    problem = await mara.refused(code, "POST", PAY, paying(appointment) | changes)
    assert [error["field"] for error in problem.get("errors", [])] == [field]
    assert (await hospital.fhir("GET", "PaymentReconciliation"))["total"] == 0


async def test_paying_for_another(hospital: Hospital) -> None:
    """Another user's appointment cannot be paid for, as if it did not exist."""
    _, appointment = await booked(hospital)
    noor = await hospital.sign_up("noor")
    problem = await noor.refused("validation_failed", "POST", PAY, paying(appointment))
    assert problem["errors"][0]["field"] == "appointment_id"


async def test_cash(hospital: Hospital) -> None:
    """Cash is pending until the staff settles it over FHIR."""
    mara, appointment = await booked(hospital)
    body = paying(appointment, payment_method="cash", card_token=None)
    paid = await mara.ask("POST", PAY, body, status=201)
    assert (paid["status"], paid["transaction_id"]) == ("pending", None)
    invoice = await hospital.fhir("GET", f"Invoice/{paid['id']}")
    await hospital.put(invoice | {"status": "balanced"})
    await mara.refused("already_paid", "POST", PAY, paying(appointment))


async def test_without_a_fee(hospital: Hospital) -> None:
    """Where a visit has no fee any positive amount is taken."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    body = {"doctor_id": "ferrand", "clinic_id": "hillside", "specialty_id": "skin", "slot_id": "ferrand-9"}
    appointment = await mara.ask("POST", "/booking/appointments", body, status=201)
    await mara.refused("payment_declined", "POST", PAY, paying(appointment, amount=5, card_token="tok_chargeDeclined"))
    paid = await mara.ask("POST", PAY, paying(appointment, amount=7.5, currency="EUR"), status=201)
    assert (paid["amount"], paid["currency"], paid["status"]) == (7.5, "EUR", "completed")
    await mara.refused("already_paid", "POST", PAY, paying(appointment, amount=7.5, currency="EUR"))


async def test_canceling_what_was_paid(hospital: Hospital) -> None:
    """A cancelled paid appointment is refunded, and can be paid no more."""
    mara, appointment = await booked(hospital)
    await mara.ask("POST", PAY, paying(appointment), status=201)
    canceled = await mara.ask("DELETE", f"/booking/appointments/{appointment['id']}")
    assert canceled["status"] == "canceled"
    invoice = (await hospital.fhir("GET", "Invoice"))["entry"][0]["resource"]
    assert invoice["status"] == "cancelled"
    answer = await mara.ask("DELETE", f"/booking/appointments/{appointment['id']}")
    assert answer["refund_status"] == "completed"
    await mara.refused("appointment_canceled", "POST", PAY, paying(appointment))


async def test_no_token(hospital: Hospital) -> None:
    """Neither is open to a visitor."""
    await hospital.visitor().refused("invalid_token", "POST", PAY, {})
    await hospital.visitor().refused("invalid_token", "POST", VERIFY, {})


# --- Insurance ---------------------------------------------------------------------------------------------------


async def test_verifying(hospital: Hospital) -> None:
    """A policy in force is verified, with its copay, and question and answer are written down."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    await hospital.put(policy_of(mara.id, valid_until="2999-12-31"))
    body = POLICY | {"clinic_id": "harbour", "specialty_id": "cardiology", "service_date": "2026-06-01"}
    response = await mara.ask("POST", VERIFY, body)
    assert response == {
        "verified": True,
        "status": "active",
        "coverage_id": f"policy-{mara.id}",
        "covered": True,
        "copay": {"amount": 20.0, "currency": "USD"},
        "valid_from": "2020-01-01",
        "valid_until": "2999-12-31",
        "reason": "The policy is in force.",
    }
    answer = (await hospital.fhir("GET", "CoverageEligibilityResponse"))["entry"][0]["resource"]
    assert answer["insurance"][0]["inforce"] is True
    request = (await hospital.fhir("GET", "CoverageEligibilityRequest"))["entry"][0]["resource"]
    assert request["item"][0]["detail"] == [{"reference": "HealthcareService/cardiology"}]


@pytest.mark.parametrize(
    ("policy", "requested", "status"),
    [
        ({"valid_until": "2020-12-31"}, {}, "expired"),
        ({"valid_from": "2999-01-01"}, {}, "inactive"),
        ({"status": "cancelled"}, {}, "inactive"),
        ({}, {"policy_number": "SOL-2"}, "unknown"),
        ({}, {"provider": "Another"}, "unknown"),
        ({}, {"member_id": "M-2"}, "unknown"),
        ({}, {"policy_number": "sol-1", "provider": "SOLACE mutual"}, "active"),
    ],
)
async def test_standings(hospital: Hospital, policy: dict[str, Any], requested: dict[str, Any], status: str) -> None:
    """A policy that is over, has not begun or is cancelled is not verified; one that is not on file is unknown."""
    mara = await hospital.sign_up("mara")
    await hospital.put(policy_of(mara.id, **policy))
    answer = await mara.ask("POST", VERIFY, POLICY | requested)
    assert (answer["status"], answer["verified"]) == (status, status == "active")
    assert answer["reason"]


async def test_anothers_policy(hospital: Hospital) -> None:
    """Another user's policy is not on file for a user."""
    mara, noor = await hospital.sign_up("mara"), await hospital.sign_up("noor")
    await hospital.put(policy_of(noor.id))
    assert (await mara.ask("POST", VERIFY, POLICY))["status"] == "unknown"


async def test_plans_name_what_they_cover(hospital: Hospital) -> None:
    """Where the insurer's plans name services, what they do not name is not covered."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    await hospital.put({"resourceType": "Organization", "id": "solace", "name": "Solace Mutual"})
    coverage = policy_of(mara.id) | {"payor": [{"reference": "Organization/solace"}]}
    benefit = {"type": {"text": "Cardiology"}}
    plan = {
        "resourceType": "InsurancePlan",
        "id": "silver",
        "status": "active",
        "name": "Silver",
        "ownedBy": {"reference": "Organization/solace"},
        "coverage": [{"type": {"text": "medical"}, "benefit": [benefit]}],
    }
    await hospital.put(coverage, plan)
    for specialty, covered in (("cardiology", True), ("skin", False)):
        answer = await mara.ask("POST", VERIFY, POLICY | {"specialty_id": specialty})
        assert (answer["covered"], answer["copay"] is not None) == (covered, covered)


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"provider": None}, "provider"), ({"clinic_id": "x"}, "clinic_id"), ({"specialty_id": "x"}, "specialty_id")],
)
async def test_faulty_verifications(hospital: Hospital, changes: dict[str, Any], field: str) -> None:
    """What is missing or unknown is named."""
    mara = await hospital.sign_up("mara")
    problem = await mara.refused("validation_failed", "POST", VERIFY, POLICY | changes)
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_the_copay_is_due(hospital: Hospital) -> None:
    """After verification the copay is due for an appointment with that policy, by card or by insurance."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    await hospital.put(policy_of(mara.id))
    await mara.ask("POST", VERIFY, POLICY | {"specialty_id": "cardiology"})
    form = {"insurance_coverage_id": f"policy-{mara.id}"}
    appointment = await mara.ask("POST", "/booking/appointments", booking_of(**form), status=201)
    assert appointment["amount_due"] == {"amount": 20.0, "currency": "USD"}
    await mara.refused("amount_mismatch", "POST", PAY, paying(appointment))
    body = paying(appointment, amount=20, payment_method="insurance", card_token=None)
    assert (await mara.ask("POST", PAY, body, status=201))["status"] == "completed"


async def test_what_is_said_of_a_day_holds_on_that_day(hospital: Hospital) -> None:
    """A copay that was verified for one day is due on that day alone, whatever is asked of other days later."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    await hospital.put(policy_of(mara.id))
    form = {"insurance_coverage_id": f"policy-{mara.id}"}
    appointment = await mara.ask("POST", "/booking/appointments", booking_of(**form), status=201)
    day = date.fromisoformat(appointment["appointment_date"])
    requested = POLICY | {"specialty_id": "cardiology"}

    async def due() -> float:
        answer = await mara.ask("GET", "/history/appointments")
        return float(answer["items"][0]["amount_due"]["amount"])

    await mara.ask("POST", VERIFY, requested | {"service_date": str(day + timedelta(days=1))})
    assert await due() == 90
    body = paying(appointment, payment_method="insurance", card_token=None)
    await mara.refused("insurance_not_verified", "POST", PAY, body)
    await mara.ask("POST", VERIFY, requested | {"service_date": str(day)})
    assert await due() == 20
    await hospital.put(policy_of(mara.id, valid_until=str(day)))
    await mara.ask("POST", VERIFY, requested | {"service_date": str(day + timedelta(days=1))})
    assert await due() == 20


@pytest.mark.parametrize(
    ("policy", "amount"),
    [
        ({"valid_until": 0}, 20),
        ({"valid_until": -1}, 90),
        ({"valid_from": 0}, 90),
        ({"valid_until": -1, "status": "cancelled"}, 90),
    ],
)
async def test_what_is_said_in_general_holds_as_long_as_the_policy(
    hospital: Hospital, policy: dict[str, Any], amount: int
) -> None:
    """A verification without a day counts for a visit within the policy's time, and for none outside it."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    body = booking_of(insurance_coverage_id=f"policy-{mara.id}")
    day = date.fromisoformat(body["appointment_date"])
    dated = {
        name: str(day + timedelta(days=value)) if isinstance(value, int) else value for name, value in policy.items()
    }
    await hospital.put(policy_of(mara.id, **dated))
    await mara.ask("POST", VERIFY, POLICY | {"specialty_id": "cardiology"})
    appointment = await mara.ask("POST", "/booking/appointments", body, status=201)
    assert appointment["amount_due"] == {"amount": amount, "currency": "USD"}


async def test_insurance_that_was_not_verified(hospital: Hospital) -> None:
    """Without verification insurance does not pay."""
    mara, appointment = await booked(hospital)
    body = paying(appointment, payment_method="insurance", card_token=None)
    await mara.refused("insurance_not_verified", "POST", PAY, body)
    assert (await hospital.fhir("GET", "PaymentReconciliation"))["total"] == 0


async def without_a_fee(hospital: Hospital) -> tuple[AppUser, dict[str, Any]]:
    """Return a user whose policy pays for an appointment without a fee, once it is verified."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    await hospital.put(policy_of(mara.id))
    body = {"doctor_id": "ferrand", "clinic_id": "hillside", "specialty_id": "skin", "slot_id": "ferrand-9"}
    body["insurance_coverage_id"] = f"policy-{mara.id}"
    return mara, await mara.ask("POST", "/booking/appointments", body, status=201)


async def test_insurance_without_a_fee(hospital: Hospital) -> None:
    """Where there is no fee insurance pays at the first try, and what is refused leaves nothing behind."""
    mara, appointment = await without_a_fee(hospital)
    body = paying(appointment, amount=40, payment_method="insurance", card_token=None)
    await mara.refused("insurance_not_verified", "POST", PAY, body)
    assert (await hospital.fhir("GET", "Invoice"))["total"] == 0
    await mara.ask("POST", VERIFY, POLICY | {"specialty_id": "skin"})
    paid = await mara.ask("POST", PAY, body, status=201)
    assert (paid["amount"], paid["status"]) == (40, "completed")
    await mara.refused("already_paid", "POST", PAY, body)


async def test_insurance_many_times_at_once(hospital: Hospital) -> None:
    """Of several payments by insurance at once one is made, and the others are told so."""
    mara, appointment = await without_a_fee(hospital)
    await mara.ask("POST", VERIFY, POLICY | {"specialty_id": "skin"})
    body = paying(appointment, amount=40, payment_method="insurance", card_token=None)
    answers = await asyncio.gather(*(mara.send("POST", PAY, body) for _ in range(8)))
    assert sorted(answer.json().get("code") or "paid" for answer in answers) == [*["already_paid"] * 7, "paid"]
