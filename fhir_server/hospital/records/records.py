"""The user's health record around appointments: which plan, prescription, test and document belongs to which visit.

An EHR vendor may say it by a reference to the Appointment, to the Encounter that came of it, or by way of the CarePlan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
    _plan_of: dict[str, str] = field(default_factory=dict)
    """Ids of CarePlans by the references of their activities."""

    @classmethod
    async def of(cls, caller: Caller) -> Record:
        """Return the caller's record."""
        subject = [("subject", f"Patient/{caller.patient_id}")]
        plans = (await caller.fhir.all("CarePlan", subject)).matches
        encounters = (await caller.fhir.all("Encounter", subject)).matches
        record = cls({item["id"]: item for item in plans}, {item["id"]: item for item in encounters})
        for plan in plans:
            for activity in plan.get("activity", ()):
                found = reading.typed_reference(activity.get("reference", {}))
                if found:
                    record._plan_of["/".join(found)] = plan["id"]
        return record

    def encounter_of(self, resource: Resource) -> dict[str, Any] | None:
        """Return the Encounter that the resource names."""
        return self.encounters.get(reading.reference_id(resource.get("encounter"), "Encounter") or "")

    def plan_id_of(self, resource: Resource) -> str | None:
        """Return the id of the CarePlan that a prescription or test is part of, by its own word or by the plan's."""
        for name in ("basedOn", "supportingInfo", "supportingInformation"):
            plan_id = reading.referenced(resource.get(name), "CarePlan")
            if plan_id is not None:
                return plan_id
        return self._plan_of.get(f"{resource['resourceType']}/{resource['id']}")

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
        found = [plan for plan in self.plans.values() if self.appointment_of_plan(plan) == appointment_id]
        known = [plan for plan in found if plan.get("status") not in ("entered-in-error", "revoked")]
        return sorted(known, key=_written, reverse=True)

    def belongs_to(self, resource: Resource, plan: Resource, appointment_id: str) -> bool:
        """Return whether a prescription or test is part of the plan, or else of the visit that the plan is for."""
        plan_id = self.plan_id_of(resource)
        return plan_id == plan["id"] if plan_id else self.appointment_of(resource) == appointment_id


def _written(resource: Resource) -> tuple[datetime, str]:
    said = resource.get("created") or resource.get("meta", {}).get("lastUpdated")
    moment = reading.moment(said)
    assert moment is not None, "a stored resource has a time"
    return moment, resource["id"]
