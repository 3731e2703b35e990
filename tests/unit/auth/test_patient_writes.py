"""The table of what patients write over FHIR: complete, sound, and printed in the documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.auth.permission.compartment import of_patient
from fhir_server.auth.permission.patient_writes import RULES, Change, Writer, require_permitted
from fhir_server.errors import Forbidden
from fhir_server.own_urls import own_url
from fhir_server.r4.definitions import Element, table
from fhir_server.r4.reports import marked, reporter_of, unmarked
from fhir_server.search.query.conditions import NOTHING
from tools.access_table import PAGE, printed

NEVER = frozenset({
    "identifier", "masterIdentifier", "link", "active", "deceasedBoolean", "deceasedDateTime", "managingOrganization",
    "generalPractitioner", "securityLabel", "extension", "modifierExtension", "implicitRules", "basedOn", "partOf",
    "insurance", "meta",
})  # fmt: skip
"""Elements that no rule may name."""
EVE = Writer("eve", "Patient/eve", "http://server.test/fhir")


def test_the_page_prints_the_table() -> None:
    """`docs/access.md` says what the code does; `python tools/access_table.py` makes it so."""
    page = PAGE.read_text()
    assert printed(page) == page


@pytest.mark.parametrize("resource_type", sorted(RULES))
def test_each_rule_names_what_there_is(resource_type: str) -> None:
    """Every element exists, none is one that is never a patient's, and the subject makes the resource the patient's."""
    rule = RULES[resource_type]
    elements = table(resource_type).elements
    for name in rule.elements | rule.authors | rule.recipients:
        stem = name.removesuffix("[x]")
        assert name in elements or any(element.choice == stem for element in elements.values()), name
    assert not (rule.elements | rule.authors) & NEVER
    if rule.subject:
        assert {"Patient", "Resource"} & set(elements[rule.subject].targets)
        assert of_patient(resource_type, "eve") != NOTHING


_PREFIXES = ["Patient/", "http://server.test/fhir/Patient/", "http://other/fhir/Patient/", "#", ""]


@given(st.text(max_size=60), st.sampled_from(_PREFIXES))
def test_only_the_own_id_is_the_patients(text: str, prefix: str) -> None:
    """No spelling of a reference but the literal one, with or without this server's base, names the patient."""
    named = f"{prefix}{text}".partition("/_history/")[0]
    if named not in ("Patient/eve", "http://server.test/fhir/Patient/eve"):
        assert not EVE.is_patient({"reference": f"{prefix}{text}"})


def test_the_own_id_is_the_patients() -> None:
    """The literal reference is, and none that says more than the id."""
    for text in ("Patient/eve", "http://server.test/fhir/Patient/eve", "Patient/eve/_history/1"):
        assert EVE.is_patient({"reference": text})
        assert not EVE.is_patient({"reference": text, "identifier": {"value": "B"}})
        assert not EVE.is_patient({"reference": text, "_reference": {"extension": []}})


@given(st.dictionaries(st.sampled_from(sorted(table("Patient").elements)), st.just([{"text": "x"}]), min_size=1))
def test_of_the_patient_only_the_table_may_change(changes: dict[str, Any]) -> None:
    """Whatever elements of the own Patient a write changes, one that is not in the table is refused, and named."""
    before = {"resourceType": "Patient", "id": "eve"}
    after = {**before, **changes, "id": "eve", "meta": {}}
    change = Change("update", "Patient", "eve", {}, after, lambda: before)
    outside = changes.keys() - RULES["Patient"].elements - {"id", "meta", "language", "text", "contained"}
    if outside:
        with pytest.raises(Forbidden) as refused:
            require_permitted(change, EVE)
        named = {issue.expression[0].split(".")[1] for issue in refused.value.issues}
        assert outside <= named


@pytest.mark.parametrize("resource_type", sorted(RULES))
def test_every_element_outside_the_table_is_refused(resource_type: str) -> None:
    """Created, changed or removed, an element that the table does not name is refused by its name."""
    rule = RULES[resource_type]
    about = {rule.subject: {"reference": "Patient/eve"}} if rule.subject else {}
    plain = {"resourceType": resource_type, "id": "1", **about}
    for name, element in table(resource_type).elements.items():
        named = name in rule.elements | rule.authors or f"{element.choice}[x]" in rule.elements
        if named or name in {"id", "meta", "language", "text", "contained", rule.subject}:
            continue
        for key in (name, f"_{name}"):
            other = {**plain, key: [{"text": "x"}]}
            for before, after in (({}, other), (plain, other), (other, plain)):
                change = Change("update", resource_type, "1", {}, after, lambda stored=before: stored)  # type: ignore[misc]
                with pytest.raises(Forbidden) as refused:
                    require_permitted(change, EVE)
                assert f"{resource_type}.{key}" in {issue.expression[0] for issue in refused.value.issues}


@pytest.mark.parametrize("resource_type", sorted(RULES))
def test_no_element_of_the_table_leads_to_another_patient(resource_type: str) -> None:
    """A reference anywhere in an element that may be written, extensions included, names no other patient."""
    rule = RULES[resource_type]
    about = {rule.subject: {"reference": "Patient/eve"}} if rule.subject else {}
    for name in table(resource_type).elements:
        if name in {"id", "meta", rule.subject}:
            continue
        for value in _leading({"reference": "Patient/bea"}, table(resource_type).elements[name], 3):
            after = {"resourceType": resource_type, "id": "1", **about, name: value}
            with pytest.raises(Forbidden):
                require_permitted(Change("update", resource_type, "1", {}, after), EVE)


def _leading(reference: dict[str, str], element: Element, depth: int) -> Iterator[Any]:
    """Yield values of the element that hold the reference in each place of theirs, some levels down."""
    if element.type == "Reference":
        yield [reference] if element.many else reference
    elif depth and not element.primitive and element.type not in ("Resource", "Extension"):
        for inner in table(element.type).elements.values():
            for value in _leading(reference, inner, depth - 1):
                yield [{inner.name: value}] if element.many else {inner.name: value}
    elif element.type == "Extension":
        yield [{"url": "urn:x", "valueReference": reference}]
    elif element.type == "Resource":
        yield [{"resourceType": "Organization", "id": "o", "partOf": reference}]


def test_a_mark_replaces_any_other() -> None:
    """Marking twice is marking once, other labels and extensions stay, and taking the mark away leaves those."""
    label, extension = {"system": "urn:x", "code": "R"}, {"url": "urn:y", "valueCode": "z"}
    resource = {"resourceType": "Basic", "meta": {"security": [label], "extension": [extension]}}
    once = marked(resource, "Patient/eve")
    assert marked(marked(resource, "RelatedPerson/r"), "Patient/eve") == once
    assert reporter_of(once) == "Patient/eve"
    assert label in once["meta"]["security"]
    assert unmarked(once)["meta"]["extension"] == [extension]
    assert reporter_of(unmarked(once)) is None
    assert [each["url"] for each in once["meta"]["extension"]] == [
        "urn:y",
        own_url("StructureDefinition", "reported-by"),
    ]
