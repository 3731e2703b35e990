"""A link never widens a right: what a caller writes into a reference opens nothing that the caller could not open."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.auth.permission.bearer import BearerToken
from fhir_server.auth.permission.scopes import parse_scopes
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.engine import handle
from fhir_server.engine.gdpr.erasure import erase_patient
from fhir_server.errors import FhirError
from fhir_server.hospital.api.references import relative
from fhir_server.hospital.notifications.events import Step, event_of
from tests.facade.clinic import booking_of, open_clinics, written_slot
from tests.facade.visits.test_clinic import body, due_now, staff_of
from tests.facade_server import ORIGIN, AppUser, Hospital

BASE = f"{ORIGIN}/fhir"
SECRET = b"what only B may read"
FILE = {
    "resourceType": "Binary",
    "id": "bs-file",
    "contentType": "text/plain",
    "data": base64.b64encode(SECRET).decode(),
}


def document_of(user: AppUser, link: str, **overrides: Any) -> dict[str, Any]:
    """Return a document of the user's with that file."""
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": f"Patient/{user.id}"},
        "content": [{"attachment": {"contentType": "text/plain", "url": link}}],
        **overrides,
    }


async def as_system(hospital: Hospital, scopes: str, method: str, path: str, resource: dict[str, Any]) -> Response:
    """Write as a service that has just these scopes."""
    now = datetime.now(UTC)
    token = BearerToken("lab", parse_scopes(scopes), now + timedelta(hours=1), now)
    context = Context(hospital.services, BASE, access=ScopedAccess(token, base_url=BASE))
    return await handle(context, Request(method, path, resource=resource))


async def write_document(hospital: Hospital, document: dict[str, Any]) -> str:
    """Store a document as an app that may write those and read no files; return its id."""
    answer = await as_system(hospital, "system/DocumentReference.cruds", "POST", "DocumentReference", document)
    return str(answer.location).split("/")[1]


async def names_a_file(hospital: Hospital, user: AppUser, link: str) -> str:
    """Have the user claim a file, over FHIR if that is open to patients, else by an app that may write documents."""
    answer = await user.send("POST", "/fhir/DocumentReference", document_of(user, link))
    if answer.status_code == 201:
        return str(answer.json()["id"])
    return await write_document(hospital, document_of(user, link))


@pytest.mark.parametrize(
    "link",
    ["Binary/bs-file", f"{BASE}/Binary/bs-file", "Binary/bs-file/_history/1", f"{BASE}/Binary/bs-file/_history/1"],
)
@pytest.mark.parametrize("guard", [None, "Practitioner/okpara", "Organization/clinic"])
async def test_a_claimed_file_is_neither_shown_nor_told_nor_destroyed(
    hospital: Hospital, link: str, guard: str | None
) -> None:
    """A file that a patient names, and could not read, is not downloaded, not exported, and outlives the patient."""
    await open_clinics(hospital)
    eve = await hospital.sign_up("eve")
    context = {"securityContext": {"reference": guard}} if guard else {}
    await hospital.put({**FILE, **context}, {**FILE, **context, "contentType": "text/html"})
    document = await names_a_file(hospital, eve, link)
    await eve.refused("not_found", "GET", f"/history/documents/download?document_id={document}")
    export = await eve.send("GET", "/user/export")
    assert FILE["data"] not in export.text
    await erase_patient(hospital.services, BASE, eve.id)
    assert (await hospital.fhir("GET", "Binary/bs-file"))["data"] == FILE["data"]
    assert (await hospital.fhir("GET", "Binary/bs-file/_history"))["total"] == 2


@pytest.mark.parametrize("place", ["context", "extension"])
async def test_a_claim_in_another_element_opens_nothing(hospital: Hospital, place: str) -> None:
    """Wherever in a resource the link stands, it is not followed for its writer."""
    eve = await hospital.sign_up("eve")
    await hospital.put(FILE)
    claims: dict[str, Any] = {
        "context": {"context": {"related": [{"reference": "Binary/bs-file"}]}},
        "extension": {"extension": [{"url": "urn:x", "valueAttachment": {"url": "Binary/bs-file"}}]},
    }
    await write_document(hospital, document_of(eve, "urn:none", **claims[place]))
    assert FILE["data"] not in (await eve.send("GET", "/user/export")).text
    await erase_patient(hospital.services, BASE, eve.id)
    assert (await hospital.fhir("GET", "Binary/bs-file"))["data"] == FILE["data"]


async def test_a_file_that_comes_later_is_not_opened_by_an_older_claim(hospital: Hospital) -> None:
    """A link to an id that nobody has yet is no right to what is stored there one day."""
    eve = await hospital.sign_up("eve")
    document = await names_a_file(hospital, eve, "Binary/bs-file")
    await hospital.put(FILE)
    await eve.refused("not_found", "GET", f"/history/documents/download?document_id={document}")


