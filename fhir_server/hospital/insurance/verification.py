"""Verifying insurance: finding the policy, asking the insurer or the local rules, and writing both down."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, Field

from fhir_server.engine.context import now
from fhir_server.hospital.api.answers import MoneyAnswer
from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.api.fields import Body, Line
from fhir_server.hospital.api.problem import Problem, invalid
from fhir_server.hospital.insurance.payer import PayerUnreachable, submit
from fhir_server.search.params.strings import fold
from mappings.insurance import eligibility, insurance
from mappings.insurance.eligibility import Eligibility, Inquiry
from mappings.insurance.insurance import Policy, PolicyState
from mappings.shared import reading
from mappings.shared.elements import Resource
from translations.catalogue import N_, Language, translated


class PolicyQuery(Body):
    """The policy, as its holder reads it off the card; where it may be left out, the one on file."""

    provider: Annotated[Line, Field(max_length=200)] | None = None
    policy_number: Annotated[Line, Field(max_length=100)] | None = None
    member_id: Annotated[Line, Field(max_length=100)] | None = None


class VerificationAnswer(BaseModel):
    """Whether the policy is in force, and covers the service; `covered` is null where that is not known."""

    verified: bool
    status: PolicyState
    coverage_id: str | None
    covered: bool | None
    copay: MoneyAnswer | None
    valid_from: date | None
    valid_until: date | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Service:
    """The service that is asked about: when, what and where it is given."""

    day: date | None
    """None where it is asked in general, as of today."""
    today: date
    resource: dict[str, Any] | None = None
    """The HealthcareService, ServiceRequest or MedicationRequest."""
    facility_id: str | None = None

    @property
    def reference(self) -> str | None:
        """The relative reference of the resource."""
        return f"{self.resource['resourceType']}/{self.resource['id']}" if self.resource else None


@dataclass(frozen=True, slots=True)
class _HeldPolicy:
    coverage: dict[str, Any]
    policy: Policy


async def verify(caller: Caller, policy: PolicyQuery, service: Service) -> VerificationAnswer:
    """Return what the insurer says of the caller's policy; raises Problem where the insurer cannot be reached."""
    held = await _policy_on_file(caller, policy, service.day or service.today)
    if held is None and (policy.provider is None or policy.policy_number is None):
        raise invalid("policy_number", "policy")
    moment = now()
    inquiry = Inquiry(
        caller.patient_id,
        held.policy.id if held else None,
        held.policy.provider if held else policy.provider,
        service.day,
        service.reference,
        service.facility_id,
    )
    request = eligibility.request_to_fhir(inquiry, str(uuid.uuid4()), moment)
    request = await caller.acting.create(request)
    verdict = await _eligibility(caller, held, request, service)
    response = eligibility.response_to_fhir(
        verdict, inquiry, response_id=str(uuid.uuid4()), request_id=request["id"], at=moment
    )
    await caller.acting.create(response)
    return _answer(verdict)


def _answer(eligibility: Eligibility) -> VerificationAnswer:
    return VerificationAnswer(
        verified=eligibility.verified,
        status=eligibility.state,
        coverage_id=eligibility.coverage_id,
        covered=eligibility.covered,
        copay=MoneyAnswer.model_validate(eligibility.copay) if eligibility.copay else None,
        valid_from=eligibility.valid_from,
        valid_until=eligibility.valid_until,
        reason=eligibility.reason,
    )


# --- The policy on file ------------------------------------------------------------------------------------------


async def _policy_on_file(caller: Caller, policy: PolicyQuery, day: date) -> _HeldPolicy | None:
    """Return the caller's policy that is meant: of several the one that is in force on that day."""
    coverages = (await caller.acting.all("Coverage", [("beneficiary", f"Patient/{caller.patient_id}")])).matches
    payors = await caller.public.many(
        "Organization", (reading.referenced(item.get("payor"), "Organization") for item in coverages)
    )
    held = [
        _HeldPolicy(
            item, insurance.from_fhir(item, payors.get(reading.referenced(item.get("payor"), "Organization") or ""))
        )
        for item in coverages
    ]
    meant = [item for item in held if _is_meant(item, policy)]
    return min(meant, key=lambda item: insurance.state_of(item.policy, day) != "active", default=None)


