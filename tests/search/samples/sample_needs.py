"""What resources of some types need beyond their required elements, so that they break no rule of the specification."""

from __future__ import annotations

from typing import Any

_CONCEPT = {"coding": [{"system": "urn:system", "code": "filler"}]}
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"

NEEDED: dict[str, dict[str, Any]] = {
    "AllergyIntolerance": {
        "clinicalStatus": {"coding": [{"system": f"{_TERMINOLOGY}/allergyintolerance-clinical", "code": "resolved"}]}
    },
    "Appointment": {"start": "2001-03-01T10:00:00Z", "end": "2001-03-01T11:00:00Z"},
    "Appointment.participant": {"type": [_CONCEPT]},
    "AppointmentResponse": {"participantType": [_CONCEPT]},
    "CapabilityStatement": {"kind": "capability", "software": {"name": "filler"}, "rest": [{"mode": "server"}]},
    "Composition.section": {
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}
    },
    "ConceptMap.group.element": {"code": "filler"},
    "Condition": {"clinicalStatus": {"coding": [{"system": f"{_TERMINOLOGY}/condition-clinical", "code": "resolved"}]}},
    "Consent": {"policyRule": _CONCEPT},
    "Group": {"actual": True},
    "ImmunizationRecommendation.recommendation": {"vaccineCode": [_CONCEPT]},
    "InsurancePlan": {"name": "filler"},
    "MolecularSequence": {"coordinateSystem": 0},
    "MolecularSequence.referenceSeq": {"referenceSeqId": _CONCEPT},
    "NamingSystem": {"kind": "identifier"},
    "Organization": {"name": "filler"},
    "RequestGroup.action": {"resource": {"reference": "Task/filler"}},
    "SearchParameter": {"expression": "Basic.id", "base": ["Basic"]},
    "StructureDefinition": {
        "kind": "logical",
        "type": "X",
        "baseDefinition": "https://example.org/filler",
        "differential": {"element": [{"id": "X", "path": "X"}]},
    },
    "ElementDefinition": {
        "id": "X",
        "path": "X",
        "definition": "filler",
        "min": 0,
        "max": "1",
        "base": {"path": "X", "min": 0, "max": "1"},
    },
    "TerminologyCapabilities": {"description": "filler"},
    "TriggerDefinition": {"type": "named-event", "name": "filler"},
    "ValueSet.compose.include": {"system": "https://example.org/filler"},
    "ValueSet.expansion.contains": {"system": "https://example.org/filler"},
}

PAIRED = frozenset({"Linkage.item"})
"""Elements of which there must be two."""

AVOIDED = frozenset({"entered-in-error", "home"})
"""Codes that a resource may only have where others are left out."""
