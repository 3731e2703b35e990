"""Makes the fixtures of the facade's tests known, and a patient with a long record."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import bson
import pytest

from fhir_server.store.database.mongo import Database
from tests.facade.clinic import booking_of, open_clinics
from tests.facade_server import AppUser, Hospital, hospital

__all__ = ["hospital"]

SECRETS = ("Maravilla", "maravilla@example.org", "Privatissimo", "Kindermund", "c2VjcmV0IGxldHRlcg")
"""What tells of the patient, wherever it stands."""
LARGE = base64.b64encode(b"secret letter" + b"\x00" * 5_000_000).decode()


@dataclass
class Story:
    """A patient with a record, and another one."""

    hospital: Hospital
    database: Database
    mara: AppUser
    noor: AppUser
    appointment: dict[str, Any]

    async def everything(self) -> dict[str, list[str]]:
        """Return every document of the database as text, by collection."""
        collected: dict[str, list[str]] = {}
        for name in await self.database.raw.list_collection_names():
            documents = await self.database.raw[name].find().to_list()
            collected[name] = [_text(document) for document in documents]
        return collected


def _text(document: dict[str, Any]) -> str:
    document = {name: value.decode() if name == "json" else value for name, value in document.items()}
    if isinstance(document.get("data"), bytes):
        document["data"] = document["data"].decode("utf-8", "replace")
    return str(bson.decode(bson.encode({**document, "json": None}))) + str(document.get("json"))


@pytest.fixture
async def story(hospital: Hospital, database: Database) -> Story:
    """Return a patient who booked and paid, with a child, a plan, results, files small and large."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("maravilla", language="es", timezone="Europe/Madrid")
    noor = await hospital.sign_up("noor")
    child = {"name": "Kindermund", "relation": "child", "dob": "2019-05-01"}
    kept = await mara.ask("POST", "/user/family", child, status=201)
    gone = await mara.ask("POST", "/user/family", child, status=201)
    await mara.ask("DELETE", f"/user/family/{gone['id']}", status=204)
    booking = booking_of("09:30", family_member_id=kept["id"], reason="Privatissimo")
    booked = await mara.ask("POST", "/booking/appointments", booking, status=201)
    payment = {"appointment_id": booked["id"], "amount": "90.00", "currency": "USD", "payment_method": "cash"}
    await mara.ask("POST", "/booking/payment", payment, status=201)
    await mara.ask("PUT", "/user/profile", {"last_name": "Maravilla-Changed"})
    await hospital.put(*_record(mara.id, noor.id, booked["id"]))
    return Story(hospital, database, mara, noor, booked)


def _record(mara: str, noor: str, appointment: str) -> list[dict[str, Any]]:
    subject = {"subject": {"reference": f"Patient/{mara}", "display": "Maravilla"}}
    code = {"code": {"text": "Privatissimo"}}
    letter = {"attachment": {"contentType": "text/plain", "url": "Binary/letter", "title": "Letter"}}
    return [
        {"resourceType": "Observation", "id": "o1", "status": "final", **code, **subject},
        {"resourceType": "Observation", "id": "o1", "status": "amended", **code, **subject},
        {"resourceType": "CarePlan", "id": "plan", "status": "active", "intent": "plan", **subject,
         "supportingInfo": [{"reference": f"Appointment/{appointment}"}], "description": "Privatissimo"},
        {"resourceType": "Binary", "id": "letter", "contentType": "text/plain", "data": "c2VjcmV0IGxldHRlcg=="},
        {"resourceType": "Binary", "id": "scan", "contentType": "image/png", "data": LARGE,
         "securityContext": {"reference": f"Patient/{mara}"}},
        {"resourceType": "DocumentReference", "id": "doc", "status": "current", "content": [letter], **subject},
        {"resourceType": "Group", "id": "g", "type": "person", "actual": True, "member": [
            {"entity": {"reference": f"Patient/{mara}"}}, {"entity": {"reference": f"Patient/{noor}"}}]},
        {"resourceType": "Patient", "id": "twin", "link": [
            {"other": {"reference": f"Patient/{mara}", "display": "Maravilla"}, "type": "seealso"}]},
        {"resourceType": "Observation", "id": "moved", "status": "final", **code, **subject},
        {"resourceType": "Observation", "id": "moved", "status": "final", "code": {"text": "x"},
         "subject": {"reference": f"Patient/{noor}"}},
        {"resourceType": "Observation", "id": "noors", "status": "final", "code": {"text": "x"},
         "subject": {"reference": f"Patient/{noor}"}},
        {"resourceType": "AuditEvent", "id": "seen", "recorded": "2024-01-01T00:00:00Z",
         "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
         "agent": [{"requestor": True}], "source": {"observer": {"display": "here"}},
         "entity": [{"what": {"reference": f"Patient/{mara}"}}]},
    ]  # fmt: skip
