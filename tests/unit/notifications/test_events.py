"""Which changes are news to a patient."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.hospital.notifications.events import Event, Step, event_of, reminder
from fhir_server.hospital.notifications.wording import MappingContext, communication, communication_id
from fhir_server.r4.validation import validate

AT = datetime(2031, 3, 1, 12, tzinfo=UTC)
SUBJECT = {"reference": "Patient/ana"}
INVOICE_LINK = frozenset({"Invoice/inv"})
"""What a writer who may read Ana's invoice makes of a link to it."""
PATIENT = {"resourceType": "Patient", "id": "ana"}


def step(now: dict[str, Any] | None, before: dict[str, Any] | None = None, version: int = 1) -> Step:
    """Return the change from one version to another."""
    reported = now or before or {}
    return Step(reported["resourceType"], "x", version, AT, before, now, links=INVOICE_LINK)


def kind(now: dict[str, Any] | None, before: dict[str, Any] | None = None) -> str | None:
    """Return the kind of the event that a change is."""
    event = event_of(step(now, before))
    return event.kind if event else None


def appointment(status: str = "booked", days: float = 3, **more: Any) -> dict[str, Any]:
    """Return Ana's appointment."""
    people = [{"actor": {"reference": actor}} for actor in ("Patient/ana", "Practitioner/luz")]
    start = (AT + timedelta(days=days)).isoformat()
    return {"resourceType": "Appointment", "status": status, "start": start, "participant": people, **more}


def report(status: str = "final", **more: Any) -> dict[str, Any]:
    """Return a report on Ana."""
    return {"resourceType": "DiagnosticReport", "id": "x", "status": status, "subject": SUBJECT, **more}


def order(status: str = "active", intent: str = "order", **more: Any) -> dict[str, Any]:
    """Return a prescription for Ana."""
    about = {"medicationCodeableConcept": {"text": "Amoxicillin"}, "subject": SUBJECT}
    return {"resourceType": "MedicationRequest", "id": "x", "status": status, "intent": intent, **about, **more}


def plan(status: str = "active", intent: str = "plan", **more: Any) -> dict[str, Any]:
    """Return a plan for Ana."""
    return {"resourceType": "CarePlan", "id": "x", "status": status, "intent": intent, "subject": SUBJECT, **more}


def document(status: str = "current", **more: Any) -> dict[str, Any]:
    """Return a document about Ana."""
    content = [{"attachment": {"url": "Binary/b"}}]
    about = {"resourceType": "DocumentReference", "id": "x", "status": status, "subject": SUBJECT}
    return {**about, "content": content, **more}


def payment(outcome: str, **more: Any) -> dict[str, Any]:
    """Return a payment of Ana's invoice."""
    detail = [{"request": {"reference": "Invoice/inv"}}]
    amount = {"value": Decimal("80.00"), "currency": "EUR"}
    about = {"resourceType": "PaymentReconciliation", "outcome": outcome, "detail": detail, "paymentAmount": amount}
    return {**about, **more}


def payment_step(version: int, outcome: str) -> Step:
    """Return the step in which somebody who may read the invoice tells how paying it went."""
    return Step("PaymentReconciliation", "p", version, AT, payment("queued"), payment(outcome), links=INVOICE_LINK)


def invoice(status: str) -> dict[str, Any]:
    """Return Ana's invoice."""
    return {"resourceType": "Invoice", "id": "x", "status": status, "subject": SUBJECT}


@pytest.mark.parametrize(
    ("before", "now", "reported"),
    [
        (None, appointment(), "appointment_booked"),
        (appointment("proposed"), appointment(), "appointment_booked"),
        (None, appointment("proposed"), None),
        (appointment(), appointment(days=4), "appointment_rescheduled"),
        (appointment(), appointment(comment="Bring papers"), None),
        (appointment(), appointment("arrived"), None),
        (appointment(), appointment("cancelled"), "appointment_canceled"),
        (appointment("cancelled"), appointment("cancelled", comment="x"), None),
        (appointment("fulfilled"), appointment("entered-in-error"), None),
        (appointment(), None, "appointment_canceled"),
        (appointment("cancelled"), None, None),
        (None, appointment("cancelled"), None),
        (appointment(), appointment("noshow"), None),
        (None, appointment(days=-1), None),
        (appointment(days=-2), appointment("cancelled", days=-2), None),
        (None, appointment(participant=[{"actor": {"reference": "Practitioner/luz"}}]), None),
    ],
)
def test_an_appointment(before: dict[str, Any] | None, now: dict[str, Any] | None, reported: str | None) -> None:
    """A visit ahead is told when it is booked, moved or called off, and of nothing else."""
    assert kind(now, before) == reported


