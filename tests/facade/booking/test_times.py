"""Times: the clinic's wall clock when it is changed, and what `from` and `to` mean on whose calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from tests.facade.clinic import MONDAY, booking_of, open_clinics
from tests.facade.records.test_record import with_record
from tests.facade_server import AppUser, Hospital

BOOK = "/booking/appointments"


def sunday(month: int, number: int) -> date:
    """Return the Sunday of that number in a month of next year."""
    first = date(datetime.now(UTC).year + 1, month, 1)
    return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (number - 1))


FORWARD, BACK = sunday(3, 2), sunday(11, 1)
"""When the clocks of New York are changed, next year."""


async def at_night(hospital: Hospital) -> AppUser:
    """Return a user of a hospital whose doctor works from midnight to four on Sundays."""
    await open_clinics(hospital)
    role = (await hospital.fhir("GET", "PractitionerRole?practitioner=Practitioner/okpara"))["entry"][0]["resource"]
    hours = {"daysOfWeek": ["sun"], "availableStartTime": "00:00:00", "availableEndTime": "04:00:00"}
    clinic = await hospital.fhir("GET", "Location/harbour")
    del clinic["hoursOfOperation"]
    await hospital.put(role | {"availableTime": [hours]}, clinic)
    return await hospital.sign_up("mara")


async def starts(user: AppUser, day: date) -> list[str]:
    listed = await user.ask("GET", f"/booking/doctors/okpara/slots?from={day}&to={day}")
    return [item["start"][11:16] + item["start"][19:] for item in listed["items"]]


async def test_a_night_without_two_o_clock(hospital: Hospital) -> None:
    """When the clock is set forward the skipped times are not offered, and whoever asks for one is told which field."""
    mara = await at_night(hospital)
    assert await starts(mara, FORWARD) == [
        *("00:00-05:00", "00:30-05:00", "01:00-05:00", "01:30-05:00"),
        *("03:00-04:00", "03:30-04:00"),
    ]
    body = booking_of("02:30", appointment_date=FORWARD.isoformat())
    problem = await mara.refused("validation_failed", "POST", BOOK, body)
    assert [error["field"] for error in problem["errors"]] == ["appointment_time"]
    booked = await mara.ask("POST", BOOK, body | {"appointment_time": "03:00"}, status=201)
    assert booked["start"] == f"{FORWARD}T03:00:00-04:00"


async def test_a_night_with_two_one_o_clocks(hospital: Hospital) -> None:
    """When the clock is set back a time comes twice and is booked twice, first the earlier one; then it is taken."""
    mara = await at_night(hospital)
    assert (await starts(mara, BACK))[2:6] == ["01:00-04:00", "01:30-04:00", "01:00-05:00", "01:30-05:00"]
    body = booking_of("01:30", appointment_date=BACK.isoformat())
    booked = [await mara.ask("POST", BOOK, body, status=201) for _ in range(2)]
    assert [item["start"] for item in booked] == [f"{BACK}T01:30:00-04:00", f"{BACK}T01:30:00-05:00"]
    assert {item["appointment_time"] for item in booked} == {"01:30"}
    await mara.refused("slot_taken", "POST", BOOK, body)


async def test_slots_are_listed_by_the_clinic_s_days(hospital: Hospital) -> None:
    """A date is one of the clinic's calendar, whatever day it is in Greenwich; the last one belongs to the span."""
    mara = await at_night(hospital)
    role = (await hospital.fhir("GET", "PractitionerRole?practitioner=Practitioner/okpara"))["entry"][0]["resource"]
    late = {"daysOfWeek": ["mon"], "availableStartTime": "22:00:00", "availableEndTime": "23:30:00"}
    await hospital.put(role | {"availableTime": [late]})
    assert [text[:5] for text in await starts(mara, MONDAY)] == ["22:00", "22:30", "23:00"]
    assert await starts(mara, MONDAY + timedelta(days=1)) == []


async def test_thirty_one_days(hospital: Hospital) -> None:
    """31 days may be asked for, also where one of them has 25 hours, and not 32."""
    mara = await at_night(hospital)
    path, begin = "/booking/doctors/okpara/slots", BACK - timedelta(days=10)
    await mara.ask("GET", f"{path}?from={begin}&to={begin + timedelta(days=30)}")
    problem = await mara.refused("validation_failed", "GET", f"{path}?from={begin}&to={begin + timedelta(days=31)}")
    assert [error["field"] for error in problem["errors"]] == ["to"]


