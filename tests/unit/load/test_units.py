"""What the content of a part is sent as."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_server.engine.loading.parts import LINES_IN_A_PART, Part
from fhir_server.engine.loading.units import Unit, Unreadable, units

URN = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"
PATIENT: dict[str, Any] = {"resourceType": "Patient", "active": True}


def part(content: Any, first_line: int | None = None) -> Part:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Part("file", "key", data, first_line, len(data))


def bundle(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def requests(unit: Unit | Unreadable) -> list[str]:
    assert isinstance(unit, Unit)
    return [f"{entry['request']['method']} {entry['request']['url']}" for entry in unit.entries]


def test_a_transaction_stays_whole() -> None:
    """A transaction bundle is one unit with its entries untouched."""
    entries = [{"fullUrl": URN, "resource": PATIENT, "request": {"method": "POST", "url": "Patient"}}] * 3
    (unit,) = units(part(bundle("transaction", *entries)))
    assert isinstance(unit, Unit)
    assert unit.whole
    assert list(unit.entries) == entries


def test_a_batch_can_be_taken_apart() -> None:
    """The entries of a batch are sent together, but none depends on another."""
    entry = {"resource": PATIENT, "request": {"method": "POST", "url": "Patient"}}
    first, second = units(part(bundle("batch", *[entry] * (LINES_IN_A_PART + 1))))
    assert isinstance(first, Unit)
    assert isinstance(second, Unit)
    assert not first.whole
    assert (len(first.entries), second.places) == (LINES_IN_A_PART, (f"entry[{LINES_IN_A_PART}]",))


@pytest.mark.parametrize("kind", ["collection", "searchset"])
def test_resources_are_put_where_they_have_an_id(kind: str) -> None:
    """Resources of a collection or searchset become PUT with an id and POST without; outcomes are left out."""
    outcome = {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}}
    (unit,) = units(part(bundle(kind, {"resource": PATIENT | {"id": "a"}}, outcome, {"resource": PATIENT})))
    assert requests(unit) == ["PUT Patient/a", "POST Patient"]
    assert isinstance(unit, Unit)
    assert unit.places == ("entry[0]", "entry[2]")


def test_references_in_a_collection_hold_across_transactions() -> None:
    """A resource known only by its urn:uuid gets that UUID as its id, and references to it are rewritten."""
    observation = {"resourceType": "Observation", "subject": {"reference": URN}}
    absolute = {"fullUrl": "http://other.test/Patient/b", "resource": PATIENT | {"id": "b"}}
    seen = {"resourceType": "Observation", "subject": {"reference": "http://other.test/Patient/b"}}
    entries = [{"resource": observation}, {"fullUrl": URN, "resource": PATIENT}, absolute, {"resource": seen}]
    (unit,) = units(part(bundle("collection", *entries)))
    assert isinstance(unit, Unit)
    assert requests(unit)[1] == f"PUT Patient/{URN.removeprefix('urn:uuid:')}"
    assert unit.entries[0]["resource"]["subject"]["reference"] == f"Patient/{URN.removeprefix('urn:uuid:')}"
    assert unit.entries[1]["resource"]["id"] == URN.removeprefix("urn:uuid:")
    assert unit.entries[3]["resource"]["subject"]["reference"] == "Patient/b"


def test_lines_are_resources() -> None:
    """Each line of NDJSON is a resource at its line; empty lines are nothing, and a bad line spoils no other."""
    data = b'{"resourceType":"Patient","id":"a"}\n\n{"resourceType":"Nonsense"}\nnot json\n{"resourceType":"Basic"}'
    rows = list(units(part(data, first_line=401)))
    assert [unit.place for unit in rows if isinstance(unit, Unreadable)] == ["line 403", "line 404"]
    (good,) = (unit for unit in rows if isinstance(unit, Unit))
    assert good.places == ("line 401", "line 405")
    assert requests(good) == ["PUT Patient/a", "POST Basic"]


@pytest.mark.parametrize("resource", [PATIENT | {"id": "a"}, {**bundle("document"), "id": "a"}])
def test_a_single_resource_is_stored(resource: dict[str, Any]) -> None:
    """A file may hold one resource, or a document, which is stored as the Bundle that it is."""
    (unit,) = units(part(resource))
    assert requests(unit) == [f"PUT {resource['resourceType']}/a"]


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", bundle("history"), {"resourceType": "Bundle"}, b'{"a":'])
def test_what_cannot_be_loaded_says_so(content: Any) -> None:
    """A file that holds nothing to load gives a reason instead of an exception."""
    (unit,) = units(part(content))
    assert isinstance(unit, Unreadable)
    assert unit.error.issues[0].diagnostics


def test_a_bundle_without_entries_is_nothing() -> None:
    """An empty transaction sends nothing."""
    assert list(units(part({"resourceType": "Bundle", "type": "transaction"}))) == []


def test_entries_that_are_no_list_are_refused() -> None:
    """Bundle.entry of another shape gives a reason."""
    (unit,) = units(part({"resourceType": "Bundle", "type": "transaction", "entry": {}}))
    assert isinstance(unit, Unreadable)


def test_a_byte_order_mark_is_passed_over() -> None:
    """A document, and any line of NDJSON (files are often joined), may begin with the mark of UTF-8."""
    mark, line = b"\xef\xbb\xbf", json.dumps(PATIENT).encode()
    (unit,) = units(part(mark + line))
    assert requests(unit) == ["POST Patient"]
    (unit,) = units(part(b"\r\n".join([mark + line, mark + line, mark]), 1))
    assert requests(unit) == ["POST Patient"] * 2
