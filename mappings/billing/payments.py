"""Table `payments`: an Invoice, and the PaymentReconciliation of an attempt to pay it. https://hl7.org/fhir/R4/invoice.html"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Self

from pydantic import model_validator

from fhir_server.own_urls import identifier_key, own_urls
from mappings.shared import elements, reading
from mappings.shared.elements import Resource
from mappings.shared.money import Currency, Money
from mappings.shared.rows import Id, Number, Row, Text

Method = Literal["card", "insurance", "cash"]
Status = Literal["pending", "completed", "failed"]
RefundStatus = Literal["pending", "completed"]

_OUTCOMES: dict[Status, str] = {"pending": "queued", "completed": "complete", "failed": "error"}
_STATUSES: dict[str, Status] = {"queued": "pending", "partial": "pending", "complete": "completed", "error": "failed"}
_VOID = frozenset({"cancelled", "draft", "entered-in-error"})
"""Statuses of a PaymentReconciliation that is none."""
_PAYMENT_TYPE = "http://terminology.hl7.org/CodeSystem/payment-type"


class Payment(Row):
    """A row of `payments`; it pays for an appointment or for a lab test."""

    appointment_id: Id | None = None
    lab_test_id: Id | None = None
    amount: Number
    currency: Currency | None = None
    payment_method: Method | None = None
    status: Status = "pending"
    transaction_id: Text | None = None
    refund_status: RefundStatus | None = None

    @model_validator(mode="after")
    def _for_one_thing(self) -> Self:
        if self.appointment_id and self.lab_test_id:
            raise ValueError("a payment is for an appointment or for a lab test, not for both")
        return self

    @property
    def paid_for(self) -> str | None:
        """The relative reference of what the payment is for."""
        if self.lab_test_id:
            return f"ServiceRequest/{self.lab_test_id}"
        return f"Appointment/{self.appointment_id}" if self.appointment_id else None


class PaymentResources(NamedTuple):
    """What is owed, and the attempt to pay it where there was one."""

    invoice: dict[str, Any]
    reconciliation: dict[str, Any] | None


def to_fhir(
    row: Payment, *, user_id: str, at: datetime, description: str | None = None, reconciliation_id: str | None = None
) -> PaymentResources:
    """Return the Invoice to the user, and the PaymentReconciliation if anything was paid or tried; `at` dates both."""
    tried = row.payment_method or row.transaction_id or row.status != "pending"
    return PaymentResources(
        _invoice(row, user_id, at, description),
        _reconciliation(row, at, reconciliation_id or row.id) if tried else None,
    )


def _invoice(row: Payment, user_id: str, at: datetime, description: str | None) -> dict[str, Any]:
    total = elements.money(row.amount, row.currency)
    line = {
        "sequence": 1,
        "chargeItemCodeableConcept": elements.text_concept(description),
        "priceComponent": [{"type": "base", "amount": total}],
    }
    return elements.build(
        "Invoice",
        {
            "id": row.id,
            "meta": elements.meta("hms-invoice"),
            "extension": [
                elements.extension("payment-for", "Reference", row.paid_for and {"reference": row.paid_for}),
                elements.extension("refund-status", "Code", row.refund_status),
                *elements.row_extensions(row),
            ],
            # The reference above cannot be searched for; what was paid for is also the invoice's business key.
            "identifier": [elements.identifier("invoice-for", row.paid_for)],
            "status": _invoice_status(row),
            "subject": elements.reference("Patient", user_id),
            "recipient": elements.reference("Patient", user_id),
            "date": elements.instant(at),
            "lineItem": [line] if description else None,
            "totalNet": total,
            "totalGross": total,
        },
    )


def _invoice_status(row: Payment) -> str:
    if row.refund_status:
        return "cancelled"
    return "balanced" if row.status == "completed" else "issued"


def _reconciliation(row: Payment, at: datetime, reconciliation_id: str) -> dict[str, Any]:
    total = elements.money(row.amount, row.currency)
    return elements.build(
        "PaymentReconciliation",
        {
            "id": reconciliation_id,
            "meta": elements.meta("hms-payment"),
            "extension": [elements.extension("payment-method", "Code", row.payment_method)],
            # detail.request cannot be searched for in R4; the invoice that is paid is a business key, too.
            "identifier": [elements.identifier("payment-of", f"Invoice/{row.id}")],
            "status": "active",
            "created": elements.instant(at),
            "outcome": _OUTCOMES[row.status],
            "disposition": row.payment_method,
            "paymentDate": at.date().isoformat(),
            "paymentAmount": total,
            "paymentIdentifier": elements.identifier("transaction", row.transaction_id),
            "detail": [
                {
                    "type": elements.concept(_PAYMENT_TYPE, "payment", "Payment"),
                    "request": elements.reference("Invoice", row.id),
                    "date": at.date().isoformat(),
                    "amount": total,
                }
            ],
        },
    )


def from_fhir(
    invoice: Resource,
    reconciliation: Resource | None = None,
    *,
    created: datetime | None = None,
    deleted: datetime | None = None,
) -> Payment:
    """Return the row that an Invoice and its latest PaymentReconciliation are."""
    attempt = reconciliation or {}
    # What was paid may be less than the whole: the copay, where insurance pays the rest.
    amounts = (attempt.get("paymentAmount"), invoice.get("totalGross"), invoice.get("totalNet"))
    total = next(filter(None, map(Money.from_fhir, amounts)), Money(amount=Decimal(0)))
    subject = reading.extension(invoice, "payment-for") or _business_key(invoice)
    return Payment.read(
        invoice,
        appointment_id=reading.reference_id(subject, "Appointment"),
        lab_test_id=reading.reference_id(subject, "ServiceRequest"),
        amount=total.amount,
        currency=total.currency,
        payment_method=_method(attempt),
        status=_status(invoice, attempt),
        transaction_id=attempt.get("paymentIdentifier", {}).get("value"),
        refund_status=reading.extension(invoice, "refund-status"),
        **reading.row_times(invoice, created, deleted),
    )


def _business_key(invoice: Resource) -> Resource:
    key = reading.identifier(invoice, "invoice-for")
    return {"reference": key} if key else {}


def balanced(invoice: Resource, attempt: Resource) -> dict[str, Any]:
    """Return the Invoice as the attempt paid it; without a line, where there is no fee, its total is what was paid."""
    paid = attempt.get("paymentAmount")
    totals = {} if invoice.get("lineItem") or not paid else {"totalNet": paid, "totalGross": paid}
    return {**invoice, "status": "balanced", **totals}


def with_refund_status(invoice: Resource, status: RefundStatus) -> dict[str, Any]:
    """Return the Invoice with how far its refund is."""
    mark = elements.extension("refund-status", "Code", status)
    urls = own_urls("StructureDefinition", "refund-status")
    kept = [item for item in invoice.get("extension", ()) if item.get("url") not in urls]
    return {**invoice, "extension": [*kept, mark]}


# --- Which payment counts, and which is given back -----------------------------------------------------------------


class Refund(NamedTuple):
    """What is to be given back by card: the gateway's transaction, and how much was paid in it."""

    transaction_id: str
    amount: Money


