"""What is known to be nobody's: it names no patient, so that everybody who may read its type may read it.

A resource is shared only where every reference in it is known to lead to something that is no person under care. One
by identifier alone, to another server, or in an extension may lead to anybody: that is not known to be shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.r4.references import local
from fhir_server.r4.walk import Node, walk

SHARED_TYPES = frozenset({
    "ActivityDefinition", "CapabilityStatement", "CatalogEntry", "ChargeItemDefinition", "CodeSystem",
    "CompartmentDefinition", "ConceptMap", "DeviceDefinition", "Endpoint", "EventDefinition", "GraphDefinition",
    "HealthcareService", "ImplementationGuide", "InsurancePlan", "Library", "Location", "Measure", "Medication",
    "MedicationKnowledge", "MessageDefinition", "NamingSystem", "ObservationDefinition", "OperationDefinition",
    "Organization", "OrganizationAffiliation", "PlanDefinition", "Practitioner", "PractitionerRole", "Questionnaire",
    "SearchParameter", "Slot", "SpecimenDefinition", "StructureDefinition", "StructureMap", "Substance",
    "TerminologyCapabilities", "ValueSet",
})  # fmt: skip
"""Types that say nothing of any patient: definitions, and who works where."""

SHARED_UNLESS_A_PATIENTS = frozenset({"Device", "Schedule"})
"""Types of which some resources are a patient's: the others are shared."""

SHARED_KEY = "_shared"
"""The index key of a resource of such a type that is known to be nobody's."""

_NEUTRAL = SHARED_TYPES | SHARED_UNLESS_A_PATIENTS
_PERSONS = frozenset({"Patient", "RelatedPerson", "Group", "Person", "Resource"})


def is_shared(resource: Mapping[str, Any], base_url: str = "") -> bool:
    """Return whether a resource of a type in SHARED_UNLESS_A_PATIENTS is known to be nobody's."""
    kind = str(resource.get("resourceType"))
    return all(_is_neutral(node, base_url) for node in walk(resource, kind, kind))


def _is_neutral(node: Node, base_url: str) -> bool:
    if node.element.type == "Resource":
        return node.type in _NEUTRAL
    return node.type != "Reference" or _leads_to_nobody(node, base_url)


def _leads_to_nobody(node: Node, base_url: str) -> bool:
    text = node.value.get("reference")
    if isinstance(text, str):
        if text.startswith("#"):
            return True  # the contained resource is judged itself
        named = local(text, base_url)
        if named is not None:
            return named.type in _NEUTRAL
    if node.value.get("type") in _NEUTRAL:
        return not isinstance(text, str)
    # Where no person may stand by definition, a name or an identifier is nobody's either.
    allowed = frozenset(node.element.targets)
    return not isinstance(text, str) and bool(allowed) and not allowed & _PERSONS
