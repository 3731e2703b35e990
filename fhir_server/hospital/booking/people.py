"""For whom an appointment is booked, and who pays for it."""

from __future__ import annotations

from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.api.fields import ResourceId
from fhir_server.hospital.api.problem import invalid
from fhir_server.hospital.booking.scheduling import When
from mappings.shared import reading


class People(When):
    """For whom it is booked, where not for the user, and who pays."""

    family_member_id: ResourceId | None = None
    insurance_coverage_id: ResourceId | None = None


async def require_own(caller: Caller, body: People) -> None:
    """Raise Problem unless the family member and the policy that a body names are the caller's."""
    for field, kind, owner, value in (
        ("family_member_id", "RelatedPerson", "patient", body.family_member_id),
        ("insurance_coverage_id", "Coverage", "beneficiary", body.insurance_coverage_id),
    ):
        if value is not None:
            found = await caller.fhir.read(kind, value)
            if found is None or reading.reference_id(found.get(owner), "Patient") != caller.patient_id:
                raise invalid(field, "unknown_id")
