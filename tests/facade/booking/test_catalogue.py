"""Endpoints 14 to 17: clinics, specialties, doctors and slots, open to all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.facade.clinic import MONDAY, open_clinics, written_slot
from tests.facade_server import Hospital


async def names(hospital: Hospital, path: str) -> list[str]:
    answer = await hospital.visitor().ask("GET", path)
    assert answer["total"] == len(answer["items"])
    return [item["name"] for item in answer["items"]]


async def test_a_clinic_has_every_column(hospital: Hospital) -> None:
    """A clinic is told with every column of its table; rooms of a clinic are none."""
    await open_clinics(hospital)
    answer = await hospital.visitor().ask("GET", "/booking/clinics")
    clinic, other = answer["items"]
    expected = {
        "id": "harbour",
        "name": "Harbour Clinic",
        "address": "12 Ferry Street",
        "city": "Port Alder",
        "state": "ME",
        "country": "US",
        "postal_code": "04199",
        "latitude": 43.6591,
        "longitude": -70.2553,
        "phone": "+12075550110",
        "email": "harbour@example.org",
        "timezone": "America/New_York",
        "distance_km": None,
    }
    assert {name: clinic[name] for name in expected} == expected
    assert clinic["created_at"] == clinic["updated_at"] is not None
    assert other["id"] == "hillside"
    assert (answer["total"], answer["next"]) == (2, None)


@pytest.mark.parametrize(
    ("query", "result"),
    [
        ("city=port%20alder", ["Harbour Clinic"]),
        ("city=LINDEN%20GROVE", ["Hillside Clinic"]),
        ("specialty=cardiology", ["Harbour Clinic"]),
        ("specialty=DERMATOLOGY", ["Hillside Clinic"]),
        ("specialty=skin", ["Hillside Clinic"]),
        ("specialty=none", []),
        ("q=ferry", ["Harbour Clinic"]),
        ("q=harbour-clinic", ["Harbour Clinic"]),
        ("city=port%20%20alder.", ["Harbour Clinic"]),
        ("near=41.88,-87.63", ["Hillside Clinic", "Harbour Clinic"]),
        ("near=41.88,-87.63&distance_km=50", ["Hillside Clinic"]),
        ("near=0,0&distance_km=1", []),
    ],
)
async def test_finding_clinics(hospital: Hospital, query: str, result: list[str]) -> None:
    """Clinics are found by city, specialty, words and distance, whatever the case, accents and punctuation."""
    await open_clinics(hospital)
    assert await names(hospital, f"/booking/clinics?{query}") == result


async def test_distance(hospital: Hospital) -> None:
    """The distance is that along the earth's surface."""
    await open_clinics(hospital)
    answer = await hospital.visitor().ask("GET", "/booking/clinics?near=41.8781,-87.6298")
    assert [round(item["distance_km"]) for item in answer["items"]] == [0, 1429]


@pytest.mark.parametrize("near", ["x", "1", "91,0", "0,181", "1,2,3", "nan,0"])
async def test_places_that_are_none(hospital: Hospital, near: str) -> None:
    """A place that is none is a faulty field."""
    problem = await hospital.visitor().refused("validation_failed", "GET", f"/booking/clinics?near={near}")
    assert problem["errors"][0]["field"] == "near"


async def test_pages(hospital: Hospital) -> None:
    """Lists come in pages, each item once; cursors of another list and wrong limits are refused."""
    await open_clinics(hospital)
    visitor = hospital.visitor()
    first = await visitor.ask("GET", "/booking/clinics?limit=1")
    assert first["total"] == 2
    second = await visitor.ask("GET", f"/booking/clinics?limit=1&cursor={first['next']}")
    assert second["next"] is None
    assert [first["items"][0]["id"], second["items"][0]["id"]] == ["harbour", "hillside"]
    await visitor.refused("bad_cursor", "GET", f"/booking/specialties?cursor={first['next']}")
    await visitor.refused("bad_cursor", "GET", "/booking/clinics?cursor=x")
    for limit in (0, 101):
        problem = await visitor.refused("validation_failed", "GET", f"/booking/clinics?limit={limit}")
        assert problem["errors"][0]["field"] == "limit"


async def test_specialties(hospital: Hospital) -> None:
    """Specialties are told with their clinic and fee, of all clinics or of one."""
    await open_clinics(hospital)
    answer = await hospital.visitor().ask("GET", "/booking/specialties?clinic_id=harbour")
    (item,) = answer["items"]
    assert (item["id"], item["clinic_id"], item["name"]) == ("cardiology", "harbour", "Cardiology")
    assert item["fee"] == {"amount": 90.0, "currency": "USD"}
    assert await names(hospital, "/booking/specialties") == ["Cardiology", "Dermatology"]
    await hospital.visitor().refused("not_found", "GET", "/booking/specialties?clinic_id=nowhere")


async def test_a_doctor_has_every_column(hospital: Hospital) -> None:
    """A doctor is told with every column of the table, and when the next slot is free."""
    await open_clinics(hospital)
    answer = await hospital.visitor().ask("GET", "/booking/doctors?clinic_id=harbour")
    (doctor,) = answer["items"]
    expected = {
        "id": "okpara",
        "name": "Dr Samuel Okpara",
        "specialty_id": "cardiology",
        "clinic_id": "harbour",
        "email": "okpara@example.org",
        "phone": "+12075550151",
        "experience_years": 21,
        "photo": "https://img.example.org/d.png",
    }
    assert {name: doctor[name] for name in expected} == expected
    assert doctor["next_available"][10:16] in ("T09:00", "T09:30", "T10:00", "T10:30", "T11:00", "T11:30")


