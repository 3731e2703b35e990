"""Whether a policy is in force and covers a service: CoverageEligibilityRequest and CoverageEligibilityResponse.

https://hl7.org/fhir/R4/coverageeligibilityresponse.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from mappings.insurance.insurance import PolicyState
from mappings.shared import elements, reading
from mappings.shared.elements import Resource
from mappings.shared.money import Money

_BENEFIT = "http://terminology.hl7.org/CodeSystem/benefit-type"


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is asked of an insurer: a patient's policy, the day of the service, and the service by its reference."""

    patient_id: str
    coverage_id: str | None
    provider: str | None
    day: date | None
    """None where it was asked in general, as of now."""
    item: str | None = None
    """Relative reference of the HealthcareService, ServiceRequest or MedicationRequest."""
    facility_id: str | None = None
    """The Location where the service is given."""


@dataclass(frozen=True, slots=True)
class Eligibility:
    """What an insurer said of a policy; `covered` is None where it is not known whether the service is."""

    coverage_id: str | None
    state: PolicyState
    covered: bool | None = None
    copay: Money | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    reason: str | None = None
    items: tuple[str, ...] = ()
    """References of the services that were asked about; none means any."""
    days: tuple[date | None, date | None] | None = None
    """The first and the last day of the service that was asked about; None where it was asked in general."""
    asked_on: date | None = None

    @property
    def verified(self) -> bool:
        """Whether the policy is in force."""
        return self.state == "active"

    def is_about(self, coverage_id: str | None, item: str | None, day: date) -> bool:
        """Return whether this was said of that policy and service, and holds on that day."""
        meant = coverage_id is not None and self.coverage_id == coverage_id and (not self.items or item in self.items)
        return meant and self._holds_on(day)

    def _holds_on(self, day: date) -> bool:
        if self.days is not None:
            return _is_within(day, *self.days)
        # Asked in general, it says nothing of a day on the other side of the policy's first or last day.
        asked_on = self.asked_on or day
        return self._is_in_period(day) == self._is_in_period(asked_on)

    def _is_in_period(self, day: date) -> bool:
        return _is_within(day, self.valid_from, self.valid_until)


def _is_within(day: date, first: date | None, last: date | None) -> bool:
    return (first is None or first <= day) and (last is None or day <= last)


def request_to_fhir(inquiry: Inquiry, request_id: str, at: datetime) -> dict[str, Any]:
    """Return the CoverageEligibilityRequest that asks."""
    item = {"detail": [{"reference": inquiry.item}]} if inquiry.item else None
    return elements.build(
        "CoverageEligibilityRequest",
        {
            "id": request_id,
            "status": "active",
            "purpose": ["validation", "benefits"],
            "patient": elements.reference("Patient", inquiry.patient_id),
            "servicedDate": elements.optional_date(inquiry.day),
            "created": elements.instant(at),
            "insurer": {"display": inquiry.provider} if inquiry.provider else elements.ABSENT,
            "facility": elements.reference("Location", inquiry.facility_id),
            "insurance": [_insurance(inquiry)],
            "item": [item],
        },
    )


def _insurance(inquiry: Inquiry) -> elements.Element | None:
    covered = elements.reference("Coverage", inquiry.coverage_id)
    return {"coverage": covered} if covered else None


def response_to_fhir(
    eligibility: Eligibility, inquiry: Inquiry, *, response_id: str, request_id: str, at: datetime
) -> dict[str, Any]:
    """Return the CoverageEligibilityResponse that says it."""
    return elements.build(
        "CoverageEligibilityResponse",
        {
            "id": response_id,
            "extension": [elements.extension("coverage-standing", "Code", eligibility.state)],
            "status": "active",
            "purpose": ["validation", "benefits"],
            "patient": elements.reference("Patient", inquiry.patient_id),
            "servicedDate": elements.optional_date(inquiry.day),
            "created": elements.instant(at),
            "request": elements.reference("CoverageEligibilityRequest", request_id),
            "outcome": "complete",
            "disposition": eligibility.reason,
            "insurer": {"display": inquiry.provider} if inquiry.provider else elements.ABSENT,
            "insurance": [_answer(eligibility)],
        },
    )


def _answer(eligibility: Eligibility) -> elements.Element | None:
    if eligibility.coverage_id is None:
        return None
    period = {
        "start": elements.optional_date(eligibility.valid_from),
        "end": elements.optional_date(eligibility.valid_until),
    }
    return {
        "coverage": elements.reference("Coverage", eligibility.coverage_id),
        "inforce": eligibility.verified,
        "benefitPeriod": period,
        "item": [_item(eligibility)] if eligibility.covered is not None or eligibility.copay else None,
    }


def _item(eligibility: Eligibility) -> elements.Element:
    copay = eligibility.copay and {
        "type": elements.concept(_BENEFIT, "copay", "Copayment per service"),
        "allowedMoney": elements.money(eligibility.copay.amount, eligibility.copay.currency),
    }
    return {
        "category": elements.concept(
            "http://terminology.hl7.org/CodeSystem/ex-benefitcategory", "30", "Health Benefit Plan Coverage"
        ),
        "excluded": None if eligibility.covered is None else not eligibility.covered,
        "benefit": [copay],
    }


def from_fhir(response: Resource, request: Resource) -> Eligibility:
    """Return what a CoverageEligibilityResponse, of the hospital's rules or of an insurer, says to its request."""
    insurance = reading.first(response.get("insurance"))
    requested = reading.first(request.get("insurance"))
    item = reading.first(insurance.get("item"))
    period = insurance.get("benefitPeriod", {})
    state = _state(response, insurance)
    # What is not known of the policy is not known of its cover either, whatever an error says besides.
    excluded = None if state == "unknown" else item.get("excluded")
    return Eligibility(
        coverage_id=reading.reference_id(insurance.get("coverage") or requested.get("coverage"), "Coverage"),
        state=state,
        covered=None if excluded is None else not excluded,
        copay=_copay(item),
        valid_from=reading.whole_date(period.get("start")),
        valid_until=reading.last_date(period.get("end")),
        reason=response.get("disposition"),
        items=tuple(
            str(detail["reference"])
            for each in request.get("item", ())
            for detail in each.get("detail", ())
            if "reference" in detail
        ),
        days=_days(request or response),
        asked_on=reading.whole_date(response.get("created")),
    )


def _days(request: Resource) -> tuple[date | None, date | None] | None:
    day = reading.whole_date(request.get("servicedDate"))
    if day is not None:
        return day, day
    period = request.get("servicedPeriod")
    return reading.days_of(period) if period else None


def _state(response: Resource, insurance: Resource) -> PolicyState:
    stated: PolicyState | None = reading.extension(response, "coverage-standing")
    if stated in ("active", "inactive", "expired", "unknown"):
        return stated
    if response.get("outcome") == "error" or "inforce" not in insurance:
        return "unknown"
    return "active" if insurance["inforce"] is True else "inactive"


def _copay(item: Resource) -> Money | None:
    for benefit in item.get("benefit", ()):
        amount = Money.from_fhir(benefit.get("allowedMoney"))
        if amount is not None and "copay" in reading.codes([benefit.get("type", {})], _BENEFIT):
            return amount
    return None
