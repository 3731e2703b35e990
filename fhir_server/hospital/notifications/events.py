"""What in a change of a resource is news to its patient: pure, from the version before and the version now.

Old news is none: what happened long before it was written down comes from another system's past.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from fhir_server.r4.reports import reporter_of
from mappings.booking import appointments
from mappings.notifications.notifications import Kind, Related
from mappings.records import lab_tests, medical_documents, prescriptions, treatment_plans
from mappings.shared import reading
from mappings.shared.elements import Resource
from mappings.shared.money import Money

_ORDERS = frozenset({"order", "original-order", "reflex-order", "filler-order", "instance-order"})
_PLANS = frozenset({"plan", "order"})
_REFUNDS: Mapping[str, Kind] = {"pending": "refund_pending", "completed": "refund_completed"}
_EXPECTED = frozenset({"booked", "proposed", "pending", "waitlist"})


@dataclass(frozen=True, slots=True)
class Visit:
    """An appointment as a notification tells of it."""

    start: datetime | None
    doctor_id: str | None
    clinic_id: str | None
    member_id: str | None = None
    """The RelatedPerson whom the visit is for, where it is not for the user."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a patient is to be told."""

    kind: Kind
    related: Related
    once: str
    """What makes it one event: two with the same kind and text here are the same."""
    patient_id: str | None = None
    """Whom it is told; None where the related resource says so."""
    visit: Visit | None = None
    what: str | None = None
    what_reference: str | None = None
    """The resource whose name `what` is, where it has to be looked up."""
    amount: Money | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A change: the version before (None where there was none, or a deleted one), and the version now likewise."""

    type: str
    id: str
    version: int
    at: datetime
    before: Resource | None
    now: Resource | None
    news: timedelta = field(default=timedelta(days=30))
    """What is older than this when it is written is no news."""
    links: frozenset[str] = frozenset()
    """The links that the writer of this version had the right to: see `engine.links`."""

    @property
    def related(self) -> Related:
        """The resource."""
        return Related(type=self.type, id=self.id)

    @property
    def once(self) -> str:
        """The version."""
        return f"{self.type}/{self.id}/{self.version}"

    def was(self, name: str) -> Any:
        """Return an element of the version before."""
        return self.before.get(name) if self.before else None

    def is_news(self, *stated: str | None) -> bool:
        """Return whether the first stated time, if any, is recent."""
        moment = next(filter(None, map(reading.moment, stated)), None)
        return moment is None or moment >= self.at - self.news


def event_of(step: Step) -> Event | None:
    """Return the event that the change is, or None: what a patient reports is no news of the hospital's."""
    if reporter_of(step.now or {}) is not None:
        return None
    if step.type == "Appointment":
        return _appointment(step)
    return _RULES[step.type](step, step.now) if step.now is not None else None


def reminder(appointment: Resource) -> Event | None:
    """Return the reminder of a booked appointment."""
    visit, patient_id = _visit(appointment), appointments.actor_id(appointment, "Patient")
    if visit.start is None or patient_id is None:
        return None
    related = Related(type="Appointment", id=appointment["id"])
    return Event("appointment_reminder", related, f"{related.id}/{visit.start.timestamp():.0f}", patient_id, visit)


def _appointment(step: Step) -> Event | None:
    appointment = step.now or step.before
    if appointment is None or (patient_id := appointments.actor_id(appointment, "Patient")) is None:
        return None
    kind, visit = _appointment_kind(step), _visit(appointment)
    if kind is None or (visit.start is not None and visit.start <= step.at):
        return None
    return Event(kind, step.related, step.once, patient_id, visit)


def _appointment_kind(step: Step) -> Kind | None:
    was, status = step.was("status"), (step.now or {}).get("status", "cancelled")
    if status == "booked":
        if was != "booked":
            return "appointment_booked"
        before, now = (replace(_visit(version or {}), member_id=None) for version in (step.before, step.now))
        return "appointment_rescheduled" if before != now else None
    if status in ("cancelled", "entered-in-error") and was in _EXPECTED:
        return "appointment_canceled"
    return None


def _visit(appointment: Resource) -> Visit:
    return Visit(
        reading.moment(appointment.get("start")),
        appointments.actor_id(appointment, "Practitioner"),
        appointments.actor_id(appointment, "Location"),
        appointments.actor_id(appointment, "RelatedPerson"),
    )


