"""Notifications as the app gets them: each kind, from the facade's writes and from those over FHIR, and what about."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.facade.clinic import MONDAY, booking_of, open_clinics
from tests.facade.test_payment import PAY, paying
from tests.facade.test_record import record_of
from tests.facade_server import AppUser, Hospital

BOOK = "/booking/appointments"


async def told(user: AppUser, count: int) -> list[tuple[str, str | None]]:
    """Return the kinds of the user's notifications and the types of what they are about, when there are so many."""
    items: list[dict[str, Any]] = []
    for _ in range(200):
        items = (await user.ask("GET", "/notifications?limit=100"))["items"]
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
    assert await told(mara, 5) == [
        ("appointment_booked", "Appointment"),
        ("appointment_canceled", "Appointment"),
        ("appointment_rescheduled", "Appointment"),
        ("payment_completed", "Invoice"),
        ("payment_failed", "Invoice"),
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