@pytest.mark.parametrize(
    ("before", "now", "reported"),
    [
        (None, report(), "result_ready"),
        (report("preliminary"), report(), "result_ready"),
        (None, report("preliminary"), None),
        (report(), report(conclusion="Fine"), None),
        (report(), report("corrected"), "result_ready"),
        (None, report(issued="2030-03-01T12:00:00Z"), None),
        (None, report(issued="2031-02-20T12:00:00Z", effectiveDateTime="2030-01"), "result_ready"),
        (None, report(subject={"reference": "Group/g"}), None),
        (None, report(subject={"display": "Ana"}), None),
        (None, order(), "prescription_added"),
        (order("draft"), order(), "prescription_added"),
        (order(), order(note=[{"text": "x"}]), None),
        (order("on-hold"), order(), None),
        (None, order("stopped"), None),
        (None, order(intent="proposal"), None),
        (None, order(authoredOn="2020"), None),
        (None, order(authoredOn="2031-02-28"), "prescription_added"),
        (None, plan(), "treatment_plan_added"),
        (None, plan(intent="option"), None),
        (plan(), plan("completed"), None),
        (None, plan(period={"start": "2029-01-01"}), None),
        (None, document(), "document_added"),
        (document(), document(description="x"), None),
        (None, document("superseded"), None),
        (None, document(docStatus="preliminary"), None),
        (document(docStatus="preliminary"), document(docStatus="final"), "document_added"),
        (None, document(author=[SUBJECT]), None),
        (None, document(author=[{"reference": "Practitioner/luz"}]), "document_added"),
        (None, payment("queued"), None),
        (payment("queued"), payment("complete"), "payment_completed"),
        (payment("queued"), payment("error"), "payment_failed"),
        (payment("complete"), payment("complete", disposition="x"), None),
        (None, payment("complete", detail=[]), None),
        (invoice("issued"), invoice("balanced"), "payment_completed"),
        (invoice("balanced"), invoice("cancelled"), None),
        (report(), None, None),
    ],
)
def test_the_record_and_payments(
    before: dict[str, Any] | None, now: dict[str, Any] | None, reported: str | None
) -> None:
    """What is ready, prescribed, planned, filed or paid is told once, when it becomes so, unless it is old."""
    assert kind(now, before) == reported


def test_a_payment_and_its_invoice_are_one_event() -> None:
    """The payment completed and the invoice balanced, in whatever order, are told as one thing."""
    paid = event_of(payment_step(2, "complete"))
    balanced = event_of(Step("Invoice", "inv", 2, AT, invoice("issued"), invoice("balanced")))
    assert paid is not None
    assert balanced is not None
    assert communication_id(paid) == communication_id(balanced)


def test_two_declined_attempts_are_two_events() -> None:
    """Each attempt that fails is told."""
    failed = [event_of(payment_step(version, "error")) for version in (2, 4)]
    assert len({communication_id(event) for event in failed if event}) == 2


def test_a_reminder_is_one_for_each_time() -> None:
    """The same visit at another time is another reminder; written with another offset it is the same time."""
    texts = ("2031-03-02T10:00:00Z", "2031-03-02T12:00:00+02:00", "2031-03-02T11:00:00Z")
    events = [reminder({**appointment(), "id": "v", "start": text}) for text in texts]
    first, same, other = (communication_id(event) for event in events if event)
    assert first == same != other


@pytest.mark.parametrize("language", [None, "es", "fr"])
def test_a_communication_is_valid_fhir(language: str | None) -> None:
    """Every kind of message makes a valid Communication, in a language that the server speaks."""
    spoken = [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": language}]}}] if language else []
    around = MappingContext({**PATIENT, "communication": spoken}, invoice={**invoice("balanced"), "totalGross": {}})
    for changed in (appointment(), report(), order(), plan(), document(), payment("error")):
        event = event_of(step({**changed, "id": "x"}))
        assert isinstance(event, Event)
        made = communication(event, around, at=AT, default_clock="UTC")
        assert [fault for fault in validate(made, max_depth=100) if fault.severity == "error"] == []
        assert made["language"] == ("es" if language == "es" else "en")
        assert "None" not in made["payload"][0]["contentString"]