def _report(step: Step, report: Resource) -> Event | None:
    if report.get("status") not in lab_tests.FINISHED or report.get("status") == step.was("status"):
        return None
    if not step.is_news(report.get("issued"), report.get("effectiveDateTime")):
        return None
    return _record_event(step, "result_ready", report, reading.concept_text(report.get("code")))


def _prescription(step: Step, request: Resource) -> Event | None:
    begins = request.get("status") == "active" and step.was("status") in (None, "draft")
    if not begins or request.get("intent") not in _ORDERS or not step.is_news(request.get("authoredOn")):
        return None
    # A Medication is nobody's; whatever else the reference may lead to is not told of.
    medication = reading.reference_id(request.get("medicationReference"), "Medication")
    looked_up = f"Medication/{medication}" if medication else None
    name = prescriptions.from_fhir(request).medicine_name
    return _record_event(step, "prescription_added", request, name, looked_up)


def _plan(step: Step, plan: Resource) -> Event | None:
    begins = plan.get("status") == "active" and step.was("status") in (None, "draft")
    if not begins or plan.get("intent") not in _PLANS:
        return None
    if not step.is_news(plan.get("created"), plan.get("period", {}).get("start")):
        return None
    row = treatment_plans.from_fhir(plan)
    return _record_event(step, "treatment_plan_added", plan, plan.get("title") or row.description)


def _document(step: Step, document: Resource) -> Event | None:
    if not _is_filed(document) or (step.before is not None and _is_filed(step.before)):
        return None
    patient_id = reading.reference_id(document.get("subject"), "Patient")
    by_patient = patient_id and reading.referenced(document.get("author"), "Patient") == patient_id
    if by_patient or not step.is_news(document.get("date")):
        return None
    title = medical_documents.from_fhir(document).title or reading.concept_text(document.get("type"))
    return _record_event(step, "document_added", document, title)


def _is_filed(document: Resource) -> bool:
    return document.get("status") == "current" and document.get("docStatus", "final") in ("final", "amended")


def _record_event(
    step: Step, kind: Kind, resource: Resource, what: str | None, what_reference: str | None = None
) -> Event | None:
    patient_id = reading.reference_id(resource.get("subject"), "Patient")
    if patient_id is None:
        return None
    return Event(kind, step.related, step.once, patient_id, what=what, what_reference=what_reference)


def _reconciliation(step: Step, attempt: Resource) -> Event | None:
    outcome = attempt.get("outcome")
    details = attempt.get("detail", ())
    invoice_id = reading.referenced((item.get("request", {}) for item in details), "Invoice")
    # Whom an invoice is for is told by the invoice: only who could read it may have its patient told of it.
    if (
        f"Invoice/{invoice_id}" not in step.links
        or invoice_id is None
        or outcome == step.was("outcome")
        or not step.is_news(attempt.get("created"))
    ):
        return None
    related, amount = Related(type="Invoice", id=invoice_id), Money.from_fhir(attempt.get("paymentAmount"))
    if outcome == "complete":
        return Event("payment_completed", related, invoice_id, amount=amount)
    return Event("payment_failed", related, step.once, amount=amount) if outcome == "error" else None


def _invoice(step: Step, invoice: Resource) -> Event | None:
    paid = invoice.get("status") == "balanced" and step.was("status") != "balanced"
    if paid and step.is_news(invoice.get("date")):
        # The same event as the payment's, of which there may or may not be a record besides.
        return Event("payment_completed", step.related, step.id)
    return _refund(step, invoice)


def _refund(step: Step, invoice: Resource) -> Event | None:
    """Return the event of a refund that is due now, or was made: of each state one, whoever brought it about."""
    now, before = (reading.extension(version or {}, "refund-status") for version in (invoice, step.before))
    if step.before is None or now == before or now not in _REFUNDS or invoice.get("status") != "cancelled":
        return None
    return Event(_REFUNDS[now], step.related, step.id)


_RULES: Mapping[str, Callable[[Step, Resource], Event | None]] = {
    "DiagnosticReport": _report,
    "MedicationRequest": _prescription,
    "CarePlan": _plan,
    "DocumentReference": _document,
    "PaymentReconciliation": _reconciliation,
    "Invoice": _invoice,
}
TYPES = ("Appointment", *_RULES)
"""The types in which there may be news."""
