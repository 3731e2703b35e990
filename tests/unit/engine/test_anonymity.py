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


BASE = "https://server.example/fhir"


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/1",
        "Patient/1/_history/3",
        f"{BASE}/Patient/1",
        f"{BASE}/Patient/1/_history/3",
        "Patient/1/$everything",
        "Patient/1?x",
        "Patient/1#x",
        f"{BASE}/Patient/1/$everything",
        "Patient/1/_history/1/_history/2",
    ],
)
def test_every_form_of_a_reference_counts(reference: str) -> None:
    """A version, the server's base, an operation or a part in a reference does not hide whom it tells of."""
    assert anonymised({"subject": {"reference": reference}}, GONE, BASE) == {"subject": ERASED}


@pytest.mark.parametrize(
    "reference",
    ["https://other.example/fhir/Patient/1", "foo/Patient/1", "Patient/12", "1", f"{BASE}/{BASE}/Patient/1", "#1"],
)
def test_another_with_the_same_id_stays(reference: str) -> None:
    """Who has the id on another server, or an id that only begins like it, is not the one erased."""
    assert anonymised({"subject": {"reference": reference}}, GONE, BASE) == {"subject": {"reference": reference}}


def test_twice_is_once() -> None:
    """What is anonymous already does not change."""
    once = without_text(anonymised(INVOICE, GONE))
    assert without_text(anonymised(once, GONE)) == once
