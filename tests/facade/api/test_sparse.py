"""What other systems write over FHIR says as little as FHIR allows, or odd things: the app shows what there is."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import pytest_asyncio

from fhir_server.own_urls import own_url
from tests.facade.api.test_hostile import require_told
from tests.facade.endpoints import ENDPOINTS, Endpoint
from tests.facade.world import World
from tests.facade_server import ORIGIN, AppUser

pytestmark = pytest.mark.asyncio(loop_scope="module")

EDGES = ("0001-01-01", "9999-12-31", "2026", "2026-02")
"""Dates at the calendar's edge, and such that are not whole."""


def sparse(patient: str) -> list[dict[str, Any]]:
    """Return resources of the patient with what FHIR requires and no more."""
    subject = {"subject": {"reference": f"Patient/{patient}"}}
    order = {"status": "active", "intent": "order", **subject}
    actor = [{"actor": {"reference": f"Patient/{patient}"}, "status": "needs-action"}]
    return [
        {"resourceType": "Appointment", "id": "bare", "status": "proposed", "participant": actor},
        {"resourceType": "CarePlan", "id": "bare", "status": "active", "intent": "plan", **subject},
        {"resourceType": "MedicationRequest", "id": "bare", **order, "medicationReference": {"reference": "#x"},
         "contained": [{"resourceType": "Medication", "id": "x"}]},
        {"resourceType": "MedicationRequest", "id": "worded", **order, "medicationCodeableConcept": {"text": "Tea"},
         "dosageInstruction": [{"timing": {"repeat": {"boundsPeriod": {"start": "2026"}}}}]},
        {"resourceType": "ServiceRequest", "id": "bare", **order},
        {"resourceType": "DiagnosticReport", "id": "bare", "status": "final", "code": {"text": "x"}, **subject,
         "basedOn": [{"reference": "ServiceRequest/bare"}, {"display": "a phone call"}]},
        {"resourceType": "DocumentReference", "id": "bare", "status": "current", "content": [{"attachment": {
            "title": "x"}}], **subject},
        {"resourceType": "DocumentReference", "id": "broken", "status": "current", **subject,
         "content": [{"attachment": {"data": "eA==", "contentType": "text/plain; charset=utf-8"}}]},
        {"resourceType": "Communication", "id": "bare", "status": "completed", "recipient": [
            {"reference": f"Patient/{patient}"}]},
        {"resourceType": "Invoice", "id": "bare", "status": "issued", **subject},
        {"resourceType": "Encounter", "id": "bare", "status": "arrived", "class": {"code": "AMB"}, **subject,
         "appointment": [{"reference": "Appointment/bare"}]},
        {"resourceType": "Coverage", "id": "bare", "status": "active", "beneficiary": {
            "reference": f"Patient/{patient}"}, "payor": [{"display": "x"}]},
        {"resourceType": "RelatedPerson", "id": "bare", "patient": {"reference": f"Patient/{patient}"}},
        {"resourceType": "Location", "id": "bare"},
        {"resourceType": "Location", "id": "odd", "name": "Odd", "position": {"latitude": 89, "longitude": 180},
         "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": "Mars/Olympus"}],
         "hoursOfOperation": [{"allDay": True}]},
        {"resourceType": "HealthcareService", "id": "bare"},
        {"resourceType": "Practitioner", "id": "bare"},
        {"resourceType": "PractitionerRole", "id": "bare"},
        {"resourceType": "PractitionerRole", "id": "odd", "practitioner": {"reference": "Practitioner/bare"},
         "location": [{"reference": "Location/odd"}, {"display": "at home"}, {"reference": "Location/bare"}],
         "availableTime": [{"allDay": True}, {"daysOfWeek": ["mon"], "availableStartTime": "23:59:00"}],
         "notAvailable": [{"description": "always", "during": {"start": "2026"}}, {"description": "x"}]},
        {"resourceType": "Schedule", "id": "bare", "actor": [{"reference": "Practitioner/bare"}]},
        *_at_the_edges(patient),
    ]  # fmt: skip


