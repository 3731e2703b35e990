"""What is owed for appointments and lab tests: their invoices, and the copay where insurance was verified."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from fhir_server.hospital.api.fhir import Fhir
from fhir_server.own_urls import identifier_key
from mappings.billing import payments
from mappings.insurance import eligibility
from mappings.insurance.eligibility import Eligibility
from mappings.shared import reading
from mappings.shared.elements import Resource
from mappings.shared.money import Money


@dataclass(frozen=True, slots=True)
class Due:
    """What is owed for one thing: its invoice, the eligibility that applies to it, and what is left to pay."""

    invoice: dict[str, Any] | None
    eligibility: Eligibility | None
    amount: Money | None

    @property
    def is_paid(self) -> bool:
        """Whether the invoice has been paid."""
        return self.invoice is not None and self.invoice.get("status") == "balanced"


async def invoices_for(fhir: Fhir, references: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the invoices for things, by their references; the one that counts, where there are several."""
    keys = ",".join(identifier_key("invoice-for", reference) for reference in sorted(set(references)))
    if not keys:
        return {}
    invoices = (await fhir.all("Invoice", [("identifier", keys)])).matches
    ranks = {"balanced": 0, "issued": 1, "draft": 2, "cancelled": 3, "entered-in-error": 4}
    invoices.sort(key=lambda item: (ranks.get(item.get("status", ""), 9), item["id"]), reverse=True)
    return {reference: item for item in invoices if (reference := payments.from_fhir(item).paid_for)}


async def eligibilities(fhir: Fhir, patient_id: str) -> list[Eligibility]:
    """Return what insurers have said of a patient's policies, the latest first."""
    criteria = [
        ("patient", f"Patient/{patient_id}"),
        ("_include", "CoverageEligibilityResponse:request"),
        ("_sort", "-created"),
    ]
    page = await fhir.search("CoverageEligibilityResponse", [*criteria, ("_count", "100")])
    read = []
    for response in page.matches:
        request_id = reading.reference_id(response.get("request"), "CoverageEligibilityRequest")
        request = page.included.get(f"CoverageEligibilityRequest/{request_id}")
        read.append(eligibility.from_fhir(response, request or {}))
    return read


def due_for(
    invoice: dict[str, Any] | None,
    said_before: Sequence[Eligibility],
    coverage_id: str | None,
    item: str | None,
    day: date,
) -> Due:
    """Return what is owed by an invoice, given the policy to be used, the service by its reference, and its day."""
    # The latest word counts: a policy that was in force, and is not any more, pays nothing.
    eligibility = next((each for each in said_before if each.is_about(coverage_id, item, day)), None)
    applies = eligibility if eligibility and eligibility.verified else None
    return Due(invoice, applies, _amount(invoice, applies))


def _amount(invoice: Resource | None, applies: Eligibility | None) -> Money | None:
    if invoice is None or invoice.get("status") not in ("issued", "balanced", "draft"):
        return None
    row = payments.from_fhir(invoice)
    if row.status == "completed":
        return Money(amount=Decimal(0), currency=row.currency)
    copay = applies.copay if applies and applies.covered else None
    full = Money(amount=row.amount, currency=row.currency)
    return copay if copay and copay.currency == full.currency and copay.amount <= full.amount else full
