"""Notifications as the app gets them: each kind, from the facade's writes and from those over FHIR, and what about."""

from __future__ import annotations

import asyncio
from typing import Any

from fhir_server.r4 import values
from mappings.billing import payments
from tests.facade.billing.test_money import INSURED, insured
from tests.facade.billing.test_payment import PAY, paying
from tests.facade.clinic import MONDAY, booking_of, open_clinics
from tests.facade.records.test_record import record_of
from tests.facade_server import AppUser, Hospital

BOOK = "/booking/appointments"


async def told(user: AppUser, count: int) -> list[tuple[str, str | None]]:
    """Return the kinds of the user's notifications and the types of what they are about, when there are so many."""
    items: list[dict[str, Any]] = []
    for _ in range(200):
        items = (await user.ask("GET", "/notifications?limit=100"))["items"]
        # Whether a refund that is made at once was told as due before depends on who is faster.
        items = [item for item in items if item["kind"] != "refund_pending"]
        if len(items) >= count:
            break
        await asyncio.sleep(0.05)
    assert len(items) == count, [item["kind"] for item in items]
    return sorted((item["kind"], (item["related"] or {}).get("type")) for item in items)


async def test_what_the_facade_writes_is_news(hospital: Hospital) -> None:
    """Booking, moving, cancelling, and payments that succeed and fail are told, each once."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    booked = await mara.ask("POST", BOOK, booking_of(), status=201)
    await mara.refused("payment_declined", "POST", PAY, paying(booked, card_token="tok_chargeDeclined"))
    await mara.ask("POST", PAY, paying(booked), status=201)
    path = f"{BOOK}/{booked['id']}"
    await told(mara, 3)
    await mara.ask("PUT", path, {"appointment_date": MONDAY.isoformat(), "appointment_time": "11:00"})
    await told(mara, 4)
    await mara.ask("DELETE", path)
    assert await told(mara, 6) == [
        ("appointment_booked", "Appointment"),
        ("appointment_canceled", "Appointment"),
        ("appointment_rescheduled", "Appointment"),
        ("payment_completed", "Invoice"),
        ("payment_failed", "Invoice"),
        ("refund_completed", "Invoice"),
    ]


async def test_what_others_write_over_fhir_is_news(hospital: Hospital) -> None:
    """An EHR's booking, plan, prescription, report and document are told, and messages of others are general ones."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    visit = {
        "resourceType": "Appointment",
        "id": "visit",
        "status": "booked",
        "start": f"{MONDAY}T15:00:00Z",
        "end": f"{MONDAY}T15:30:00Z",
        "participant": [{"actor": {"reference": f"Patient/{mara.id}"}, "status": "accepted"}],
    }
    # Of the present: what was long before it was written down is no news.
    dates = ("authoredOn", "issued", "date")
    record = [
        {name: value for name, value in item.items() if name not in dates} for item in record_of(mara.id, "visit")
    ]
    message = {
        "resourceType": "Communication",
        "id": "hello",
        "status": "completed",
        "recipient": [{"reference": f"Patient/{mara.id}"}],
        "payload": [{"contentString": "Hello"}],
    }
    await hospital.put(visit, *record, message)
    assert await told(mara, 6) == [
        ("appointment_booked", "Appointment"),
        ("document_added", "DocumentReference"),
        ("general", None),
        ("prescription_added", "MedicationRequest"),
        ("result_ready", "DiagnosticReport"),
        ("treatment_plan_added", "CarePlan"),
    ]


async def test_news_is_the_user_s_own(hospital: Hospital) -> None:
    """Nobody hears of another's appointment, and unread ones are counted and can be asked for alone."""
    await open_clinics(hospital)
    mara, noor = await hospital.sign_up("mara"), await hospital.sign_up("noor")
    await mara.ask("POST", BOOK, booking_of(), status=201)
    await noor.ask("POST", BOOK, booking_of("10:00"), status=201)
    for user in (mara, noor):
        assert await told(user, 1) == [("appointment_booked", "Appointment")]
    (item,) = (await mara.ask("GET", "/notifications"))["items"]
    assert item["related"]["id"] != (await noor.ask("GET", "/notifications"))["items"][0]["related"]["id"]
    await noor.refused("not_found", "PUT", f"/notifications/{item['id']}/read")
    await mara.ask("PUT", f"/notifications/{item['id']}/read")
    unread = await mara.ask("GET", "/notifications?unread_only=true")
    assert (unread["items"], unread["total"], unread["unread"]) == ([], 0, 0)


async def test_refunds_are_told_with_amount_and_state(hospital: Hospital) -> None:
    """What insurance paid is told as going to be refunded, and when somebody gives it back, as refunded: each once."""
    mara, appointment = await insured(hospital)
    await mara.ask("POST", PAY, paying(appointment, amount=20, **INSURED), status=201)
    await mara.ask("DELETE", f"{BOOK}/{appointment['id']}")
    pending = await refund_told(mara, "refund_pending")
    assert pending == ["Your payment for Cardiology is going to be refunded: 20 USD."]
    invoice = (await hospital.fhir("GET", "Invoice"))["entry"][0]["resource"]
    for note in ("Given back", "Given back at the desk"):
        made = payments.with_refund_status(invoice | {"note": [{"text": note}]}, "completed")
        await hospital.put(made)
    assert await refund_told(mara, "refund_completed") == ["Your payment for Cardiology has been refunded: 20 USD."]
    spanish = await mara.ask("GET", "/notifications", headers={"Accept-Language": "es"})
    assert "Se le ha reembolsado su pago por Cardiology: 20 USD." in [item["message"] for item in spanish["items"]]
    assert len(await refund_told(mara, "refund_pending")) == 1


async def refund_told(user: AppUser, kind: str) -> list[str]:
    """Return the messages of the kind, as soon as there is one."""
    for _ in range(200):
        items = (await user.ask("GET", "/notifications?limit=100"))["items"]
        rows = [item["message"] for item in items if item["kind"] == kind]
        if rows:
            return rows
        await asyncio.sleep(0.05)
    raise AssertionError(f"no {kind}")


async def test_a_childs_visit_is_told_with_the_childs_name(hospital: Hospital) -> None:
    """Messages and calendar files name the family member whom a visit is for, and nobody else's."""
    await open_clinics(hospital)
    mara, noor = await hospital.sign_up("mara"), await hospital.sign_up("noor")
    child = await mara.ask(
        "POST", "/user/family", {"name": "Ada Ruiz", "relation": "child", "dob": "2019-05-01"}, status=201
    )
    other = await noor.ask(
        "POST", "/user/family", {"name": "Bo Noor", "relation": "child", "dob": "2019-05-01"}, status=201
    )
    booked = await mara.ask("POST", BOOK, booking_of(family_member_id=child["id"]), status=201)
    await told(mara, 1)
    (item,) = (await mara.ask("GET", "/notifications"))["items"]
    assert item["message"].startswith("The appointment of Ada Ruiz with Dr Samuel Okpara")
    path = f"{BOOK}/{booked['id']}/calendar"
    assert "Visit of Ada Ruiz: Dr Samuel Okpara" in (await mara.send("GET", path)).text
    assert "Cita de Ada Ruiz" in (await mara.send("GET", path, headers={"Accept-Language": "es"})).text
    stored = await hospital.fhir("GET", f"Appointment/{booked['id']}")
    text = values.encode(stored).decode().replace(child["id"], other["id"])
    await hospital.put(values.decode(text.encode()))
    assert "Bo Noor" not in (await mara.send("GET", path)).text
