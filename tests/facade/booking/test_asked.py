"""What the app's endpoints ask of the engine: each resource once, and of lists no more than is shown."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from fhir_server.engine.context import Context, Request, Response
from fhir_server.hospital.api import fhir as facade_fhir
from tests.facade.clinic import booking_of, open_clinics, policy_of
from tests.facade_server import AppUser, Hospital


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests that the facade makes."""
    made: list[Request] = []
    handle = facade_fhir.handle

    async def noted(context: Context, request: Request) -> Response:
        made.append(request)
        return await handle(context, request)

    monkeypatch.setattr(facade_fhir, "handle", noted)
    return made


@pytest.mark.parametrize(
    "body",
    [
        {},
        {
            "doctor_id": "ferrand",
            "clinic_id": "hillside",
            "specialty_id": "skin",
            "slot_id": "ferrand-9",
            "appointment_date": None,
            "appointment_time": None,
        },
    ],
)
async def test_a_booking_reads_each_resource_once(
    hospital: Hospital, asked: list[Request], body: dict[str, Any]
) -> None:
    """Booking reads what it needs once, by whichever way: no read, and no search, is made twice."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    member = await mara.ask("POST", "/user/family", {"name": "A", "relation": "child", "dob": "2019-05-01"}, status=201)
    await hospital.put(policy_of(mara.id))
    people = {"family_member_id": member["id"], "insurance_coverage_id": f"policy-{mara.id}"}
    asked.clear()
    expected = {name: value for name, value in {**booking_of(**people), **body}.items() if value is not None}
    await mara.ask("POST", "/booking/appointments", expected, status=201)
    reads = [f"{item.path}?{item.query}" for item in asked if item.method == "GET"]
    # The appointment is looked for before it is made, and read when it is.
    again = [what for what, count in Counter(reads).items() if count > 1 and not what.startswith("Appointment/")]
    assert again == []
    kinds = Counter(item.path.partition("/")[0] for item in asked if item.method == "GET")
    assert kinds["Location"] == kinds["Practitioner"] == 0, "they come with the role"
    assert kinds["HealthcareService"] == kinds["Coverage"] == kinds["RelatedPerson"] == 1


async def with_many(hospital: Hospital) -> AppUser:
    """Return a user with twelve appointments and prescriptions."""
    mara = await hospital.sign_up("mara")
    subject = {"reference": f"Patient/{mara.id}"}
    for number in range(12):
        await hospital.put(
            {"resourceType": "Appointment", "id": f"a{number:02d}", "start": f"2026-01-{number + 1:02d}T10:00:00Z",
             "end": f"2026-01-{number + 1:02d}T10:30:00Z", "status": ("booked", "fulfilled", "noshow")[number % 3],
             "participant": [{"actor": subject, "status": "accepted"}]},
            {"resourceType": "MedicationRequest", "id": f"m{number:02d}", "intent": "order", "subject": subject,
             "status": "draft" if number == 11 else "active", "authoredOn": f"2026-01-{number + 1:02d}",
             "medicationCodeableConcept": {"text": "X"}},
        )  # fmt: skip
    return mara


LISTS = [
    ("/history/appointments", "Appointment", [f"a{number:02d}" for number in range(11, -1, -1)]),
    ("/history/appointments?status=canceled", "Appointment", ["a11", "a08", "a05", "a02"]),
    ("/history/appointments?status=completed", "Appointment", ["a10", "a07", "a04", "a01"]),
    ("/history/appointments?from=2026-01-03&to=2026-01-07", "Appointment", ["a06", "a05", "a04", "a03", "a02"]),
    ("/medicine/prescription", "MedicationRequest", [f"m{number:02d}" for number in range(10, -1, -1)]),
]


@pytest.mark.parametrize(("path", "resource_type", "ids"), LISTS, ids=lambda value: str(value)[:40])
async def test_a_list_reads_the_page_that_it_shows(
    hospital: Hospital, asked: list[Request], path: str, resource_type: str, ids: list[str]
) -> None:
    """Filter, order, number and next page are the engine's: a page reads its rows, and all pages together the list."""
    mara = await with_many(hospital)
    collected: list[str] = []
    cursor = None
    while True:
        asked.clear()
        more = {"cursor": cursor} if cursor else {}
        params = dict(pair.split("=") for pair in path.partition("?")[2].split("&") if pair) | {"limit": 3} | more
        page = await mara.ask("GET", path.partition("?")[0], params=params)
        assert len(page["items"]) <= 3
        assert page["total"] == len(ids)
        searches = [item for item in asked if item.path.partition("/")[0] == resource_type]
        assert len(searches) == 1
        collected += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert collected == ids