def _number(text: str | None) -> str:
    """Return a number as cards print it, in any case; its punctuation counts, other than a name's."""
    return (text or "").casefold().strip()


def _is_meant(held: _HeldPolicy, policy: PolicyQuery) -> bool:
    numbers = {_number(item.get("value")) for item in held.coverage.get("identifier", ())}
    return (
        (policy.policy_number is None or _number(policy.policy_number) in numbers)
        and (policy.provider is None or fold(policy.provider) == fold(held.policy.provider or ""))
        and (policy.member_id is None or _number(policy.member_id) == _number(held.policy.member_id))
    )


# --- What is said of it ------------------------------------------------------------------------------------------


async def _eligibility(
    caller: Caller, held: _HeldPolicy | None, request: dict[str, Any], service: Service
) -> Eligibility:
    language = await caller.language()
    if held is None:
        return Eligibility(None, "unknown", reason=_reason("unknown", language))
    settings = caller.server.settings
    if settings.payer_url:
        try:
            beside = [await _identity(caller), held.coverage, *([service.resource] if service.resource else [])]
            eligibility = await submit(settings, caller.server.base_url, request, beside)
        except PayerUnreachable as error:
            raise Problem("payer_unavailable", headers={"Retry-After": "30"}) from error
        return replace(
            eligibility,
            coverage_id=held.policy.id,
            # It holds as long as the policy does, whether or not the insurer says how long that is.
            valid_from=eligibility.valid_from or held.policy.valid_from,
            valid_until=eligibility.valid_until or held.policy.valid_until,
        )
    return await _by_rules(caller, held, service, language)


async def _identity(caller: Caller) -> dict[str, Any]:
    """Return of the Patient what an insurer finds its member by, and no more."""
    patient = await caller.patient()
    names = ("resourceType", "id", "identifier", "name", "gender", "birthDate")
    return {name: patient[name] for name in names if name in patient}


async def _by_rules(caller: Caller, held: _HeldPolicy, service: Service, language: Language) -> Eligibility:
    state = insurance.state_of(held.policy, service.day or service.today)
    payor_id = reading.referenced(held.coverage.get("payor"), "Organization")
    plans: list[dict[str, Any]] = []
    if payor_id is not None:
        plans = (await caller.public.all("InsurancePlan", [("owned-by", f"Organization/{payor_id}")])).matches
    copay = insurance.copay(held.coverage)
    covered = insurance.is_covered(plans, _names_of(service.resource), service.day or service.today)
    covered = covered if covered is not None else (True if copay else None)
    return Eligibility(
        coverage_id=held.policy.id,
        state=state,
        covered=covered if state == "active" else False,
        copay=copay if state == "active" and covered else None,
        valid_from=held.policy.valid_from,
        valid_until=held.policy.valid_until,
        reason=_reason(state, language),
    )


_REASONS: dict[PolicyState, str] = {
    "active": N_("The policy is in force."),
    "inactive": N_("The policy is not in force on that day."),
    "expired": N_("The policy has expired."),
    "unknown": N_("No such policy is on file."),
}


def _reason(state: PolicyState, language: Language) -> str:
    return translated(_REASONS[state], language)


def _names_of(service: Resource | None) -> set[str]:
    """Return what a HealthcareService, ServiceRequest or MedicationRequest calls the service, by codes and words."""
    resource = service or {}
    concepts = [*resource.get("specialty", ()), *resource.get("type", ()), *resource.get("category", ())]
    concepts += [resource.get("code") or {}, resource.get("medicationCodeableConcept") or {}]
    names = {resource.get("name")}
    for concept in concepts:
        if isinstance(concept, dict):
            names.add(concept.get("text"))
            names |= {coding.get(part) for coding in concept.get("coding", ()) for part in ("code", "display")}
    return {text for text in names if text}