def odd(patient: str) -> list[dict[str, Any]]:
    """Return resources whose values FHIR allows and the hospital's tables do not."""
    ours, zone = "https://hms.example.org/fhir/StructureDefinition/", "http://hl7.org/fhir/StructureDefinition/timezone"
    why = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]}
    row = [{"url": f"{ours}row-{name}", "valueString": "once"} for name in ("created", "updated", "deleted", "version")]
    mars = {"url": zone, "valueCode": "Mars/Base"}
    subject, odd = {"subject": {"reference": f"Patient/{patient}"}}, {"id": "wrong"}
    participant = [{"actor": {"reference": reference}, "status": "accepted"}
                   for reference in (f"Patient/{patient}", "Location/wrong", "Practitioner/wrong")]  # fmt: skip
    return [
        {"resourceType": "Location", **odd, "name": "Wrong", "extension": [mars, *row], "_status": why,
         "position": {"latitude": 91, "longitude": 400}, "hoursOfOperation": [{"openingTime": "23:59:60"}]},
        {"resourceType": "HealthcareService", **odd, "name": "Wrong", "location": [{"reference": "Location/wrong"}],
         "extension": [{"url": f"{ours}fee", "valueString": "ninety"}, *row]},
        {"resourceType": "HealthcareService", "id": "free", "name": "Free", "location": [
            {"reference": "Location/wrong"}], "extension": [{"url": f"{ours}fee", "valueMoney": {"currency": "USD"}}]},
        {"resourceType": "Practitioner", **odd, "name": [{"family": "Wrong", "_use": why}],
         "extension": [{"url": f"{ours}experience-years", "valueString": "many"}, *row]},
        {"resourceType": "PractitionerRole", **odd, "practitioner": {"reference": "Practitioner/wrong"},
         "location": [{"reference": "Location/wrong"}], "healthcareService": [{"reference": "HealthcareService/wrong"}],
         "availableTime": [{"availableStartTime": "08:00:00.123456789", "availableEndTime": "10:59:60"}],
         "extension": [{"url": f"{ours}slot-minutes", "valueInteger": -5}]},
        {"resourceType": "Schedule", **odd, "actor": [{"reference": "PractitionerRole/wrong"}],
         "extension": [{"url": f"{ours}slot-minutes", "valuePositiveInt": 2**31 - 1}, mars]},
        {"resourceType": "Slot", **odd, "schedule": {"reference": "Schedule/wrong"}, "_status": why, "_start": why,
         "end": "2027-03-01T08:00:00Z"},
        {"resourceType": "Slot", "id": "late", "schedule": {"reference": "Schedule/wrong"}, "status": "free",
         "start": "2027-03-01T08:00:60.1234567Z", "end": "2027-03-01T08:00:00Z"},
        {"resourceType": "Appointment", **odd, "_status": why, "participant": participant, "extension": row,
         "start": "2027-03-01T08:00:60Z", "end": "2027-03-01T08:00:00Z"},
        {"resourceType": "Encounter", **odd, "_status": why, "class": {"code": "AMB"}, **subject,
         "appointment": [{"reference": "Appointment/wrong"}],
         "extension": [{"url": f"{ours}wait-time", "valueString": "long"}, *row]},
        {"resourceType": "Invoice", **odd, "_status": why, **subject, "totalGross": {"_value": why, "currency": "USD"},
         "extension": [{"url": f"{ours}refund-status", "valueCode": "lost"}, *row],
         "identifier": [{"system": own_url("identifier", "invoice-for"), "value": "Appointment/wrong"}]},
        {"resourceType": "Coverage", **odd, "_status": why, "beneficiary": {"reference": f"Patient/{patient}"},
         "payor": [{"display": "x"}], "costToBeneficiary": [{"valueMoney": {"currency": "USD"}}], "extension": row},
        {"resourceType": "MedicationRequest", **odd, "_status": why, "_intent": why, **subject, "extension": row,
         "medicationCodeableConcept": {"text": "x"}, "authoredOn": "9999-12-31", "dosageInstruction": [{"timing": {
             "repeat": {"boundsDuration": {"value": 9, "system": "http://unitsofmeasure.org", "code": "d"}}}}]},
        {"resourceType": "ServiceRequest", **odd, "_status": why, "_intent": why, **subject, "extension": row},
        {"resourceType": "DiagnosticReport", **odd, "_status": why, "code": {"text": "x"}, **subject,
         "basedOn": [{"reference": "ServiceRequest/wrong"}], "effectivePeriod": {"start": "2026"}},
        {"resourceType": "CarePlan", **odd, "_status": why, "_intent": why, **subject, "extension": row},
        {"resourceType": "DocumentReference", **odd, "_status": why, **subject, "extension": row,
         "content": [{"attachment": {"title": "x", "_data": why, "contentType": "x", "extension": [
             {"url": f"{ours}file-url", "valueString": "a b"}]}}]},
        {"resourceType": "Communication", **odd, "_status": why, "recipient": [{"reference": f"Patient/{patient}"}],
         "extension": row, "payload": [{"_contentString": why}]},
        {"resourceType": "RelatedPerson", **odd, "patient": {"reference": f"Patient/{patient}"}, "extension": row,
         "name": [{"_family": why}], "_birthDate": why},
    ]  # fmt: skip


