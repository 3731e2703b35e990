"""The names of people. https://hl7.org/fhir/R4/datatypes.html#HumanName"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_RANKS = ("official", "usual", None, "temp", "nickname", "anonymous", "maiden", "old")


def human_name(name: Mapping[str, Any]) -> str | None:
    """Return a HumanName as a person would write it; None where it says nothing."""
    parts = (*name.get("prefix", ()), *name.get("given", ()), name.get("family"), *name.get("suffix", ()))
    return name.get("text") or " ".join(part for part in parts if part) or None


def official_name(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the HumanName that a person goes by, an old one only if there is no other; empty where there is none."""
    names: list[Mapping[str, Any]] = resource.get("name", [])
    ranks = {use: rank for rank, use in enumerate(_RANKS)}
    return min(names, key=lambda name: ranks.get(name.get("use"), len(_RANKS)), default={})


def person_name(person: Mapping[str, Any] | None) -> str | None:
    """Return what a Patient, Practitioner or RelatedPerson is called."""
    return human_name(official_name(person)) if person else None
