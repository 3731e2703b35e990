"""The official invariants: each is evaluated, or another check holds it, and none passes because it could not be."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.r4 import fhirpath
from fhir_server.r4.definitions import TABLE_NAMES, Invariant, table
from fhir_server.r4.validation import validate
from fhir_server.r4.validation.faults import Scope
from fhir_server.r4.validation.invariants import (
    CHECKED_BY_CODE,
    UNDECIDED,
    enforced,
    invariant_rule,
    is_decided_by_shape,
    shape_faults,
)

# The invariants of R4 that this server cannot evaluate; the list only shrinks.
CANNOT_BE_EVALUATED: frozenset[str] = frozenset()


def official() -> list[tuple[str, Invariant]]:
    """Return every invariant with the type of the node that it is for."""
    of_types = [(name, each) for name in TABLE_NAMES for each in table(name).invariants]
    of_elements = [
        (element.type, each)
        for name in TABLE_NAMES
        for element in table(name).elements.values()
        for each in element.invariants
    ]
    return of_types + of_elements


def test_all_errors_are_enforced_or_checked_by_code() -> None:
    """Of the official invariants of severity error only those that other checks hold are not evaluated."""
    errors = {each.key for _, each in official() if each.severity == "error"}
    evaluated = {each.key for _, each in official() if enforced([each])}
    assert errors - evaluated == CHECKED_BY_CODE
    assert len(errors) == 204


def test_every_enforced_invariant_can_be_evaluated() -> None:
    """Each expression compiles and gives a verdict on an object of its type, but for those of the baseline."""
    failed = set()
    for type_name, invariant in official():
        if enforced([invariant]):
            node: Any = "1" if table(type_name).kind == "primitive" else {"id": "x"}
            faults = invariant_rule(invariant, type_name)(node, Scope({})) or []
            failed |= {invariant.key for fault in faults if fault.code == UNDECIDED}
    assert failed == CANNOT_BE_EVALUATED


def test_what_cannot_be_evaluated_is_a_fault() -> None:
    """An invariant that raises is reported and not passed over."""
    invariant = Invariant("x-1", "error", "Never decided.", "noSuchFunction()")
    (fault,) = invariant_rule(invariant, "Patient")({}, Scope({})) or []
    assert fault.code == UNDECIDED
    assert "x-1" in fault.text


def test_other_faults_explain_an_undecided_invariant() -> None:
    """Where a planted fault keeps an invariant from being evaluated, only the planted fault is reported."""
    appointment = {
        "resourceType": "Appointment",
        "status": ["proposed", "booked"],
        "participant": [{"status": "accepted"}],
    }
    codes = {issue.code for issue in validate(appointment, max_depth=20)}
    assert "structure" in codes
    assert UNDECIDED not in codes


@pytest.mark.parametrize(
    ("expression", "decided"),
    [
        ("low.exists() or high.exists() or text.exists()", True),
        ("(numerator.empty() xor denominator.exists()) and (numerator.exists() or extension.exists())", True),
        ("contained.contained.empty()", False),
        ("start.hasValue().not() or end.hasValue().not() or (start <= end)", False),
        ("mode = 'changes' or entry.empty()", False),
    ],
)
def test_which_invariants_a_shape_decides(expression: str, decided: bool) -> None:
    """Only the existence of direct children may be asked for, joined by logic."""
    assert is_decided_by_shape(Invariant("x", "error", "", expression)) is decided


def test_a_shape_decides_as_the_object_would() -> None:
    """For every set of two elements the shape's verdict is that of the expression on an object that has them."""
    source = table("Observation.referenceRange")
    (rule,) = enforced(source.invariants)
    for first in source.elements:
        for second in source.elements:
            present = frozenset((first, second))
            holds = bool(present & {"low", "high", "text"})
            assert (shape_faults(source, [rule], present) == []) is holds
            node = {name: "x" for name in present}
            assert fhirpath.compile(rule.expression).holds(node, source.name, resource={}) is holds