async def test_the_history_is_by_the_user_s_days(hospital: Hospital) -> None:
    """A date is one of the user's calendar: eleven on Monday in New York is Tuesday in Tokyo. Moments end before."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara", timezone="Asia/Tokyo")
    booked = await mara.ask("POST", BOOK, booking_of("11:30"), status=201)
    start = datetime.fromisoformat(booked["start"])
    tuesday = MONDAY + timedelta(days=1)
    later = (start + timedelta(seconds=1)).isoformat()
    for values, total in (
        ({"from": tuesday, "to": tuesday}, 1),
        ({"from": MONDAY, "to": MONDAY}, 0),
        ({"from": booked["start"]}, 1),
        ({"from": later}, 0),
        ({"to": booked["start"]}, 0),
        ({"to": later}, 1),
        ({"from": "0001-01-01", "to": "9999-12-31"}, 1),
    ):
        assert (await mara.ask("GET", "/history/appointments", params=values))["total"] == total, values


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
async def test_the_last_day_of_the_calendar_is_a_day_like_any(hospital: Hospital, zone: str) -> None:
    """`to` includes its day and `from` begins with it, also at the ends of the calendar."""
    mara = await hospital.sign_up("mara", timezone=zone)
    subject = {"subject": {"reference": f"Patient/{mara.id}"}}
    for number, moment in enumerate(("9999-12-31", "9999-12-31T23:59:59.999999Z", "9999-06-01T12:00:00Z")):
        at = moment if "T" in moment else f"{moment}T12:00:00Z"
        await hospital.put(
            {"resourceType": "ServiceRequest", "id": f"o{number}", "status": "active", "intent": "order",
             "authoredOn": moment, **subject},
            {"resourceType": "DocumentReference", "id": f"d{number}", "status": "current", "date": at, **subject,
             "content": [{"attachment": {"url": "https://files.example.org/1"}}]},
            {"resourceType": "Appointment", "id": f"a{number}", "status": "booked", "start": at, "end": at,
             "participant": [{"actor": subject["subject"], "status": "accepted"}]},
        )  # fmt: skip
    for path in ("/lab-tests/results", "/history/documents", "/history/appointments"):
        for values, total in (
            ({"from": "0001-01-01", "to": "9999-12-31"}, 3),
            ({"to": "9999-12-31"}, 3),
            ({"from": "9999-12-31"}, 2),
            ({"from": "9999-12-31", "to": "9999-12-31"}, 2),
            ({"to": "9999-12-30"}, 1),
            ({"from": "9999-01-01", "to": "9999-06-02"}, 1),
            ({"to": "9998-12-31"}, 0),
            ({"to": "0001-01-01T00:00:00+14:00"}, 0),
        ):
            assert (await mara.ask("GET", path, params=values))["total"] == total, (path, values)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
async def test_a_day_without_a_time_is_that_day_everywhere(hospital: Hospital, zone: str) -> None:
    """A test that was ordered on a day, without a time, was so in every user's zone; a report's moment is not."""
    mara, _ = await with_record(hospital)
    await mara.ask("PUT", "/user/profile", {"timezone": zone})
    answer = await mara.ask("GET", "/lab-tests/results?from=2026-01-01&to=2026-01-01")
    assert [item["id"] for item in answer["items"]] == ["glucose"]
    day = "2026-01-04" if zone.startswith("Pacific") else "2026-01-03"
    for path in ("/lab-tests/results", "/history/documents"):
        assert (await mara.ask("GET", f"{path}?from={day}&to={day}"))["total"] == 1
        assert (await mara.ask("GET", f"{path}?from={day}&to=2026-01-03T10:00:00Z"))["total"] == 0


@pytest.mark.parametrize("at", ["9:00", "09:00+05:00", "09:00:00.5", "32400", 32400, "24:00", "09"])
async def test_a_clock_time_is_hours_and_minutes(hospital: Hospital, at: object) -> None:
    """A time is HH:MM, and nothing that only could be read as one."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    problem = await mara.refused("validation_failed", "POST", BOOK, booking_of() | {"appointment_time": at})
    assert [error["field"] for error in problem["errors"]] == ["appointment_time"]


@pytest.mark.parametrize("dob", [0, "0", "1700000000", "20190501", "2019-W18-3", "2019-05-01T00:00:00Z", "2019-02-30"])
async def test_a_date_is_year_month_day(hospital: Hospital, dob: object) -> None:
    """A date is YYYY-MM-DD: a number is no date."""
    mara = await hospital.sign_up("mara")
    body = {"name": "Ada", "relation": "child", "dob": dob}
    problem = await mara.refused("validation_failed", "POST", "/user/family", body)
    assert [error["field"] for error in problem["errors"]] == ["dob"]


@pytest.mark.parametrize("day", ["0001-01-01", "0002-06-01", "0999-12-31", "9999-12-31"])
async def test_days_at_both_ends_of_the_calendar(hospital: Hospital, day: str) -> None:
    """A day of the first millennium is asked for as any other: nobody is free, and a booking says why not."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    assert isinstance((await mara.ask("GET", f"/booking/doctors?date={day}"))["items"], list)
    slots = (await mara.ask("GET", f"/booking/doctors/ferrand/slots?from={day}&to={day}"))["items"]
    assert [slot for slot in slots if slot["status"] == "free"] == []
    for path in ("/history/appointments", "/lab-tests/results", "/history/documents"):
        assert (await mara.ask("GET", f"{path}?from={day}&to={day}"))["total"] == 0
    book = booking_of(appointment_date=day, appointment_time="10:00", slot_id=None)
    answer = await mara.send("POST", "/booking/appointments", book)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "appointment_time")
    assert answer.json()["code"] in ({"too_far_ahead"} if day == "9999-12-31" else {"in_the_past", "outside_hours"})
