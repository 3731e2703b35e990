"""Table `user_family`: a RelatedPerson of the user's Patient. https://hl7.org/fhir/R4/relatedperson.html"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from fhir_server.r4.human_names import human_name, official_name
from mappings.shared import elements, reading
from mappings.shared.elements import Resource
from mappings.shared.rows import Id, Row, Text

Relation = Literal["spouse", "child", "parent", "other"]

_CODES: dict[Relation, tuple[str, str]] = {
    "spouse": ("SPS", "spouse"),
    "child": ("CHILD", "child"),
    "parent": ("PRN", "parent"),
    "other": ("FAMMEMB", "family member"),
}
# What other systems write more exactly. https://terminology.hl7.org/CodeSystem/v3-RoleCode
_RELATIONS: dict[str, Relation] = {
    **dict.fromkeys(("SPS", "HUSB", "WIFE", "DOMPART"), "spouse"),
    **dict.fromkeys(("CHILD", "CHLDADOPT", "DAUADOPT", "SONADOPT", "CHLDFOST", "DAUFOST", "SONFOST"), "child"),
    **dict.fromkeys(("DAUC", "DAU", "STPDAU", "NCHILD", "SON", "SONC", "STPSON", "STPCHLD"), "child"),
    **dict.fromkeys(("PRN", "FTH", "MTH", "NPRN", "NFTH", "NMTH", "ADOPTP", "ADOPTF", "ADOPTM"), "parent"),
    **dict.fromkeys(("STPPRN", "STPFTH", "STPMTH", "PRNFOST", "FTHFOST", "MTHFOST", "GESTM"), "parent"),
}


class FamilyMember(Row):
    """A row of `user_family`."""

    user_id: Id | None = None
    name: Text | None = None
    relation: Relation = "other"
    dob: date | None = None


def to_fhir(row: FamilyMember) -> dict[str, Any]:
    """Return the RelatedPerson."""
    code, display = _CODES[row.relation]
    return elements.build(
        "RelatedPerson",
        {
            "id": row.id,
            "meta": elements.meta("hms-related-person"),
            "extension": elements.row_extensions(row),
            "active": True,
            "patient": elements.reference("Patient", row.user_id) or elements.ABSENT,
            "relationship": [elements.concept(elements.ROLE_CODE, code, display)],
            "name": [{"text": row.name}],
            "birthDate": elements.optional_date(row.dob),
        },
    )


def from_fhir(person: Resource, *, created: datetime | None = None, deleted: datetime | None = None) -> FamilyMember:
    """Return the row that a RelatedPerson is."""
    relations = (_RELATIONS.get(code) for code in reading.codes(person.get("relationship"), elements.ROLE_CODE))
    return FamilyMember.read(
        person,
        user_id=reading.reference_id(person.get("patient"), "Patient"),
        name=human_name(official_name(person)),
        relation=next(filter(None, relations), "other"),
        dob=reading.whole_date(person.get("birthDate")),
        **reading.row_times(person, created, deleted),
    )
