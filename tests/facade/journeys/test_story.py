"""The whole story through HTTP: from signing up to being seen, treated, tested, told and followed up."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from fhir_server.cli import accounts
from tests.facade.clinic import MONDAY, booking_of, open_clinics, policy_of
from tests.facade_server import ORIGIN, PASSWORD, AppUser, Hospital

PDF = b"%PDF-1.4 lipids"


class Vendor:
    """An EHR vendor or a lab: a service with a token of its own that writes over FHIR."""

    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self.http = http
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}

    @classmethod
    async def of(cls, hospital: Hospital) -> Vendor:
        """Return a vendor with all rights, as the operator would register one."""
        store = hospital.app.state.oauth.store
        form = {"redirect_uris": [], "jwks": None, "jwks_uri": None, "launch_url": None}
        client = await accounts.add_client("EHR", "system/*.cruds", secret=True, **form)(hospital.services, store)
        answer = await hospital.http.post(
            "/oauth/token",
            data={"grant_type": "client_credentials", "scope": "system/*.cruds"},
            auth=(client["client_id"], client["client_secret"]),
        )
        return cls(hospital.http, answer.json()["access_token"])

    async def send(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Return what the FHIR interaction answers."""
        answer = await self.http.request(method, f"{ORIGIN}/fhir{path}", json=body, headers=self.headers)
        assert answer.status_code < 300, answer.text
        response: dict[str, Any] = answer.json()
        return response


def entry(resource: dict[str, Any], name: str) -> dict[str, Any]:
    request = {"method": "POST", "url": resource["resourceType"]}
    return {"fullUrl": f"urn:uuid:00000000-0000-4000-8000-00000000000{name}", "resource": resource, "request": request}


def reference(name: str) -> dict[str, str]:
    return {"reference": f"urn:uuid:00000000-0000-4000-8000-00000000000{name}"}


def treatment(subject: dict[str, str], appointment_id: str) -> dict[str, Any]:
    """Return what the EHR vendor posts after the visit."""
    order = {"status": "active", "intent": "order", "subject": subject, "authoredOn": datetime.now(UTC).isoformat()}
    plan = {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": subject,
        "description": "Less salt",
        "supportingInfo": [{"reference": f"Appointment/{appointment_id}"}],
    }
    pills = {
        "resourceType": "MedicationRequest",
        **order,
        "medicationCodeableConcept": {"text": "Lisinopril"},
        "basedOn": [reference("1")],
        "dosageInstruction": [{"text": "One a day"}],
    }
    test = {"resourceType": "ServiceRequest", **order, "code": {"text": "Lipids"}, "basedOn": [reference("1")]}
    entries = [entry(plan, "1"), entry(pills, "2"), entry(test, "3")]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def results(subject: dict[str, str], test_id: str, appointment_id: str) -> dict[str, Any]:
    """Return what the lab posts."""
    form = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "LDL"},
        "subject": subject,
        "valueQuantity": {"value": 131, "unit": "mg/dL"},
    }
    report = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": {"text": "Lipids"},
        "subject": subject,
        "basedOn": [{"reference": f"ServiceRequest/{test_id}"}],
        "issued": datetime.now(UTC).isoformat(),
        "conclusion": "Slightly high",
        "result": [reference("4")],
    }
    file = {"resourceType": "Binary", "contentType": "application/pdf", "data": base64.b64encode(PDF).decode()}
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11502-2"}]},
        "subject": subject,
        "date": datetime.now(UTC).isoformat(),
        "description": "Lipids",
        "content": [{"attachment": {"contentType": "application/pdf", "url": reference("6")["reference"]}}],
        "context": {"related": [{"reference": f"Appointment/{appointment_id}"}]},
    }
    entries = [entry(form, "4"), entry(report, "5"), entry(file, "6"), entry(document, "7")]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


async def told(user: AppUser, kinds: set[str]) -> list[dict[str, Any]]:
    """Return the user's notifications, once those kinds are among them."""
    for _ in range(300):
        items: list[dict[str, Any]] = (await user.ask("GET", "/notifications?limit=100"))["items"]
        if kinds <= {item["kind"] for item in items}:
            return items
        await asyncio.sleep(0.1)
    raise AssertionError(f"{kinds - {item['kind'] for item in items}} were never told")


async def queue_up(hospital: Hospital, vendor: Vendor, user: AppUser, appointment_id: str) -> None:
    """Let the appointment begin now, and the user arrive for it."""
    appointment = await vendor.send("GET", f"/Appointment/{appointment_id}")
    start = datetime.now(UTC) + timedelta(minutes=30)
    times = {"start": start.isoformat(), "end": (start + timedelta(minutes=30)).isoformat()}
    await vendor.send("PUT", f"/Appointment/{appointment_id}", appointment | times)
    await user.ask("POST", "/clinic/arrival", {"appointment_id": appointment_id})


