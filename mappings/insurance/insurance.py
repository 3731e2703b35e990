"""A policy from the booking journey: a Coverage, paid by an Organization named like the provider.

https://hl7.org/fhir/R4/coverage.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime
from typing import Any, Literal

from mappings.shared import elements, reading
from mappings.shared.elements import Resource
from mappings.shared.money import Money
from mappings.shared.rows import Code, Id, Row, Text

PolicyState = Literal["active", "inactive", "expired", "unknown"]

_RELATIONSHIP = "http://terminology.hl7.org/CodeSystem/subscriber-relationship"


class Policy(Row):
    """An insurance policy; `status` is the code of Coverage.status."""

    user_id: Id | None = None
    provider: Text | None = None
    policy_number: Text | None = None
    member_id: Text | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    status: Code = "active"


def to_fhir(row: Policy, *, payor_id: str | None = None) -> dict[str, Any]:
    """Return the Coverage; `payor_id` is that of the provider's Organization, else it is only named."""
    return elements.build(
        "Coverage",
        {
            "id": row.id,
            "meta": elements.meta("hms-coverage"),
            "extension": elements.row_extensions(row),
            "identifier": [elements.identifier("policy", row.policy_number)],
            "status": row.status,
            "subscriberId": row.member_id,
            "beneficiary": elements.reference("Patient", row.user_id) or elements.ABSENT,
            "relationship": elements.concept(_RELATIONSHIP, "self", "Self"),
            "period": {
                "start": elements.optional_date(row.valid_from),
                "end": elements.optional_date(row.valid_until),
            },
            "payor": [_payor(row, payor_id)],
        },
    )


def _payor(row: Policy, payor_id: str | None) -> elements.Element:
    named = {"display": row.provider} if row.provider else elements.ABSENT
    return elements.reference("Organization", payor_id, row.provider) or named


def from_fhir(
    coverage: Resource,
    payor: Resource | None = None,
    *,
    created: datetime | None = None,
    deleted: datetime | None = None,
) -> Policy:
    """Return the row that a Coverage is; `payor` is the Organization that it names."""
    period = coverage.get("period", {})
    return Policy.read(
        coverage,
        user_id=reading.reference_id(coverage.get("beneficiary"), "Patient"),
        provider=(payor or {}).get("name") or reading.first(coverage.get("payor")).get("display"),
        policy_number=policy_number(coverage),
        member_id=coverage.get("subscriberId"),
        valid_from=reading.whole_date(period.get("start")),
        valid_until=reading.last_date(period.get("end")),
        status=coverage.get("status", "entered-in-error"),
        **reading.row_times(coverage, created, deleted),
    )


def policy_number(coverage: Resource) -> str | None:
    """Return the number of the policy: the hospital's identifier, else the first one."""
    other = reading.first(coverage.get("identifier"), lambda item: "value" in item)
    return reading.identifier(coverage, "policy") or other.get("value")


def state_of(policy: Policy | None, day: date) -> PolicyState:
    """Return whether a policy is in force on a day; unknown when there is none."""
    if policy is None:
        return "unknown"
    if policy.valid_until is not None and policy.valid_until < day:
        return "expired"
    if policy.status != "active" or (policy.valid_from is not None and policy.valid_from > day):
        return "inactive"
    return "active"


def copay(coverage: Resource) -> Money | None:
    """Return what the patient pays of each service, where the Coverage says it as an amount of money."""
    costs = (Money.from_fhir(cost.get("valueMoney")) for cost in coverage.get("costToBeneficiary", ()))
    return next((cost for cost in costs if cost is not None), None)


def is_covered(plans: Iterable[Resource], names: Collection[str], day: date) -> bool | None:
    """Return whether the insurer's InsurancePlans name a service (by its codes or its name); None if they name none.

    Those count that are offered on the day.
    """
    benefits = [
        benefit.get("type", {})
        for plan in plans
        if plan.get("status", "active") == "active" and reading.is_within(day, plan.get("period", {}))
        for coverage in plan.get("coverage", ())
        for benefit in coverage.get("benefit", ())
    ]
    if not benefits or not names:
        return None
    return any(_names(benefit) & {name.casefold() for name in names} for benefit in benefits)


def _names(concept: Resource) -> set[str]:
    names = [
        concept.get("text"),
        *(coding.get(part) for coding in concept.get("coding", ()) for part in ("code", "display")),
    ]
    return {text.casefold() for text in names if text}
