"""Endpoints 8 to 11: the user's family."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from fhir_server.errors import PreconditionFailed
from fhir_server.hospital.api.answers import FamilyMemberAnswer, family_answers
from fhir_server.hospital.api.caller import Called, Caller
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fields import BirthDate, Body, Name
from fhir_server.hospital.api.own import require_own
from fhir_server.hospital.api.paging import Cursor, Limit, Page, page_of
from fhir_server.hospital.api.problem import Problem
from mappings.accounts import user_family
from mappings.accounts.user_family import FamilyMember, Relation
from mappings.shared.changes import changed

router = APIRouter(prefix="/user/family", tags=["user"])
_ATTEMPTS = 5


class NewMember(Body):
    """A new member of the family."""

    name: Name
    relation: Relation
    dob: BirthDate


class MemberChanges(Body):
    """What changes of a member."""

    name: Name | None = None
    relation: Relation | None = None
    dob: BirthDate | None = None


@router.get("", responses=errors("invalid_token", "bad_cursor"))
async def family(caller: Called, limit: Limit = 20, cursor: Cursor = None) -> Page[FamilyMemberAnswer]:
    """Return the user's family, the longest known first."""
    # When a member was added (an import's row-created, else the first version) is nothing that a search can sort by.
    people = await caller.fhir.all("RelatedPerson", [("patient", f"Patient/{caller.patient_id}")])
    members = await family_answers(caller.fhir, people.matches)
    members.sort(key=lambda member: (member.created_at is None, member.created_at, member.id))
    return page_of(caller.server, "family", members, limit, cursor)


@router.post("", status_code=201, responses=errors("invalid_token", "validation_failed"))
async def add_member(body: NewMember, caller: Called) -> FamilyMemberAnswer:
    """Add a member to the family."""
    row = FamilyMember(id=str(uuid.uuid4()), user_id=caller.patient_id, **body.model_dump())
    stored = await caller.acting.create(_without_id(user_family.to_fhir(row)))
    return (await family_answers(caller.fhir, [stored]))[0]


def _without_id(resource: dict[str, Any]) -> dict[str, Any]:
    # A create, which the token may do; storing it under an id of ours would be an update.
    return {name: value for name, value in resource.items() if name != "id"}


@router.put("/{member_id}", responses=errors("invalid_token", "not_found", "validation_failed"))
async def change_member(member_id: str, body: MemberChanges, caller: Called) -> FamilyMemberAnswer:
    """Change a member of the family; what the RelatedPerson holds besides stays."""
    changes = {name: value for name, value in body.model_dump(exclude_unset=True).items() if value is not None}
    for _ in range(_ATTEMPTS):
        person = await _member(caller, member_id)
        row = user_family.from_fhir(person)
        new = changed(person, user_family.to_fhir(row), user_family.to_fhir(row.model_copy(update=changes)))
        try:
            stored = person if new == person else await caller.acting.update(new)
        except PreconditionFailed:
            continue
        return (await family_answers(caller.fhir, [stored]))[0]
    raise Problem("conflict")


@router.delete("/{member_id}", status_code=204, responses=errors("invalid_token", "not_found"))
async def remove_member(member_id: str, caller: Called) -> Response:
    """Remove a member from the family; the FHIR history keeps it."""
    await _member(caller, member_id)
    await caller.acting.delete("RelatedPerson", member_id)
    return Response(status_code=204)


async def _member(caller: Caller, member_id: str) -> dict[str, Any]:
    return await require_own(caller, "RelatedPerson", member_id)
