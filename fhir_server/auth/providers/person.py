"""What the claims of somebody who signed in elsewhere say, read by the mapping that the operator has made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.auth.accounts.user import Role
from fhir_server.auth.providers.provider import AccountMapping, IdentifierClaim

_LONGEST = 200
_MOST_GROUPS = 1000
_STAFF: tuple[Role, ...] = ("admin", "practitioner")
"""The roles of staff, the highest first."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who signed in, as far as the provider's word is taken."""

    role: Role | None
    """The role of staff by the groups; None for who is in none of them."""
    clinics: frozenset[str] = frozenset()
    practitioner: tuple[str, str] | None = None
    """System and value of the Practitioner's identifier."""
    patient: tuple[str, str] | None = None
    """System and value of the Patient's identifier, where the provider is trusted with it."""
    username: str = ""
    given_name: str = ""
    family_name: str = ""


def person_of(claims: Mapping[str, Any], mapping: AccountMapping) -> Person:
    """Return the person that the claims describe; what has another form than it should counts as left out."""
    groups = _groups(claim(claims, mapping.groups_claim))
    roles = {mapping.roles[group] for group in groups if group in mapping.roles}
    return Person(
        role=next((role for role in _STAFF if role in roles), None),
        clinics=frozenset(mapping.clinics[group] for group in groups if group in mapping.clinics),
        practitioner=_identifier(claims, mapping.practitioner),
        patient=_identifier(claims, mapping.patient) if mapping.trust_patient_identifier else None,
        username=_text(claims.get("preferred_username")),
        given_name=_text(claims.get("given_name")),
        family_name=_text(claims.get("family_name")),
    )


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return the claim of that name, else what its dots lead to; None without one."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _groups(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values[:_MOST_GROUPS] if isinstance(each, str)]


def _identifier(claims: Mapping[str, Any], mapped: IdentifierClaim | None) -> tuple[str, str] | None:
    if mapped is None:
        return None
    value = _text(claim(claims, mapped.claim))
    return (mapped.system, value) if value else None


def _text(value: Any) -> str:
    """Return a text that is a name or a number; empty for anything else, and for one with a sign of control in it."""
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable():
        return ""
    return value.strip()