def _at_the_edges(patient: str) -> list[dict[str, Any]]:
    subject = {"reference": f"Patient/{patient}"}
    collected: list[dict[str, Any]] = []
    for number, text in enumerate(EDGES):
        order = {"status": "active", "intent": "order", "subject": subject, "authoredOn": text, "id": f"edge-{number}"}
        bounds = {"repeat": {"boundsPeriod": {"start": text, "end": text}}}
        collected += [
            {"resourceType": "MedicationRequest", **order, "medicationCodeableConcept": {"text": "x"},
             "dosageInstruction": [{"timing": bounds}]},
            {"resourceType": "MedicationRequest", **order, "id": f"long-{number}", "medicationCodeableConcept": {
                "text": "x"}, "dosageInstruction": [{"timing": {"repeat": {"boundsDuration": {
                    "value": 10**9, "unit": "years", "system": "http://unitsofmeasure.org", "code": "a"}}}}]},
            {"resourceType": "ServiceRequest", **order},
            {"resourceType": "DiagnosticReport", "id": f"edge-{number}", "status": "final", "code": {"text": "x"},
             "subject": subject, "basedOn": [{"reference": f"ServiceRequest/edge-{number}"}],
             "effectiveDateTime": text},
            {"resourceType": "CarePlan", "id": f"edge-{number}", "status": "active", "intent": "plan",
             "subject": subject, "created": text},
            {"resourceType": "RelatedPerson", "id": f"edge-{number}", "patient": subject, "birthDate": text},
            {"resourceType": "Coverage", "id": f"edge-{number}", "status": "active", "beneficiary": subject,
             "payor": [{"display": "x"}], "period": {"start": text, "end": text}},
        ]  # fmt: skip
    for number, text in enumerate(("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00")):
        actors = [subject, {"reference": "Location/harbour"}, {"reference": "Practitioner/okpara"}]
        participant = [{"actor": actor, "status": "accepted"} for actor in actors]
        moment = {"start": text, "end": text}
        collected += [
            {"resourceType": "Appointment", "id": f"edge-{number}", "status": "booked", "participant": participant,
             **moment},
            {"resourceType": "Encounter", "id": f"stay-{number}", "status": "finished", "class": {"code": "AMB"},
             "subject": subject, "period": moment, "location": [{"location": actors[1]}],
             "participant": [{"individual": actors[2]}], "appointment": [
                 {"reference": f"Appointment/edge-{number}"}]},
            {"resourceType": "DocumentReference", "id": f"edge-{number}", "status": "current", "subject": subject,
             "date": text, "content": [{"attachment": {"url": "Binary/none"}}]},
            {"resourceType": "Communication", "id": f"edge-{number}", "status": "completed", "recipient": [subject],
             "sent": text},
            {"resourceType": "Slot", "id": f"edge-{number}", "schedule": {"reference": "Schedule/bare"},
             "status": "free", **moment},
        ]  # fmt: skip
    return collected


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def odd_world(world: World) -> World:
    """Return the world with all of that in it."""
    await world.hospital.put(*sparse(world.mara.id), *odd(world.mara.id))
    return world


