"""A resource without a person."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.engine.gdpr.anonymity import ERASED, anonymised, without_text

GONE = {"Patient/1", "Appointment/7"}
INVOICE: dict[str, Any] = {
    "resourceType": "Invoice",
    "id": "i",
    "text": {"status": "generated", "div": "<div>Mara owes</div>"},
    "extension": [{"url": "http://example.org/for", "valueReference": {"reference": "Appointment/7"}}],
    "status": "issued",
    "subject": {"reference": "Patient/1", "display": "Mara", "identifier": {"value": "x"}},
    "issuer": {"reference": "Organization/1"},
    "participant": [{"actor": {"reference": "Patient/12"}}],
    "note": [{"text": "Mara's"}],
}


def test_a_retained_resource_names_nobody() -> None:
    """References to what is erased lose everything, free text goes, the rest stays; people of others are not told."""
    assert without_text(anonymised(INVOICE, GONE)) == {
        "resourceType": "Invoice",
        "id": "i",
        "extension": [{"url": "http://example.org/for", "valueReference": ERASED}],
        "status": "issued",
        "subject": ERASED,
        "issuer": {"reference": "Organization/1"},
        "participant": [{"actor": ERASED}],
    }


def test_what_others_wrote_of_others_stays() -> None:
    """In a resource that is about others too, only the references change."""
    changed = anonymised(INVOICE, GONE)
    assert (changed["note"], changed["text"]) == (INVOICE["note"], INVOICE["text"])
    assert changed["subject"] == ERASED
    assert changed["participant"] == INVOICE["participant"]


@pytest.mark.parametrize("reference", ["Patient/1", "Patient/1/_history/3", "https://server.example/fhir/Patient/1"])
def test_every_form_of_a_reference_counts(reference: str) -> None:
    """A version or a base in a reference does not hide whom it names."""
    assert anonymised({"subject": {"reference": reference}}, GONE) == {"subject": ERASED}


def test_twice_is_once() -> None:
    """What is anonymous already does not change."""
    once = without_text(anonymised(INVOICE, GONE))
    assert without_text(anonymised(once, GONE)) == once
