"""What an erasure keeps says nothing of the person: not in any element in which somebody may have written."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.engine.gdpr.anonymity import without_text
from fhir_server.engine.gdpr.erasure import erase_patient
from fhir_server.r4 import definitions, values
from fhir_server.r4.validation import validate
from tests.facade_server import ORIGIN, Hospital

SECRET = "Privatissimo"
TEXT = {"string", "markdown", "xhtml", "base64Binary"}
DEEPEST = 4


def filled(type_name: str, depth: int = 0) -> dict[str, Any]:
    """Return a value of a type with something personal in every text of it; some faults of form do not matter here."""
    made: dict[str, Any] = {}
    for name, element in definitions.table(type_name).elements.items():
        value = _value(element, depth)
        if value is not None:
            made[name] = [value] if element.many else value
    return made


def _value(element: definitions.Element, depth: int) -> Any:
    if element.type == "Resource":
        return {"resourceType": "Basic", "text": {"div": SECRET}}
    if element.type in TEXT:
        return None if element.path in ("Extension.url", "Identifier.value") else SECRET
    if element.primitive:
        return {"decimal": 1, "boolean": True, "date": "2031-01-01"}.get(element.type)
    return filled(element.type, depth + 1) if depth < DEEPEST else None


@pytest.mark.parametrize("type_name", ["Invoice", "PaymentReconciliation", "PaymentNotice"])
def test_no_text_of_an_accounting_record_stays(type_name: str) -> None:
    """Whatever element, choice, contained resource or extension a text stands in, it is gone; amounts are not."""
    record = {"resourceType": type_name, **filled(type_name)}
    kept = without_text(record)
    assert SECRET in str(record)
    assert SECRET not in str(kept)
    assert "value': 1" in str(kept)
    assert without_text(kept) == kept


BILL: dict[str, Any] = {
    "resourceType": "Invoice",
    "id": "bill",
    "status": "cancelled",
    "cancelledReason": SECRET,
    "_cancelledReason": {"extension": [{"url": "urn:x", "valueString": SECRET}]},
    "identifier": [{"system": "urn:bills", "value": "2031-7", "assigner": {"display": SECRET}}],
    "paymentTerms": SECRET,
    "extension": [{"url": "urn:x", "valueString": SECRET}, {"url": "urn:y", "valueCode": "kept"}],
    "recipient": {"identifier": {"system": "urn:mrn", "value": SECRET}},
    "participant": [{"role": {"text": SECRET}, "actor": {"reference": "Practitioner/p", "display": SECRET}}],
    "lineItem": [{"chargeItemCodeableConcept": {"text": SECRET, "coding": [{"code": "x", "display": SECRET}]}}],
    "totalGross": {"value": 90, "currency": "USD"},
}


async def test_a_cancelled_invoice_stays_without_its_reason(hospital: Hospital) -> None:
    """An erased person's invoice has its number, codes and amount, and is valid FHIR."""
    eve = await hospital.sign_up("eve")
    await hospital.put({**BILL, "subject": {"reference": f"Patient/{eve.id}"}})
    await erase_patient(hospital.services, f"{ORIGIN}/fhir", eve.id)
    kept = await hospital.fhir("GET", "Invoice/bill")
    text = values.encode(kept).decode()
    assert SECRET not in text
    assert eve.id not in text
    assert kept["identifier"][0]["value"] == "2031-7"
    assert kept["extension"] == [{"url": "urn:y", "valueCode": "kept"}]
    assert kept["lineItem"] == [{"chargeItemCodeableConcept": {"coding": [{"code": "x"}]}}]
    assert kept["recipient"] == kept["subject"] == {"display": "Erased"}
    assert [fault for fault in validate(kept, max_depth=100) if fault.severity == "error"] == []