async def test_moved_appointments_are_told_apart(hospital: Hospital) -> None:
    """Scheduled and rescheduled ones are two lists, though FHIR has one status for both."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    first = await mara.ask("POST", "/booking/appointments", booking_of(), status=201)
    second = await mara.ask("POST", "/booking/appointments", booking_of("10:00"), status=201)
    when = {"appointment_date": first["appointment_date"], "appointment_time": "11:00"}
    await mara.ask("PUT", f"/booking/appointments/{first['id']}", when)
    for status, row in (("rescheduled", first), ("scheduled", second)):
        page = await mara.ask("GET", f"/history/appointments?status={status}")
        assert [item["id"] for item in page["items"]] == [row["id"]]


async def test_a_page_of_prescriptions_reads_its_own_plans(hospital: Hospital, asked: list[Request]) -> None:
    """A page of prescriptions asks for the plans that name them, in one search, and for no visit of the patient's."""
    mara = await with_many(hospital)
    subject = {"reference": f"Patient/{mara.id}"}
    for number in range(8):
        activity = [{"reference": {"reference": f"MedicationRequest/m{number:02d}"}}]
        await hospital.put(
            {"resourceType": "CarePlan", "id": f"p{number}", "status": "active", "intent": "plan", "subject": subject,
             "activity": activity},
        )  # fmt: skip
    asked.clear()
    page = await mara.ask("GET", "/medicine/prescription?limit=5")
    plans = [(item["id"], item["treatment_plan_id"]) for item in page["items"]]
    assert plans == [("m10", None), ("m09", None), ("m08", None), ("m07", "p7"), ("m06", "p6")]
    assert Counter(item.path for item in asked)["CarePlan"] == 1
    named = next(dict(item.query)["activity-reference"] for item in asked if item.path == "CarePlan")
    assert named.count(",") == 4
    assert "Encounter" not in {item.path for item in asked}


async def test_documents_are_narrowed_by_their_type(hospital: Hospital, asked: list[Request]) -> None:
    """A type of documents is asked of the engine by its code, and only laboratory reports need the reports read."""
    mara = await hospital.sign_up("mara")
    subject = {"reference": f"Patient/{mara.id}"}
    for document_id, code in (("scan", "18748-4"), ("lab", "11502-2"), ("note", "34133-9")):
        kind = {"coding": [{"system": "http://loinc.org", "code": code}]}
        await hospital.put({"resourceType": "DocumentReference", "id": document_id, "status": "current",
                            "subject": subject, "type": kind, "content": [{"attachment": {"title": "x"}}]})  # fmt: skip
    for document_type, expected in (("scan", ["scan"]), ("lab_report", ["lab"]), ("other", ["note"])):
        asked.clear()
        page = await mara.ask("GET", f"/history/documents?document_type={document_type}")
        assert [item["id"] for item in page["items"]] == expected
        paths = [item.path for item in asked]
        assert paths.count("DocumentReference") == 1
        assert paths.count("DiagnosticReport") == (1 if document_type == "lab_report" else 0)
        types = [dict(item.query).get("type") for item in asked if item.path == "DocumentReference"]
        assert (types == [None]) == (document_type == "other")
