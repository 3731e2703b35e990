"""Which resources belong to a patient, and which are nobody's: what a token for one patient may see.

The Patient compartment of R4 decides, but for what it would open too far: another Patient that links to this one, and a
Group, which tells who its other members are, are not the patient's; a List is the patient's as its subject only. A
Device that is nobody's may be seen, a Binary only where its securityContext names the patient.
https://hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from __future__ import annotations

from functools import lru_cache

from fhir_server.search.query.compartments import membership, refers_to
from fhir_server.search.query.conditions import NOTHING, Condition, HasId, HasKey
from fhir_server.search.shared import SHARED_KEY, SHARED_TYPES, SHARED_UNLESS_A_PATIENTS

SECURITY_CONTEXT = "_securityContext"
"""The name under which the index keeps Binary.securityContext, for which R4 has no search parameter."""

_OTHER_PARAMETERS = {"Binary": (SECURITY_CONTEXT,), "Device": ("patient",), "List": ("subject",)}
"""Where the references that make a resource the patient's are others than those of the compartment."""
_NOT_THE_PATIENTS = frozenset({"Group", "AuditEvent"})


@lru_cache(maxsize=4096)
def of_patient(resource_type: str, patient: str) -> Condition:
    """Return the condition of resources of the type that are the patient's."""
    if resource_type == "Patient":
        return HasId((patient,))
    if resource_type in _NOT_THE_PATIENTS:
        return NOTHING
    names = _OTHER_PARAMETERS.get(resource_type) or membership("Patient", resource_type)
    return refers_to(names, f"Patient/{patient}")


@lru_cache(maxsize=512)
def shared(resource_type: str) -> Condition | None:
    """Return the condition of resources of the type that are known to be nobody's, or None where all of them are."""
    if resource_type in SHARED_TYPES:
        return None
    return HasKey((SHARED_KEY,)) if resource_type in SHARED_UNLESS_A_PATIENTS else NOTHING