@pytest.mark.parametrize(
    ("query", "result"),
    [
        ("", ["Dr Lucía Ferrand", "Dr Samuel Okpara"]),
        ("q=lucia", ["Dr Lucía Ferrand"]),
        ("specialty_id=cardiology", ["Dr Samuel Okpara"]),
        ("clinic_id=hillside&specialty_id=cardiology", []),
        (f"date={MONDAY}", ["Dr Lucía Ferrand", "Dr Samuel Okpara"]),
        (f"date={MONDAY + timedelta(days=1)}", ["Dr Lucía Ferrand", "Dr Samuel Okpara"]),
        (f"date={MONDAY + timedelta(days=2)}", []),
    ],
)
async def test_finding_doctors(hospital: Hospital, query: str, result: list[str]) -> None:
    """Doctors are found by clinic, specialty, words, and by having a free slot on a day."""
    await open_clinics(hospital)
    assert await names(hospital, f"/booking/doctors?{query}") == result


async def test_a_doctor_at_two_clinics(hospital: Hospital) -> None:
    """A doctor who works at two clinics is listed once for each, and left out where the role has ended."""
    await open_clinics(hospital)
    role = {
        "resourceType": "PractitionerRole",
        "id": "second",
        "practitioner": {"reference": "Practitioner/okpara"},
        "location": [{"reference": "Location/hillside"}],
    }
    await hospital.put(role)
    answer = await hospital.visitor().ask("GET", "/booking/doctors?q=okpara")
    assert [(item["id"], item["clinic_id"]) for item in answer["items"]] == [
        ("okpara", "harbour"),
        ("okpara", "hillside"),
    ]
    assert answer["items"][1]["next_available"] is None
    await hospital.put(role | {"active": False})
    assert await names(hospital, "/booking/doctors?q=okpara") == ["Dr Samuel Okpara"]


@pytest.mark.parametrize("query", ["clinic_id=nowhere", "specialty_id=none"])
async def test_unknown_ids(hospital: Hospital, query: str) -> None:
    """An unknown id in a query is not found."""
    await hospital.visitor().refused("not_found", "GET", f"/booking/doctors?{query}")


async def slots(hospital: Hospital, doctor: str, query: str) -> list[dict[str, Any]]:
    answer = await hospital.visitor().ask("GET", f"/booking/doctors/{doctor}/slots?limit=100&{query}")
    result: list[dict[str, Any]] = answer["items"]
    return result


async def test_computed_slots(hospital: Hospital) -> None:
    """Where no slots are written they follow from the doctor's availability, on the clinic's clock."""
    await open_clinics(hospital)
    result = await slots(hospital, "okpara", f"from={MONDAY}&to={MONDAY}")
    assert [slot["start"][11:16] for slot in result] == ["09:00", "09:30", "10:00", "10:30", "11:00", "11:30"]
    assert {slot["status"] for slot in result} == {"free"}
    assert result[0]["start"].startswith(f"{MONDAY}T09:00:00-0")
    week = await slots(hospital, "okpara", f"from={MONDAY}&to={MONDAY + timedelta(days=6)}")
    assert len(week) == 12


async def test_written_slots(hospital: Hospital) -> None:
    """Where slots are written for a day those are the ones, with their own times and status."""
    await open_clinics(hospital)
    await hospital.put(written_slot(10, "busy-tentative"))
    result = await slots(hospital, "ferrand", f"from={MONDAY}&to={MONDAY}&clinic_id=hillside")
    assert [(slot["id"], slot["status"]) for slot in result] == [
        ("ferrand-9", "free"),
        ("ferrand-10", "busy"),
        ("ferrand-11", "free"),
    ]
    assert result[0]["end"][11:16] == "09:20"


async def test_slots_between_moments(hospital: Hospital) -> None:
    """Moments bound the slots exactly, the end not included."""
    await open_clinics(hospital)
    start = (await slots(hospital, "okpara", f"from={MONDAY}&to={MONDAY}"))[1]["start"].replace("+", "%2B")
    end = (await slots(hospital, "okpara", f"from={MONDAY}&to={MONDAY}"))[3]["start"].replace("+", "%2B")
    result = await slots(hospital, "okpara", f"from={start}&to={end}")
    assert [slot["start"][11:16] for slot in result] == ["09:30", "10:00"]


async def test_slots_of_the_past_are_busy(hospital: Hospital) -> None:
    """What has begun cannot be booked."""
    await open_clinics(hospital)
    past = MONDAY - timedelta(days=21)
    assert {slot["status"] for slot in await slots(hospital, "okpara", f"from={past}&to={past}")} == {"busy"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026-01-01", "to"),
        ("from=x&to=2026-01-01", "from"),
        ("from=2026-01-02&to=2026-01-01", "to"),
        ("from=2026-01-01&to=2026-02-01", "to"),
        ("from=2026-01-01T00:00:00&to=2026-01-02", "from"),
    ],
)
async def test_faulty_spans(hospital: Hospital, query: str, field: str) -> None:
    """A span needs both ends, in order, at most 31 days apart."""
    await open_clinics(hospital)
    problem = await hospital.visitor().refused("validation_failed", "GET", f"/booking/doctors/okpara/slots?{query}")
    assert field in problem["errors"][0]["field"]


async def test_slots_of_nobody(hospital: Hospital) -> None:
    """The slots of an unknown doctor or clinic are not found."""
    await open_clinics(hospital)
    span = f"from={MONDAY}&to={MONDAY}"
    await hospital.visitor().refused("not_found", "GET", f"/booking/doctors/nobody/slots?{span}")
    await hospital.visitor().refused("not_found", "GET", f"/booking/doctors/okpara/slots?{span}&clinic_id=none")