async def test_what_the_hospital_linked_stays_open(hospital: Hospital) -> None:
    """The hospital's link counts, also after an app has changed the document; a link that the app adds does not."""
    eve = await hospital.sign_up("eve")
    other = {**FILE, "id": "other-file", "data": base64.b64encode(b"for E").decode()}
    await hospital.put(FILE, other, {**document_of(eve, "Binary/other-file"), "id": "letter"})
    path = "/history/documents/download?document_id=letter"
    assert (await eve.send("GET", path)).content == b"for E"
    stored = await hospital.fhir("GET", "DocumentReference/letter")
    scopes = "system/DocumentReference.cruds"
    changed = {**stored, "description": "mine"}
    await as_system(hospital, scopes, "PUT", "DocumentReference/letter", changed)
    assert (await eve.send("GET", path)).content == b"for E"
    changed["content"] = document_of(eve, "Binary/bs-file")["content"]
    await as_system(hospital, scopes, "PUT", "DocumentReference/letter", changed)
    await eve.refused("not_found", "GET", path)


async def test_a_file_of_several_outlives_one_of_them(hospital: Hospital) -> None:
    """A leaflet that documents of two patients lead to stays when one of them is erased, also an earlier version's."""
    eve, bea = await hospital.sign_up("eve"), await hospital.sign_up("bea")
    await hospital.put(
        FILE,
        {**document_of(eve, "Binary/bs-file"), "id": "eves"},
        {**document_of(bea, "Binary/bs-file"), "id": "beas"},
    )
    await erase_patient(hospital.services, BASE, eve.id)
    download = await bea.send("GET", "/history/documents/download?document_id=beas")
    assert download.content == SECRET
    await erase_patient(hospital.services, BASE, bea.id)
    with pytest.raises(FhirError):
        await hospital.fhir("GET", "Binary/bs-file")


@pytest.mark.parametrize(
    "subject",
    [
        {"identifier": {"system": "urn:mrn", "value": "B"}},
        {"display": "Bea"},
        {"reference": "#bea"},
        {"reference": "Group/ward"},
        {"reference": "https://elsewhere.example/fhir/Patient/{eve}"},
        {"reference": "urn:uuid:7d5c0f6e-6c39-4d0e-9f0c-8d5f6a3b1c52"},
    ],
)
async def test_only_what_is_positively_the_patients_is_erased(hospital: Hospital, subject: dict[str, Any]) -> None:
    """A result whose subject may be anybody stays, without the one who took part in it."""
    eve = await hospital.sign_up("eve")
    by_name = {name: text.format(eve=eve.id) if isinstance(text, str) else text for name, text in subject.items()}
    contained = [{"resourceType": "Patient", "id": "bea"}] if subject.get("reference") == "#bea" else []
    await hospital.put(
        {
            "resourceType": "Observation",
            "id": "anybodys",
            "status": "final",
            "code": {"text": "x"},
            "subject": by_name,
            "performer": [{"reference": f"Patient/{eve.id}"}],
            **({"contained": contained} if contained else {}),
        }
    )
    await erase_patient(hospital.services, BASE, eve.id)
    kept = await hospital.fhir("GET", "Observation/anybodys")
    assert kept["performer"] == [{"display": "Erased"}]


async def test_what_was_corrected_and_then_deleted_is_the_others(hospital: Hospital) -> None:
    """A result that was moved to B and deleted there is B's: E's erasure takes only the version that named E."""
    eve, bea = await hospital.sign_up("eve"), await hospital.sign_up("bea")
    result = {"resourceType": "Observation", "id": "moved", "status": "final", "code": {"text": "x"}}
    await hospital.put(*({**result, "subject": {"reference": f"Patient/{each.id}"}} for each in (eve, bea)))
    await hospital.fhir("DELETE", "Observation/moved")
    await erase_patient(hospital.services, BASE, eve.id)
    kept = await hospital.fhir("GET", "Observation/moved/_history")
    subjects = [entry["resource"]["subject"]["reference"] for entry in kept["entry"] if "resource" in entry]
    assert subjects == [f"Patient/{bea.id}"]


@pytest.mark.parametrize("way", ["cancel", "move", "erase"])
async def test_a_claimed_slot_is_not_freed(hospital: Hospital, way: str) -> None:
    """A slot is freed by an appointment only where whoever booked it could take the slot."""
    await open_clinics(hospital)
    eve = await hospital.sign_up("eve")
    booked = await eve.ask("POST", "/booking/appointments", booking_of(), status=201)
    appointment = await hospital.fhir("GET", f"Appointment/{booked['id']}")
    await hospital.put(written_slot(9, "busy"))
    claimed = {**appointment, "slot": [*appointment["slot"], {"reference": "Slot/ferrand-9"}]}
    await as_system(hospital, "system/Appointment.cruds", "PUT", f"Appointment/{booked['id']}", claimed)
    path = f"/booking/appointments/{booked['id']}"
    if way == "cancel":
        await eve.ask("DELETE", path)
    elif way == "move":
        when = {name: booking_of("10:00")[name] for name in ("appointment_date", "appointment_time")}
        await eve.ask("PUT", path, when)
    else:
        await erase_patient(hospital.services, BASE, eve.id)
    assert (await hospital.fhir("GET", "Slot/ferrand-9"))["status"] == "busy"
    own = appointment["slot"][0]["reference"]
    assert (await hospital.fhir("GET", own))["status"] == "free"


