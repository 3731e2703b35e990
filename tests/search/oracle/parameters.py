"""The search parameters that the evaluator knows, each with the paths that its definition names.

https://hl7.org/fhir/R4/searchparameter-registry.html
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """A search parameter: `parts` are those of a composite, each with its type and its path from the element."""

    type: str
    paths: tuple[str, ...]
    parts: tuple[tuple[str, str], ...] = ()


def _one(kind: str, *paths: str) -> Parameter:
    return Parameter(kind, paths)


_CODE_QUANTITY = (("token", "code:CodeableConcept"), ("quantity", "value[x]:Quantity"))
_CODE_CONCEPT = (("token", "code:CodeableConcept"), ("token", "value[x]:CodeableConcept"))

PARAMETERS: dict[str, dict[str, Parameter]] = {
    "Patient": {
        "identifier": _one("token", "identifier:Identifier"),
        "active": _one("token", "active:boolean"),
        "name": _one("string", "name:HumanName"),
        "family": _one("string", "name.family:string"),
        "given": _one("string", "name.given:string"),
        "telecom": _one("token", "telecom:ContactPoint"),
        "phone": _one("token", "telecom:ContactPoint[system=phone]"),
        "email": _one("token", "telecom:ContactPoint[system=email]"),
        "gender": _one("token", "gender:code"),
        "birthdate": _one("date", "birthDate:date"),
        "death-date": _one("date", "deceased[x]:dateTime"),
        "address": _one("string", "address:Address"),
        "address-city": _one("string", "address.city:string"),
        "language": _one("token", "communication.language:CodeableConcept"),
        "general-practitioner": _one("reference", "generalPractitioner:Reference"),
        "organization": _one("reference", "managingOrganization:Reference"),
    },
    "Observation": {
        "identifier": _one("token", "identifier:Identifier"),
        "status": _one("token", "status:code"),
        "category": _one("token", "category:CodeableConcept"),
        "code": _one("token", "code:CodeableConcept"),
        "component-code": _one("token", "component.code:CodeableConcept"),
        "combo-code": _one("token", "code:CodeableConcept", "component.code:CodeableConcept"),
        "subject": _one("reference", "subject:Reference"),
        "patient": _one("reference", "subject:Reference[Patient]"),
        "encounter": _one("reference", "encounter:Reference"),
        "performer": _one("reference", "performer:Reference"),
        "has-member": _one("reference", "hasMember:Reference"),
        "date": _one("date", "effective[x]"),
        "value-date": _one("date", "value[x]:dateTime|Period"),
        "value-string": _one("string", "value[x]:string|CodeableConcept"),
        "value-concept": _one("token", "value[x]:CodeableConcept"),
        "value-quantity": _one("quantity", "value[x]:Quantity"),
        "component-value-quantity": _one("quantity", "component.value[x]:Quantity"),
        "combo-value-quantity": _one("quantity", "value[x]:Quantity", "component.value[x]:Quantity"),
        "code-value-quantity": Parameter("composite", ("",), _CODE_QUANTITY),
        "code-value-concept": Parameter("composite", ("",), _CODE_CONCEPT),
        "component-code-value-quantity": Parameter("composite", ("component:component",), _CODE_QUANTITY),
        "combo-code-value-quantity": Parameter("composite", ("", "component:component"), _CODE_QUANTITY),
        "code-value-date": Parameter(
            "composite", ("",), (("token", "code:CodeableConcept"), ("date", "value[x]:dateTime|Period"))
        ),
        "code-value-string": Parameter(
            "composite", ("",), (("token", "code:CodeableConcept"), ("string", "value[x]:string"))
        ),
    },
    "Encounter": {
        "status": _one("token", "status:code"),
        "class": _one("token", "class:Coding"),
        "type": _one("token", "type:CodeableConcept"),
        "subject": _one("reference", "subject:Reference"),
        "patient": _one("reference", "subject:Reference[Patient]"),
        "date": _one("date", "period:Period"),
        "length": _one("quantity", "length:Duration"),
        "part-of": _one("reference", "partOf:Reference"),
        "participant": _one("reference", "participant.individual:Reference"),
    },
    "Condition": {
        "code": _one("token", "code:CodeableConcept"),
        "clinical-status": _one("token", "clinicalStatus:CodeableConcept"),
        "subject": _one("reference", "subject:Reference"),
        "patient": _one("reference", "subject:Reference[Patient]"),
        "encounter": _one("reference", "encounter:Reference"),
        "onset-date": _one("date", "onset[x]:dateTime|Period"),
        "onset-age": _one("quantity", "onset[x]:Age"),
        "recorded-date": _one("date", "recordedDate:dateTime"),
    },
    "MedicationRequest": {
        "status": _one("token", "status:code"),
        "intent": _one("token", "intent:code"),
        "code": _one("token", "medication[x]:CodeableConcept"),
        "authoredon": _one("date", "authoredOn:dateTime"),
        "date": _one("date", "dosageInstruction.timing.event:dateTime"),
        "subject": _one("reference", "subject:Reference"),
        "patient": _one("reference", "subject:Reference[Patient]"),
        "encounter": _one("reference", "encounter:Reference"),
    },
    "Appointment": {
        "status": _one("token", "status:code"),
        "date": _one("date", "start:instant"),
        "actor": _one("reference", "participant.actor:Reference"),
        "patient": _one("reference", "participant.actor:Reference[Patient]"),
        "slot": _one("reference", "slot:Reference"),
        "part-status": _one("token", "participant.status:code"),
    },
    "Slot": {
        "status": _one("token", "status:code"),
        "start": _one("date", "start:instant"),
        "schedule": _one("reference", "schedule:Reference"),
    },
    "RiskAssessment": {
        "probability": _one("number", "prediction.probability[x]:decimal"),
        "subject": _one("reference", "subject:Reference"),
        "patient": _one("reference", "subject:Reference[Patient]"),
        "date": _one("date", "occurrence[x]:dateTime"),
    },
    "Practitioner": {
        "identifier": _one("token", "identifier:Identifier"),
        "active": _one("token", "active:boolean"),
        "name": _one("string", "name:HumanName"),
        "family": _one("string", "name.family:string"),
        "given": _one("string", "name.given:string"),
        "telecom": _one("token", "telecom:ContactPoint"),
        "phone": _one("token", "telecom:ContactPoint[system=phone]"),
        "email": _one("token", "telecom:ContactPoint[system=email]"),
        "gender": _one("token", "gender:code"),
        "address": _one("string", "address:Address"),
        "address-city": _one("string", "address.city:string"),
    },
    "Organization": {
        "name": _one("string", "name:string", "alias:string"),
        "partof": _one("reference", "partOf:Reference"),
        "active": _one("token", "active:boolean"),
    },
    "ValueSet": {
        "url": _one("uri", "url:uri"),
        "version": _one("token", "version:string"),
        "date": _one("date", "date:dateTime"),
    },
}
