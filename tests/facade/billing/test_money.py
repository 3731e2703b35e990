"""What is due, by whom it is paid, and what happens to it when a visit is cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from tests.facade.billing.test_payment import PAY, POLICY, VERIFY, booked, paying
from tests.facade.clinic import booking_of, open_clinics, policy_of
from tests.facade_server import AppUser, Hospital

INSURED = {"payment_method": "insurance", "card_token": None}


async def insured(hospital: Hospital, copay: float = 20, **policy: Any) -> tuple[AppUser, dict[str, Any]]:
    """Return a user with an appointment that a verified policy pays for but for the copay."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    coverage = policy_of(mara.id, **policy)
    coverage["costToBeneficiary"][0]["valueMoney"]["value"] = copay
    await hospital.put(coverage)
    await mara.ask("POST", VERIFY, POLICY | {"specialty_id": "cardiology"})
    body = booking_of(insurance_coverage_id=f"policy-{mara.id}")
    return mara, await mara.ask("POST", "/booking/appointments", body, status=201)


async def invoice_of(hospital: Hospital) -> dict[str, Any]:
    answer: dict[str, Any] = (await hospital.fhir("GET", "Invoice"))["entry"][0]["resource"]
    return answer


async def test_insurance_that_pays_all(hospital: Hospital) -> None:
    """With a copay of nothing nothing is due: insurance settles the invoice, and by card it is no amount."""
    mara, appointment = await insured(hospital, copay=0)
    assert appointment["amount_due"] == {"amount": 0.0, "currency": "USD"}
    problem = await mara.refused("validation_failed", "POST", PAY, paying(appointment, amount=0))
    assert [error["field"] for error in problem["errors"]] == ["amount"]
    await mara.refused("amount_mismatch", "POST", PAY, paying(appointment, **INSURED))
    paid = await mara.ask("POST", PAY, paying(appointment, amount=0, **INSURED), status=201)
    assert (paid["amount"], paid["status"]) == (0.0, "completed")
    assert (await invoice_of(hospital))["status"] == "balanced"


async def test_nothing_is_no_amount_where_there_is_no_fee(hospital: Hospital) -> None:
    """Without a fee any positive amount is taken, but not none."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    body = {"doctor_id": "ferrand", "clinic_id": "hillside", "specialty_id": "skin", "slot_id": "ferrand-9"}
    appointment = await mara.ask("POST", "/booking/appointments", body, status=201)
    problem = await mara.refused("validation_failed", "POST", PAY, paying(appointment, amount=0, **INSURED))
    assert [error["field"] for error in problem["errors"]] == ["amount"]


async def test_the_insurer_s_latest_word_counts(hospital: Hospital) -> None:
    """A policy that was verified and then found to be cancelled pays nothing: the whole fee is due again."""
    mara, appointment = await insured(hospital)
    coverage = await hospital.fhir("GET", f"Coverage/policy-{mara.id}")
    await hospital.put(coverage | {"status": "cancelled"})
    answer = await mara.ask("POST", VERIFY, POLICY | {"specialty_id": "cardiology"})
    assert answer["verified"] is False
    body = (await mara.ask("GET", "/history/appointments"))["items"][0]
    assert body["amount_due"] == {"amount": 90.0, "currency": "USD"}
    await mara.refused("insurance_not_verified", "POST", PAY, paying(appointment, **INSURED))


async def test_what_was_paid_is_the_copay(hospital: Hospital) -> None:
    """After the copay nothing is due, and the payment says what was paid, in its answer and in the history."""
    mara, appointment = await insured(hospital)
    paid = await mara.ask("POST", PAY, paying(appointment, amount=20), status=201)
    answer = (await mara.ask("GET", "/history/appointments"))["items"][0]
    assert (paid["amount"], answer["payment"]["amount"]) == (20.0, 20.0)
    assert answer["amount_due"] == {"amount": 0.0, "currency": "USD"}
    assert answer["payment"]["transaction_id"] == paid["transaction_id"]


async def test_cash_is_settled_by_the_staff_over_fhir(hospital: Hospital) -> None:
    """Cash is pending, also in the history, until the staff balances the Invoice; then it is completed."""
    mara, appointment = await booked(hospital)
    await mara.ask("POST", PAY, paying(appointment, payment_method="cash", card_token=None), status=201)
    answer = (await mara.ask("GET", "/history/appointments"))["items"][0]
    assert (answer["payment"]["status"], answer["payment"]["payment_method"]) == ("pending", "cash")
    assert answer["amount_due"] == {"amount": 90.0, "currency": "USD"}
    await hospital.put(await invoice_of(hospital) | {"status": "balanced"})
    answer = (await mara.ask("GET", "/history/appointments"))["items"][0]
    assert (answer["payment"]["status"], answer["amount_due"]["amount"]) == ("completed", 0.0)


@pytest.mark.parametrize(
    ("values", "refund"),
    [({}, "completed"), ({"payment_method": "cash", "card_token": None}, None), ({"card_token": "none"}, None)],
)
async def test_cancelling(hospital: Hospital, values: dict[str, Any], refund: str | None) -> None:
    """The Invoice is cancelled with the reason; what was taken goes back, what was not taken does not."""
    mara, appointment = await booked(hospital)
    if values.get("card_token") != "none":
        await mara.ask("POST", PAY, paying(appointment) | values, status=201)
    path = f"/booking/appointments/{appointment['id']}"
    await mara.ask("DELETE", path, params={"reason": "Better"})
    invoice = await invoice_of(hospital)
    assert (invoice["status"], invoice["cancelledReason"]) == ("cancelled", "Better")
    assert (await mara.ask("DELETE", path))["refund_status"] == refund


async def test_a_refund_that_is_not_the_gateway_s(hospital: Hospital) -> None:
    """What insurance paid is marked, and stays so until the hospital has given it back."""
    mara, appointment = await insured(hospital)
    await mara.ask("POST", PAY, paying(appointment, amount=20, **INSURED), status=201)
    canceled = await mara.ask("DELETE", f"/booking/appointments/{appointment['id']}")
    assert canceled["refund_status"] == "pending"


@pytest.mark.parametrize("path", ["/booking/payment", "/lab-tests/payment"])
@pytest.mark.parametrize("amount", [True, "x", [90], {"$ne": 1}, 1e300, -0.01, "NaN", "1e400", None])
async def test_what_is_no_amount(hospital: Hospital, path: str, amount: object) -> None:
    """What is no number, not positive, or beyond all measure is a faulty field."""
    mara = await hospital.sign_up("mara")
    body = {"amount": amount, "currency": "USD", "payment_method": "card", "card_token": "tok_visa"}
    what = {"lab_test_id" if "lab" in path else "appointment_id": "x"}
    problem = await mara.refused("validation_failed", "POST", path, body | what)
    assert [error["field"] for error in problem["errors"]] == ["amount"]
