"""Endpoints 26 to 28: notifications, and the history of appointments."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mappings.notifications import notifications
from mappings.notifications.notifications import Notification, Related
from tests.facade.clinic import MONDAY, booking_of, open_clinics
from tests.facade_server import AppUser, Hospital


async def notify(hospital: Hospital, user: AppUser, number: int, **overrides: Any) -> None:
    row = Notification(
        id=f"n{number}",
        user_id=user.id,
        message=f"Message {number}",
        kind="result_ready",
        related=Related(type="DiagnosticReport", id="r1"),
        created_at=f"2026-01-0{number}T10:00:00Z",  # type: ignore[arg-type]
        **overrides,
    )
    spanish = {"es": f"Mensaje {number}"}
    resource = notifications.to_fhir(row, at=row.created_at, language="en", translations=spanish)  # type: ignore[arg-type]
    await hospital.put({name: value for name, value in resource.items() if name != "extension"})


async def test_notifications(hospital: Hospital) -> None:
    """Notifications come newest first, page by page, with the number of unread ones, in the caller's language."""
    mara = await hospital.sign_up("mara")
    for number in (1, 2, 3):
        await notify(hospital, mara, number, is_read=number == 2)
    first = await mara.ask("GET", "/notifications?limit=2")
    assert [item["id"] for item in first["items"]] == ["n3", "n2"]
    assert (first["total"], first["unread"]) == (3, 2)
    item = first["items"][0]
    assert (item["message"], item["is_read"], item["kind"]) == ("Message 3", False, "result_ready")
    assert item["related"] == {"type": "DiagnosticReport", "id": "r1"}
    assert first["items"][1]["is_read"] is True
    second = await mara.ask("GET", f"/notifications?limit=2&cursor={first['next']}")
    assert ([item["id"] for item in second["items"]], second["next"]) == (["n1"], None)
    unread = await mara.ask("GET", "/notifications?unread_only=true", headers={"Accept-Language": "es"})
    assert [item["message"] for item in unread["items"]] == ["Mensaje 3", "Mensaje 1"]
    await mara.refused("bad_cursor", "GET", "/notifications?cursor=x")


async def test_reading_a_notification(hospital: Hospital) -> None:
    """A notification that is read stays so, and says when in the Communication."""
    mara = await hospital.sign_up("mara")
    await notify(hospital, mara, 1)
    assert (await mara.ask("PUT", "/notifications/n1/read"))["is_read"] is True
    stored = await hospital.fhir("GET", "Communication/n1")
    assert stored["received"]
    await mara.ask("PUT", "/notifications/n1/read")
    assert (await hospital.fhir("GET", "Communication/n1"))["received"] == stored["received"]
    assert (await mara.ask("GET", "/notifications"))["unread"] == 0


async def test_communications_of_others(hospital: Hospital) -> None:
    """A message that somebody else sent by FHIR is a general notification."""
    mara = await hospital.sign_up("mara")
    await hospital.put(
        {
            "resourceType": "Communication",
            "id": "c1",
            "status": "completed",
            "recipient": [{"reference": f"Patient/{mara.id}"}],
            "payload": [{"contentString": "Hello"}],
        }
    )
    (item,) = (await mara.ask("GET", "/notifications"))["items"]
    assert (item["message"], item["kind"], item["related"]) == ("Hello", "general", None)


async def test_anothers_notifications(hospital: Hospital) -> None:
    """Another user's notifications do not exist for a user, nor any for a visitor."""
    mara, noor = await hospital.sign_up("mara"), await hospital.sign_up("noor")
    await notify(hospital, noor, 1)
    assert (await mara.ask("GET", "/notifications"))["items"] == []
    await mara.refused("not_found", "PUT", "/notifications/n1/read")
    await mara.refused("not_found", "PUT", "/notifications/none/read")
    await hospital.visitor().refused("invalid_token", "GET", "/notifications")
    await hospital.visitor().refused("invalid_token", "PUT", "/notifications/n1/read")


async def with_history(hospital: Hospital) -> tuple[AppUser, list[dict[str, Any]]]:
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara", timezone="America/New_York")
    book = "/booking/appointments"
    answer = [await mara.ask("POST", book, booking_of(time), status=201) for time in ("09:00", "09:30", "10:00")]
    later = booking_of(appointment_date=(MONDAY + timedelta(days=1)).isoformat())
    answer.append(await mara.ask("POST", book, later, status=201))
    await mara.ask("DELETE", f"{book}/{answer[0]['id']}")
    moved = {"appointment_date": MONDAY.isoformat(), "appointment_time": "11:00"}
    await mara.ask("PUT", f"{book}/{answer[1]['id']}", moved)
    done = await hospital.fhir("GET", f"Appointment/{answer[2]['id']}")
    await hospital.put(done | {"status": "fulfilled"})
    return mara, answer


async def test_history(hospital: Hospital) -> None:
    """Appointments come newest first, with clinic, doctor, specialty and payment."""
    mara, booked = await with_history(hospital)
    paying = {"amount": 90, "currency": "USD", "payment_method": "card", "card_token": "tok_visa"}
    await mara.ask("POST", "/booking/payment", {"appointment_id": booked[3]["id"], **paying}, status=201)
    answer = await mara.ask("GET", "/history/appointments")
    assert [item["id"] for item in answer["items"]] == [booked[number]["id"] for number in (3, 1, 2, 0)]
    assert [item["status"] for item in answer["items"]] == ["scheduled", "rescheduled", "completed", "canceled"]
    item = answer["items"][0]
    assert (item["clinic"]["name"], item["clinic"]["id"]) == ("Harbour Clinic", "harbour")
    assert (item["doctor"]["name"], item["doctor"]["clinic_id"]) == ("Dr Samuel Okpara", "harbour")
    assert item["specialty"]["name"] == "Cardiology"
    assert (item["payment"]["status"], item["payment"]["amount"]) == ("completed", 90.0)
    assert answer["items"][1]["payment"]["status"] == "pending"


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("status=scheduled", [3]),
        ("status=rescheduled", [1]),
        ("status=canceled", [0]),
        ("status=completed", [2]),
        (f"from={MONDAY + timedelta(days=1)}", [3]),
        (f"to={MONDAY}", [1, 2, 0]),
        (f"from={MONDAY}&to={MONDAY}", [1, 2, 0]),
        ("limit=1", [3]),
    ],
)
async def test_finding_appointments(hospital: Hospital, query: str, numbers: list[int]) -> None:
    """Appointments are found by status and by day."""
    mara, booked = await with_history(hospital)
    answer = await mara.ask("GET", f"/history/appointments?{query}")
    assert [item["id"] for item in answer["items"]] == [booked[number]["id"] for number in numbers]


async def test_anothers_history(hospital: Hospital) -> None:
    """Another user's appointments are not in a user's history, and a wrong status is a faulty field."""
    await with_history(hospital)
    noor = await hospital.sign_up("noor")
    assert await noor.ask("GET", "/history/appointments") == {"items": [], "total": 0, "next": None}
    problem = await noor.refused("validation_failed", "GET", "/history/appointments?status=lost")
    assert problem["errors"][0]["field"] == "status"
    await hospital.visitor().refused("invalid_token", "GET", "/history/appointments")
