"""Compartments, of patients and others, as conditions: which resources belong to one.
https://hl7.org/fhir/R4/compartmentdefinition.html

A compartment search and the access rule of a patient's token are the same condition.
"""

from __future__ import annotations

from functools import lru_cache

from fhir_server.r4.definitions import compartment
from fhir_server.search.conditions import Condition, HasId, HasKey, either
from fhir_server.search.criteria import key_names
from fhir_server.search.registry import parameters


def compartment_types(name: str) -> frozenset[str]:
    """Return the resource types that can be in such a compartment, the focus among them."""
    return frozenset(compartment(name)) | {name}


def in_compartment(name: str, focus: str, resource_type: str) -> Condition:
    """Return the condition that a resource of the type is in the compartment of `name/focus`."""
    keys = tuple(f"{key}={name}/{focus}" for key in _names(name, resource_type))
    conditions: list[Condition] = [HasKey(keys)] if keys else []
    if resource_type == name:
        conditions.append(HasId((focus,)))
    return either(conditions)


@lru_cache(maxsize=1024)
def _names(name: str, resource_type: str) -> tuple[str, ...]:
    known = parameters(resource_type)
    codes = [code for code in compartment(name).get(resource_type, ()) if code in known]
    return tuple(dict.fromkeys(key for code in codes for key in key_names(resource_type, known[code])))