async def test_the_story(hospital: Hospital) -> None:
    """A user signs up, books, pays, is seen and treated, and sees all that the vendor and the lab wrote."""
    await open_clinics(hospital)
    vendor, mara = await Vendor.of(hospital), await hospital.sign_up("mara", timezone="America/New_York")
    child = await mara.ask(
        "POST", "/user/family", {"name": "Ada", "relation": "child", "dob": "2019-05-01"}, status=201
    )
    (clinic, *_) = (await mara.ask("GET", "/booking/clinics?near=43.66,-70.25"))["items"]
    (specialty,) = (await mara.ask("GET", f"/booking/specialties?clinic_id={clinic['id']}"))["items"]
    (doctor,) = (await mara.ask("GET", f"/booking/doctors?clinic_id={clinic['id']}&specialty_id={specialty['id']}"))[
        "items"
    ]
    await vendor.send("PUT", f"/Coverage/policy-{mara.id}", policy_of(mara.id))
    policy = {"provider": "Solace Mutual", "policy_number": "SOL-1", "specialty_id": specialty["id"]}
    verified = await mara.ask("POST", "/booking/insurance/verify", policy)
    slots = (await mara.ask("GET", f"/booking/doctors/{doctor['id']}/slots?from={MONDAY}&to={MONDAY}"))["items"]
    booking = {
        "doctor_id": doctor["id"],
        "clinic_id": clinic["id"],
        "specialty_id": specialty["id"],
        "slot_id": slots[0]["id"],
        "family_member_id": child["id"],
        "insurance_coverage_id": verified["coverage_id"],
    }
    booked = await mara.ask("POST", "/booking/appointments", booking, status=201)
    due = booked["amount_due"]
    paying = {"appointment_id": booked["id"], **due, "payment_method": "card", "card_token": "tok_visa"}
    assert (await mara.ask("POST", "/booking/payment", paying, status=201))["status"] == "completed"
    file = await mara.send("GET", f"/booking/appointments/{booked['id']}/calendar")
    assert b"BEGIN:VEVENT" in file.content

    others = [await hospital.sign_up(name) for name in ("noor", "elias")]
    for user, time in zip(others, ("10:00", "10:30"), strict=True):
        other = await user.ask("POST", "/booking/appointments", booking_of(time), status=201)
        await queue_up(hospital, vendor, user, other["id"])
    await queue_up(hospital, vendor, mara, booked["id"])
    wait = await mara.ask("GET", f"/clinic/wait-time?appointment_id={booked['id']}")
    assert (wait["queue_position"], wait["current_wait_time"]) == (3, 60)
    done = await mara.ask("POST", "/clinic/visit/complete", {"appointment_id": booked["id"]})
    assert done["status"] == "visited"

    subject = {"reference": f"Patient/{mara.id}"}
    made = await vendor.send("POST", "", treatment(subject, booked["id"]))
    test_id = made["entry"][2]["response"]["location"].split("/")[-3]
    await vendor.send("POST", "", results(subject, test_id, booked["id"]))
    plan = await mara.ask("GET", f"/treatment-plan/{booked['id']}")
    assert (plan["description"], len(plan["prescriptions"]), len(plan["lab_tests"])) == ("Less salt", 1, 1)
    (prescription,) = (await mara.ask("GET", f"/medicine/prescription?appointment_id={booked['id']}"))["items"]
    assert prescription["medicine_name"] == "Lisinopril"
    (result,) = (await mara.ask("GET", f"/lab-tests/results?appointment_id={booked['id']}"))["items"]
    assert (result["result"], result["observations"][0]["value"]) == ("Slightly high", "131")
    (document,) = (await mara.ask("GET", "/history/documents"))["items"]
    assert (await mara.send("GET", document["file_url"])).content == PDF
    await told(
        mara, {"appointment_booked", "payment_completed", "result_ready", "treatment_plan_added", "document_added"}
    )

    again = {"appointment_id": booked["id"], "slot_id": slots[5]["id"]}
    follow_up = await mara.ask("POST", "/follow-up/appointment", again, status=201)
    history = (await mara.ask("GET", "/history/appointments"))["items"]
    assert {item["id"] for item in history} == {booked["id"], follow_up["id"]}
    assert (await mara.send("POST", "/user/logout")).status_code == 204
    for path in ("/user/profile", "/notifications", f"/fhir/Patient/{mara.id}"):
        assert (await mara.send("GET", path)).status_code == 401
    await hospital.visitor().ask("POST", "/user/login", {"username": "mara@example.org", "password": PASSWORD})