# (table, a broken instance, the key of the invariant it breaks); the resource around it is not needed.
BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("Age", {"value": 0, "code": "a", "system": "http://unitsofmeasure.org"}, "age-1"),
    ("AllergyIntolerance", {"patient": {"display": "x"}}, "ait-1"),
    ("Appointment", {"status": "booked", "participant": []}, "app-3"),
    ("Appointment.participant", {"status": "accepted"}, "app-1"),
    ("AuditEvent.entity", {"name": "x", "query": "AAAA"}, "sev-1"),
    ("Bundle", {"type": "document", "entry": [{"resource": {"resourceType": "Patient"}}]}, "bdl-11"),
    ("Bundle", {"type": "searchset", "entry": [{"fullUrl": "urn:a"}, {"fullUrl": "urn:a"}]}, "bdl-7"),
    ("CapabilityStatement", {"kind": "instance", "description": "x"}, "cpb-14"),
    ("CapabilityStatement.rest", {"mode": "server", "resource": [{"type": "Patient"}, {"type": "Patient"}]}, "cpb-9"),
    ("CodeSystem", {"concept": [{"code": "a", "concept": [{"code": "a"}]}]}, "csd-1"),
    ("ConceptMap.group.unmapped", {"mode": "fixed"}, "cmd-2"),
    ("Consent", {"scope": {"text": "x"}}, "ppc-1"),
    ("Duration", {"code": "h"}, "drt-1"),
    ("ElementDefinition", {"path": "a", "min": 2, "max": "1"}, "eld-2"),
    ("ElementDefinition", {"path": "a", "isModifier": True}, "eld-18"),
    ("FamilyMemberHistory", {"ageString": "x", "bornString": "y"}, "fhs-1"),
    ("Group", {"actual": False, "member": [{"entity": {"display": "x"}}]}, "grp-1"),
    ("InsurancePlan", {}, "ipn-1"),
    ("Linkage", {"item": [{"type": "source"}]}, "lnk-1"),
    ("List", {"mode": "working", "entry": [{"deleted": True}]}, "lst-2"),
    ("MeasureReport", {"type": "data-collection", "group": [{"id": "x"}]}, "mrp-1"),
    ("MedicationDispense", {"whenPrepared": "2020-01-02", "whenHandedOver": "2020-01-01"}, "mdd-1"),
    ("MolecularSequence", {"coordinateSystem": 2}, "msq-3"),
    ("NamingSystem", {"kind": "root", "uniqueId": [{"type": "uuid"}]}, "nsd-1"),
    ("OperationDefinition.parameter", {"searchType": "string", "type": "code"}, "opd-2"),
    ("Organization", {}, "org-1"),
    ("Questionnaire.item", {"type": "display", "required": True}, "que-6"),
    ("Questionnaire.item.enableWhen", {"operator": "exists", "answerString": "x"}, "que-7"),
    ("QuestionnaireResponse.item", {"answer": [{"valueString": "x"}], "item": [{"linkId": "1"}]}, "qrs-1"),
    ("Range", {"low": {"value": 2}, "high": {"value": 1}}, "rng-2"),
    ("Ratio", {"numerator": {"value": 1}}, "rat-1"),
    ("SearchParameter", {"type": "string", "chain": ["x"]}, "spd-2"),
    ("StructureDefinition", {"type": "Extension", "derivation": "constraint"}, "sdf-5"),
    ("StructureDefinition.snapshot", {"element": [{"path": "A"}]}, "sdf-3"),
    ("Task", {"authoredOn": "2020-01-02", "lastModified": "2020-01-01"}, "inv-1"),
    ("TestScript.setup.action.operation", {"type": {"code": "read"}, "targetId": "a", "url": "b"}, "tst-7"),
    ("Timing.repeat", {"offset": 1}, "tim-9"),
    ("TriggerDefinition", {"type": "data-added"}, "trd-3"),
    ("ValueSet.compose.include", {"concept": [{"code": "a"}]}, "vsd-1"),
]


