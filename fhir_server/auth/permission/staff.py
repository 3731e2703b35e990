"""What a member of the staff sees of patients: pure. `engine.panels` finds out whose patients they are.

A hospital chooses by a setting: the patients of the clinics somebody works at, those somebody treats, or all. The
choice confines `user/` scopes of practitioners; services (`system/`) and admins are not confined by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fhir_server.auth.permission.compartment import SECURITY_CONTEXT, of_patient, shared
from fhir_server.search.params.references import named_in
from fhir_server.search.query.conditions import NOTHING, AnyOf, Condition, HasId, HasKey
from fhir_server.search.registry import parameters

_SIGN = "=Patient/"
_NOBODY_KNOWS_WHOSE = frozenset({"Bundle", "Group", "Linkage", "MessageHeader", "VerificationResult"})
"""Types that may be about anybody, or about several: a confined member of the staff sees none of them."""

STAFFING = frozenset({"Location", "Practitioner", "PractitionerRole"})
"""Types that say who works where, which decides whose patients are seen and who may sign in: the hospital writes them,
a confined member of the staff does not."""


@dataclass(frozen=True, slots=True)
class Panel:
    """The patients that a member of the staff sees, by their ids."""

    patients: frozenset[str]

    def region(self, resource_type: str, permission: str) -> Condition | None:
        """Return the condition of what is seen of a type; None for all of it. A new Patient may be registered."""
        if resource_type in STAFFING and permission in "cud":
            return NOTHING
        common = shared(resource_type)
        if common is None or (resource_type, permission) == ("Patient", "c"):
            return None
        if resource_type == "Patient":
            return HasId(tuple(sorted(self.patients)))
        if resource_type == "Binary" and permission == "c":
            return None
        names = _names(resource_type)
        if names is None:
            return NOTHING if resource_type in _NOBODY_KNOWS_WHOSE else None
        own = HasKey(tuple(f"{name}{_SIGN}{patient}" for patient in sorted(self.patients) for name in names))
        return own if common == NOTHING else AnyOf((own, common))

    def names_another(self, entry: Mapping[str, Any]) -> bool:
        """Return whether an index entry names a patient who is not seen: whoever wrote that would come to see them."""
        return bool(named_in(entry.get("keys", ()), "Patient") - self.patients)


@lru_cache(maxsize=512)
def _names(resource_type: str) -> tuple[str, ...] | None:
    """Return the names under which the index keeps whose a resource is; None where it cannot say."""
    if resource_type == "Binary":
        return (SECURITY_CONTEXT,)
    own = of_patient(resource_type, "0")
    if isinstance(own, HasKey):
        return tuple(key.partition(_SIGN)[0] for key in own.keys)
    codes = [code for code in ("subject", "patient") if code in parameters(resource_type)]
    return tuple(codes) or None
