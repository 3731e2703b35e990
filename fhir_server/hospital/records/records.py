"""The user's health record around appointments: which plan, prescription, test and document belongs to which visit.

An EHR vendor may say it by a reference to the Appointment, to the Encounter that came of it, or by way of the CarePlan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.hospital.api.caller import Caller
from mappings.records import treatment_plans
from mappings.shared import reading
from mappings.shared.elements import Resource


@dataclass(slots=True)
class Record:
    """A patient's plans and encounters, and through them what belongs to which appointment."""

    plans: dict[str, dict[str, Any]]
    encounters: dict[str, dict[str, Any]]
    _plan_of: dict[str, str]
    """Ids of CarePlans by the references of their activities."""

    @classmethod
    async def of(cls, caller: Caller) -> Record:
        """Return the caller's record, all of it.

        Which visit something belongs to is told by CarePlan.supportingInfo or by a plan's Encounter, and which plan by
        basedOn or supportingInformation of a prescription: R4 has no search parameters for these.
        """
        subject = [("subject", f"Patient/{caller.patient_id}")]
        plans = (await caller.fhir.all("CarePlan", subject)).matches
        encounters = (await caller.fhir.all("Encounter", subject)).matches
        return cls(_by_id(plans), _by_id(encounters), _plan_ids(plans))

    @classmethod
    async def around(cls, caller: Caller, resources: Sequence[Resource]) -> Record:
        """Return what tells the plans of some prescriptions or tests, such as those of a page; it knows no visits."""
        unsaid = [f"{item['resourceType']}/{item['id']}" for item in resources if _said_plan(item) is None]
        if not unsaid:
            return cls({}, {}, {})
        criteria = [("subject", f"Patient/{caller.patient_id}"), ("activity-reference", ",".join(unsaid))]
        plans = (await caller.fhir.all("CarePlan", criteria)).matches
        return cls(_by_id(plans), {}, _plan_ids(plans))

    def encounter_of(self, resource: Resource) -> dict[str, Any] | None:
        """Return the Encounter that the resource names."""
        return self.encounters.get(reading.reference_id(resource.get("encounter"), "Encounter") or "")

    def plan_id_of(self, resource: Resource) -> str | None:
        """Return the id of the CarePlan that a prescription or test is part of, by its own word or by the plan's."""
        return _said_plan(resource) or self._plan_of.get(f"{resource['resourceType']}/{resource['id']}")

    def appointment_of_plan(self, plan: Resource) -> str | None:
        """Return the id of the appointment that a CarePlan belongs to."""
        return treatment_plans.from_fhir(plan, self.encounter_of(plan)).appointment_id

    def appointment_of(self, resource: Resource) -> str | None:
        """Return the id of the appointment that a prescription or test belongs to."""
        encounter = self.encounter_of(resource)
        direct = reading.referenced((encounter or {}).get("appointment"), "Appointment")
        plan = self.plans.get(self.plan_id_of(resource) or "")
        return direct or (self.appointment_of_plan(plan) if plan else None)

    def plans_for(self, appointment_id: str) -> list[dict[str, Any]]:
        """Return the CarePlans of an appointment, the latest first."""
        plans = [plan for plan in self.plans.values() if self.appointment_of_plan(plan) == appointment_id]
        valid = [plan for plan in plans if plan.get("status") not in ("entered-in-error", "revoked")]
        return sorted(valid, key=_written, reverse=True)

    def belongs_to(self, resource: Resource, plan: Resource, appointment_id: str) -> bool:
        """Return whether a prescription or test is part of the plan, or else of the visit that the plan is for."""
        plan_id = self.plan_id_of(resource)
        return plan_id == plan["id"] if plan_id else self.appointment_of(resource) == appointment_id


def _said_plan(resource: Resource) -> str | None:
    names = ("basedOn", "supportingInfo", "supportingInformation")
    return next(filter(None, (reading.referenced(resource.get(name), "CarePlan") for name in names)), None)


def _by_id(resources: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["id"]: item for item in resources}


def _plan_ids(plans: Iterable[Resource]) -> dict[str, str]:
    """Return the ids of plans by the references of their activities."""
    named = {}
    for plan in plans:
        for activity in plan.get("activity", ()):
            reference = reading.typed_reference(activity.get("reference", {}))
            if reference:
                named["/".join(reference)] = plan["id"]
    return named


def _written(resource: Resource) -> tuple[datetime, str]:
    time = resource.get("created") or resource.get("meta", {}).get("lastUpdated")
    moment = reading.moment(time)
    assert moment is not None, "a stored resource has a time"
    return moment, resource["id"]