@pytest.mark.parametrize(("name", "node", "key"), BROKEN)
def test_a_broken_invariant_is_named(name: str, node: dict[str, Any], key: str) -> None:
    """An object that breaks an invariant is found by that invariant."""
    (invariant,) = [each for each in table(name).invariants if each.key == key]
    (fault,) = invariant_rule(invariant, name)(node, Scope(node)) or []
    assert fault.text == f"{key}: {invariant.human}"


_SAMPLES: dict[str, Any] = {
    "boolean": True,
    "integer": 1,
    "positiveInt": 1,
    "unsignedInt": 1,
    "decimal": Decimal("1.5"),
    "date": "2020-01-01",
    "dateTime": "2020-01-01",
    "instant": "2020-01-01T00:00:00Z",
    "time": "10:00:00",
}


def crowded(type_name: str, names: set[str], depth: int = 4) -> dict[str, Any]:
    """Return an object of a type with two values of every repeating element that `names` has."""
    node: dict[str, Any] = {"resourceType": type_name} if table(type_name).kind == "resource" else {}
    choices = set()
    for element in table(type_name).elements.values():
        name = element.choice or element.name
        if name not in names or name in choices or element.type == "Resource":
            continue
        choices.add(name)
        value: Any = _SAMPLES.get(element.type, "x")
        if not element.primitive:
            value = (crowded(element.type, names, depth - 1) if depth else {}) or {"id": "x"}
        node[element.name] = [value, value] if element.many else value
    return node


def test_every_invariant_can_be_evaluated_on_several_values() -> None:
    """No invariant takes a repeating element for a single value."""
    undecided = set()
    for type_name, invariant in official():
        if enforced([invariant]) and table(type_name).kind != "primitive":
            node = crowded(type_name, set(re.findall("[A-Za-z]+", invariant.expression)) | {"element"})
            faults = invariant_rule(invariant, type_name)(node, Scope(node)) or []
            undecided |= {invariant.key for fault in faults if fault.code == UNDECIDED}
    assert undecided == set()


@pytest.mark.parametrize(
    ("when", "sound"),
    [(["ACM"], True), (["ACM", "ACD", "HS"], True), (["C"], False), (["ACM", "CV"], False), (None, False)],
)
def test_an_offset_needs_an_event_and_none_that_is_a_meal(when: list[str] | None, sound: bool) -> None:
    """tim-9 holds for every value of `when`."""
    repeat: dict[str, Any] = {"offset": 30} | ({} if when is None else {"when": when})
    request = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "x"},
        "subject": {"display": "x"},
        "dosageInstruction": [{"timing": {"repeat": repeat}}],
    }
    assert (validate(request, max_depth=20) == []) is sound


def _patient(div: str, contained: list[dict[str, Any]]) -> dict[str, Any]:
    text = {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{div}</div>'}
    return {"resourceType": "Patient", "text": text, "contained": contained}


_IMAGE = {"resourceType": "Binary", "id": "img", "contentType": "image/png", "data": "AAAA"}


@pytest.mark.parametrize(
    "div", ['<img src="#img" alt="x"/>', "a <img src='&#35;img'/>", '<p>a <a href="#img">b</a></p>']
)
def test_the_narrative_refers_to_what_it_shows(div: str) -> None:
    """A contained resource that the narrative shows or links to is used (dom-3)."""
    assert validate(_patient(div, [_IMAGE]), max_depth=20) == []


@pytest.mark.parametrize("div", ["#img", '<img src="#other"/>', '<p id="#img">x</p>', "<!-- #img -->x"])
def test_what_the_narrative_only_names_is_not_used(div: str) -> None:
    """Neither text nor another attribute is a reference."""
    assert "dom-3" in str(validate(_patient(div, [_IMAGE]), max_depth=20))
