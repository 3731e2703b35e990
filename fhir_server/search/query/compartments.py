"""Compartments, of patients and others, as conditions: which resources belong to one.
https://hl7.org/fhir/R4/compartmentdefinition.html

Compartment searches and `$everything` take the official definitions as they are. The access rule of a patient's token
(`auth.compartment`) reads them here too, and says itself what it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from fhir_server.r4.definitions import compartment
from fhir_server.search.query.conditions import NOTHING, Condition, HasId, HasKey, either
from fhir_server.search.query.criteria import key_names
from fhir_server.search.registry import parameters


def compartment_types(name: str) -> frozenset[str]:
    """Return the resource types that can be in such a compartment, the focus among them."""
    return frozenset(compartment(name)) | {name}


def in_compartment(name: str, focus: str, resource_type: str) -> Condition:
    """Return the condition that a resource of the type is in the compartment of `name/focus`."""
    member = refers_to(membership(name, resource_type), f"{name}/{focus}")
    if resource_type != name:
        return member
    return HasId((focus,)) if member == NOTHING else either([member, HasId((focus,))])


def refers_to(names: Iterable[str], reference: str) -> Condition:
    """Return the condition that a resource has the reference under one of the names of the index."""
    keys = tuple(f"{name}={reference}" for name in names)
    return HasKey(keys) if keys else NOTHING


@lru_cache(maxsize=1024)
def membership(name: str, resource_type: str) -> tuple[str, ...]:
    """Return the names in the index of the references that put a resource of the type into such a compartment."""
    return index_names(resource_type, compartment(name).get(resource_type, ()))


def reference_names(resource_type: str) -> tuple[str, ...]:
    """Return the names in the index of all of a type's reference parameters."""
    return index_names(resource_type, parameters(resource_type))


def index_names(resource_type: str, codes: Iterable[str]) -> tuple[str, ...]:
    """Return the names in the index of a type's reference parameters; of `_id`, which is none, there is no name."""
    by_code = parameters(resource_type)
    references = [by_code[code] for code in codes if code in by_code and by_code[code].type == "reference"]
    return tuple(dict.fromkeys(key for parameter in references for key in key_names(resource_type, parameter)))