def attempts_key(invoice_id: str) -> str:
    """Return the identifier, as a search takes it, of the attempts to pay an invoice."""
    return identifier_key("payment-of", f"Invoice/{invoice_id}")


def paid_invoices(attempt: Resource) -> set[str]:
    """Return the ids of the invoices that an attempt is to pay: by its business key, else by its details."""
    keys = [{"reference": key} for key in reading.identifiers(attempt, "payment-of")]
    references = keys or [item.get("request", {}) for item in attempt.get("detail", ())]
    return {invoice_id for item in references if (invoice_id := reading.reference_id(item, "Invoice"))}


def rank(attempt: Resource) -> tuple[bool, datetime, str] | None:
    """Return what tells which of several attempts counts: the greatest; None for one that never was one."""
    if attempt.get("status") in _VOID:
        return None
    return attempt.get("outcome") == "complete", reading.dated(attempt, "created"), attempt["id"]


def counting(attempts: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the attempt to pay an invoice that counts: the one that succeeded, else the latest."""
    ranked = [(place, attempt) for attempt in attempts if (place := rank(attempt)) is not None]
    return max(ranked, key=lambda pair: pair[0], default=(None, None))[1]


def refund_due(invoice: Resource, attempts: Iterable[dict[str, Any]]) -> Refund | None:
    """Return what is to be given back by card for an invoice.

    That is what a card paid, of an invoice that was cancelled since and is marked so; a person gives back the rest.
    """
    if invoice.get("status") != "cancelled" or reading.extension(invoice, "refund-status") != "pending":
        return None
    charged = counting(item for item in attempts if item.get("outcome") == "complete" and _method(item) == "card")
    amount = Money.from_fhir((charged or {}).get("paymentAmount"))
    transaction = (charged or {}).get("paymentIdentifier", {}).get("value")
    return Refund(transaction, amount) if transaction and amount and amount.currency else None


def _method(attempt: Resource) -> Method | None:
    method = reading.extension(attempt, "payment-method") or attempt.get("disposition")
    return method if method in ("card", "insurance", "cash") else None


def _status(invoice: Resource, attempt: Resource) -> Status:
    if invoice.get("status") == "balanced":
        return "completed"
    return _STATUSES.get(attempt.get("outcome", ""), "pending")
