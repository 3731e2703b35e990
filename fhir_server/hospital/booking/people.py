"""For whom an appointment is booked, and who pays for it."""

from __future__ import annotations

from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.api.fields import ResourceId
from fhir_server.hospital.api.own import own_named
from fhir_server.hospital.booking.scheduling import When


class People(When):
    """For whom it is booked, where not for the user, and who pays."""

    family_member_id: ResourceId | None = None
    insurance_coverage_id: ResourceId | None = None


async def require_own_people(caller: Caller, body: People) -> None:
    """Raise Problem unless the family member and the policy that a body names are the caller's."""
    for field, kind, value in (
        ("family_member_id", "RelatedPerson", body.family_member_id),
        ("insurance_coverage_id", "Coverage", body.insurance_coverage_id),
    ):
        if value is not None:
            await own_named(caller, kind, field, value)
