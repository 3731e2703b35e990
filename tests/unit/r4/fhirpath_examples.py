"""The resources that the tests of FHIRPath evaluate expressions on."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

BIRTH_TIME = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "meta": {"profile": ["http://example.org/StructureDefinition/p"]},
    "contained": [{"resourceType": "Organization", "id": "o", "name": "Clinic"}],
    "active": True,
    "gender": "female",
    "birthDate": "1980-05-17",
    "_birthDate": {"extension": [{"url": BIRTH_TIME, "valueDateTime": "1980-05-17T06:30:00+02:00"}]},
    "_language": {"id": "l"},
    "name": [
        {"use": "official", "family": "Okafor", "given": ["Ada", "Rose"], "_given": [None, {"id": "g"}]},
        {"use": "usual", "given": ["Addie"]},
        {"use": "maiden", "family": "Lind", "given": ["Ada", "Rose"], "period": {"end": "2004"}},
    ],
    "telecom": [
        {"use": "home"},
        {"system": "phone", "value": "555 1", "use": "work", "rank": 1},
        {"system": "email", "value": "a@example.org", "rank": 2},
    ],
    "deceasedBoolean": False,
    "contact": [{"name": {"family": "Okafor"}, "organization": {"reference": "#o"}}],
    "managingOrganization": {"reference": "#o"},
    "generalPractitioner": [
        {"reference": "Practitioner/1"},
        {"reference": "http://example.org/fhir/Organization/2/_history/3"},
        {"type": "Practitioner", "identifier": {"value": "x"}},
        {"reference": "urn:uuid:5b0f2a4c-0000-4000-8000-000000000000"},
    ],
}

OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}], "text": "weight"},
    "subject": {"reference": "Patient/p"},
    "effectiveDateTime": "2020-02",
    "valueQuantity": {
        "value": Decimal("84.50"),
        "unit": "kilo",
        "system": "http://unitsofmeasure.org",
        "code": "kg",
    },
    "component": [
        {"code": {"text": "a"}, "valueString": "x"},
        {"code": {"text": "b"}, "valueCodeableConcept": {"text": "y"}},
        {"code": {"text": "c"}, "valueQuantity": {"value": Decimal("1.0"), "unit": "g", "code": "g"}},
    ],
    "extension": [{"url": "http://example.org/age", "valueAge": {"value": 3, "code": "a"}}],
}

QUESTIONNAIRE: dict[str, Any] = {
    "resourceType": "Questionnaire",
    "status": "draft",
    "url": "http://example.org/q",
    "item": [
        {"linkId": "1", "type": "group", "item": [{"linkId": "1.1", "type": "string"}]},
        {"linkId": "2", "type": "group", "item": [{"linkId": "2.1", "type": "group", "item": [{"linkId": "2.1.1"}]}]},
    ],
}