def _names(row: Endpoint) -> list[dict[str, str]]:
    """Return the ids that the row's request may name, one at a time."""
    ids = ("bare", "odd", "wrong", "worded", "broken", *(f"edge-{number}" for number in range(4)), "stay-0", "stay-1")
    return [{}, *({name: value} for name in (*row.own, *row.public) for value in ids)]


@pytest.mark.parametrize("row", [row for row in ENDPOINTS if row.number not in ("4", "erase", "stream")],
                         ids=lambda row: row.title)  # fmt: skip
async def test_sparse_and_odd_resources(odd_world: World, row: Endpoint) -> None:
    """Nothing that FHIR allows makes a fault, at any endpoint."""
    transport = httpx.ASGITransport(app=odd_world.hospital.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        user = AppUser(http, odd_world.mara.session)
        for named in _names(row):
            response = await odd_world.ask(user, row, **named)
            require_told(response, named)
            if row.list and not named and row.number not in ("15", "16", "17", "32", "33"):
                assert response.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/booking/clinics?near=0,0",
        "/booking/specialties",
        "/booking/doctors",
        "/booking/doctors?date=2027-03-01",
        "/booking/doctors/bare/slots?from=2027-03-01&to=2027-03-02",
        "/lab-tests/results?from=2020-01-01&to=2030-01-01",
        "/medicine/prescription?active_only=true",
        "/history/documents?from=2020-01-01&to=2030-01-01",
        "/history/appointments?from=2020-01-01&to=2030-01-01",
        "/booking/doctors/wrong/slots?from=2027-03-01&to=2027-03-02",
        "/booking/specialties?clinic_id=wrong",
        "/booking/doctors?clinic_id=wrong",
        "/user/family",
        "/notifications",
        "/clinic/wait-time?clinic_id=odd",
        "/clinic/wait-time?clinic_id=bare&doctor_id=bare",
    ],
)
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
async def test_lists_of_odd_resources(odd_world: World, path: str, zone: str) -> None:
    """Lists of them are answered, in whichever zone the user lives."""
    await odd_world.mara.ask("PUT", "/user/profile", {"timezone": zone})
    assert (await odd_world.mara.send("GET", path)).status_code == 200


async def test_an_odd_row_hides_no_other(odd_world: World) -> None:
    """Odd values are shown as null, in rows that stand beside the others."""
    visitor = odd_world.hospital.visitor()
    by_name = {item["id"]: item for item in (await visitor.ask("GET", "/booking/clinics?limit=100"))["items"]}
    assert {"wrong", "odd", "harbour"} <= by_name.keys()
    wrong = by_name["wrong"]
    assert (wrong["name"], wrong["timezone"], wrong["latitude"], wrong["longitude"]) == ("Wrong", None, None, None)
    assert wrong["created_at"] == wrong["updated_at"]
    services = {item["id"]: item for item in (await visitor.ask("GET", "/booking/specialties?limit=100"))["items"]}
    assert services["wrong"]["fee"] is services["free"]["fee"] is None
    assert services["cardiology"]["fee"] == {"amount": 90.0, "currency": "USD"}
    doctors = (await visitor.ask("GET", "/booking/doctors?clinic_id=wrong"))["items"]
    assert [(item["id"], item["experience_years"]) for item in doctors] == [("wrong", None)]