async def test_a_slot_that_another_holds_by_now_is_not_freed(hospital: Hospital) -> None:
    """Cancelling does not take the time from somebody to whom the hospital has given it since."""
    await open_clinics(hospital)
    eve, bea = await hospital.sign_up("eve"), await hospital.sign_up("bea")
    first = await eve.ask("POST", "/booking/appointments", booking_of(), status=201)
    slot = await hospital.fhir("GET", f"Slot/{first['slot_id']}")
    await hospital.put({**slot, "status": "free"})
    await bea.ask("POST", "/booking/appointments", booking_of(), status=201)
    await eve.ask("DELETE", f"/booking/appointments/{first['id']}")
    assert (await hospital.fhir("GET", f"Slot/{first['slot_id']}"))["status"] == "busy"


async def test_an_invoice_is_not_told_of_by_who_cannot_read_it(hospital: Hospital) -> None:
    """A payment record that names an invoice which its writer may not read makes no notification."""
    bea = await hospital.sign_up("bea")
    invoice = {
        "resourceType": "Invoice",
        "id": "bill",
        "status": "issued",
        "subject": {"reference": f"Patient/{bea.id}"},
    }
    await hospital.put(invoice)
    attempt = {
        "resourceType": "PaymentReconciliation",
        "id": "claimed",
        "status": "active",
        "created": "2031-01-01T00:00:00Z",
        "paymentDate": "2031-01-01",
        "outcome": "complete",
        "paymentAmount": {"value": 1, "currency": "USD"},
        "detail": [{"type": {"text": "payment"}, "request": {"reference": "Invoice/bill"}}],
    }
    stamped = []
    for scopes in ("system/PaymentReconciliation.cruds", "system/PaymentReconciliation.cruds system/Invoice.r"):
        await as_system(hospital, scopes, "PUT", "PaymentReconciliation/claimed", attempt)
        version = await hospital.services.resources.read("PaymentReconciliation", "claimed")
        step = Step("PaymentReconciliation", "claimed", 1, version.updated, None, attempt, links=version.links)
        stamped.append(event_of(step) is not None)
        attempt = {**attempt, "disposition": "again"}
    assert stamped == [False, True]


def test_a_patient_of_another_server_is_nobody_here() -> None:
    """A subject at another base is not the patient with the same id here; one below this base is."""
    at = datetime(2031, 1, 1, tzinfo=UTC)
    report = {"resourceType": "DiagnosticReport", "id": "r", "status": "final", "code": {"text": "x"}}
    for base, reported in (("https://elsewhere.example/fhir", False), (BASE, True)):
        now = relative({**report, "subject": {"reference": f"{base}/Patient/bea"}}, BASE)
        assert (event_of(Step("DiagnosticReport", "r", 1, at, None, now)) is not None) is reported


@pytest.mark.parametrize("target", ["Condition/bs", "Observation/bs", "Patient/bea", "#inside"])
def test_only_a_medication_is_looked_up_for_a_prescription(target: str) -> None:
    """A prescription whose medication is a reference to something else is told without what that is."""
    order = {
        "resourceType": "MedicationRequest",
        "id": "m",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/eve"},
        "medicationReference": {"reference": target},
    }
    event = event_of(Step("MedicationRequest", "m", 1, datetime(2031, 1, 1, tzinfo=UTC), None, order))
    assert event is not None
    assert event.what_reference is None


async def test_a_visit_of_another_is_not_ended(hospital: Hospital) -> None:
    """An Encounter of E that claims to be the visit of B's appointment is not the visit of it."""
    await open_clinics(hospital)
    eve, bea = await hospital.sign_up("eve"), await hospital.sign_up("bea")
    appointment = await due_now(hospital, bea)
    await hospital.put(
        {
            "resourceType": "Encounter",
            "id": "eves",
            "status": "arrived",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "subject": {"reference": f"Patient/{eve.id}"},
            "appointment": [{"reference": f"Appointment/{body(appointment)['appointment_id']}"}],
        }
    )
    staff = await staff_of(hospital, "okpara")
    await staff.refused("not_arrived", "POST", "/clinic/visit/complete", body(appointment))
    assert (await hospital.fhir("GET", "Encounter/eves"))["status"] == "arrived"
