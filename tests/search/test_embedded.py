"""Chains through Bundle's `composition` and `message` look at the resource that stands inside the Bundle."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.search.asking import Resource, bundle, found, patient, refused, store

COMPOSITION: Resource = {
    "resourceType": "Composition",
    "status": "final",
    "author": [{"reference": "Practitioner/x"}],
}


def _document(resource_id: str, **content: Any) -> Resource:
    first = {**COMPOSITION, "id": f"c-{resource_id}", **content}
    last = {**COMPOSITION, "id": "last", "date": "1999", "type": {"text": "last"}, "title": "Last"}
    entries = [{"fullUrl": f"urn:x:{number}", "resource": each} for number, each in enumerate((first, last))]
    return {
        "resourceType": "Bundle",
        "id": resource_id,
        "type": "document",
        "identifier": {"system": "urn:d", "value": resource_id},
        "timestamp": "2024-01-01T00:00:00Z",
        "entry": entries,
    }


def _typed(code: str, text: str) -> dict[str, Any]:
    return {"type": {"coding": [{"system": "http://loinc.org", "code": code}], "text": text}}


@pytest.fixture
async def stored(client: httpx.AsyncClient) -> None:
    """Store two documents, a message, a collection, and a Composition by itself that shares an id with an inner one."""
    header = {
        "resourceType": "MessageHeader",
        "id": "h",
        "eventUri": "urn:event",
        "source": {"endpoint": "urn:source"},
        "focus": [{"reference": "Patient/p"}],
    }
    await store(
        client,
        patient("p", name=[{"family": "Rossi"}]),
        patient("q", name=[{"family": "Bianchi"}]),
        _document("d1", subject={"reference": "Patient/p"}, date="2024-05-01", title="Discharge", **_typed("1", "a")),
        _document("d2", subject={"reference": "Patient/q"}, date="2020", title="Referral", **_typed("2", "b")),
        {"resourceType": "Bundle", "id": "m", "type": "message", "entry": [{"fullUrl": "urn:h", "resource": header}]},
        {"resourceType": "Bundle", "id": "empty", "type": "collection"},
        {**COMPOSITION, "id": "c-d2", "date": "2024-05-01", "title": "Alone", **_typed("1", "a")},
    )


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("composition.patient=Patient/p", {"d1"}),
        ("composition.patient=p,q", {"d1", "d2"}),
        ("composition.subject:Patient=q", {"d2"}),
        ("composition:Composition.title=disch", {"d1"}),
        ("composition.title:exact=Discharge", {"d1"}),
        ("composition.title:contains=char", {"d1"}),
        ("composition.title=alone", set()),
        ("composition.title=last", set()),
        ("composition.date=2024", {"d1"}),
        ("composition.date=ge2019&composition.date=lt2021", {"d2"}),
        ("composition.type=http://loinc.org|1", {"d1"}),
        ("composition.type:not=1", {"d2"}),
        ("composition.type:text=b", {"d2"}),
        ("composition.status=final", {"d1", "d2"}),
        ("composition.context:missing=true", {"d1", "d2"}),
        ("composition.date:missing=false", {"d1", "d2"}),
        ("composition._id=c-d1", {"d1"}),
        ("composition=c-d2", {"d2"}),
        ("composition:missing=false", {"d1", "d2"}),
        ("composition.patient.family=ross", {"d1"}),
        ("composition.patient.family=ross&composition.date=2020", set()),
        ("composition.subject:Patient._id=q", {"d2"}),
        ("_filter=composition.patient eq Patient/p", {"d1"}),
        ("message.event=urn:event", {"m"}),
        ("message.focus=Patient/p", {"m"}),
        ("message.focus:Patient.family=rossi", {"m"}),
        ("message.source-uri=urn:source", {"m"}),
        ("message:missing=false", {"m"}),
        ("message=c-d1", set()),
    ],
)
async def test_a_chain_looks_inside_the_bundle(client: httpx.AsyncClient, search: str, expected: set[str]) -> None:
    """Every kind of parameter, with modifiers, is asked of the first resource only, and chains lead on from it."""
    assert await found(client, f"Bundle?{search}") == expected
    assert (await bundle(client, f"Bundle?{search}&_summary=count"))["total"] == len(expected)


@pytest.mark.usefixtures("stored")
async def test_what_a_resource_inside_a_bundle_has_not_is_refused(client: httpx.AsyncClient) -> None:
    """Nothing refers to it, and its time is that of the Bundle: 400 that says so, and 400 for a sort by it."""
    await refused(client, "Bundle?composition._has:List:item:status=current", "_has")
    await refused(client, "Bundle?composition._lastUpdated=ge2020", "_lastUpdated")
    await refused(client, "Bundle?_sort=composition.date", "composition")


@pytest.mark.usefixtures("stored")
async def test_a_chain_into_a_bundle_is_served_from_the_index(client: httpx.AsyncClient) -> None:
    """What is asked inside is a fact of the Bundle: the search reads only the keys that it finds."""
    answer = await bundle(client, "Bundle?composition.patient=Patient/p&_explain=true")
    reported = str(answer["entry"][-1]["resource"])
    assert "composition~patient=Patient/p" in reported or "composition~subject=Patient/p" in reported


async def test_an_odd_bundle_is_stored_all_the_same(client: httpx.AsyncClient) -> None:
    """A first entry without a resource has nothing to search in."""
    entry = [{"request": {"method": "DELETE", "url": "Patient/x"}}]
    await store(client, {"resourceType": "Bundle", "id": "odd", "type": "batch", "entry": entry})
    assert await found(client, "Bundle?composition:missing=true") == {"odd"}
