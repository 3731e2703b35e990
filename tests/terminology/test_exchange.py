"""Operations from Parameters to Parameters, with the names that FHIR gives them."""

from __future__ import annotations

from typing import Any

import pytest

import terminology
from terminology import Coding, MemorySource, TerminologyError
from terminology.content.references import Reference
from terminology.parameters import requests, results
from terminology.parameters.reader import ParametersReader
from tests.terminology.test_operations import S, concept_map, system, value_set

Json = dict[str, Any]
OTHER = "http://example.org/tiere"


def reader(**values: Any) -> ParametersReader:
    """Return parameters: text as valueString, objects as Coding or CodeableConcept, lists as parts."""
    return ParametersReader({"parameter": [parameter(name, value) for name, value in values.items()]})


def parameter(name: str, value: Any) -> Json:
    if isinstance(value, list):
        return {"name": name, "part": value}
    if isinstance(value, dict):
        kind = "resource" if "resourceType" in value else f"value{'CodeableConcept' if 'coding' in value else 'Coding'}"
        return {"name": name, kind: value}
    return {"name": name, "valueBoolean" if isinstance(value, bool) else "valueString": value}


def answers(body: Json, name: str) -> list[Any]:
    """Return the values of a result's parameters, parts as pairs."""
    items = [each for each in body["parameter"] if each["name"] == name]
    return [
        {part["name"]: value_of(part) for part in each["part"]} if "part" in each else value_of(each) for each in items
    ]


def value_of(element: Json) -> Any:
    return next((value for key, value in element.items() if key.startswith("value")), None)


@pytest.mark.parametrize(
    ("sent", "outcome"),
    [
        ({"system": S, "codeA": "Animal", "codeB": "Dog"}, "subsumes"),
        ({"system": S, "codeA": "Dog", "codeB": "Animal", "version": "2.0.0"}, "subsumed-by"),
        ({"codingA": {"system": S, "code": "Dog"}, "codingB": {"system": S, "code": "dog"}}, "equivalent"),
        ({"system": S, "codeA": "Dog", "codeB": "Bird"}, "not-subsumed"),
    ],
)
def test_subsumes(sent: dict[str, Any], outcome: str) -> None:
    """Codes of one system, or codings."""
    result = terminology.subsumes(requests.read_subsumes(reader(**sent)), MemorySource([system()]))
    assert answers(results.write_subsumption(result), "outcome") == [outcome]


@pytest.mark.parametrize(
    "sent",
    [
        {"codingA": {"system": S, "code": "Dog"}, "codingB": {"system": OTHER, "code": "Hund"}},
        {
            "codingA": {"system": S, "version": "1", "code": "Dog"},
            "codingB": {"system": S, "version": "2", "code": "x"},
        },
        {"system": S, "codeA": "Dog"},
        {"codeA": "Dog", "codeB": "Bird"},
    ],
)
def test_subsumes_refuses(sent: dict[str, Any]) -> None:
    """Codes of two systems or versions, and what is missing."""
    with pytest.raises(TerminologyError):
        terminology.subsumes(requests.read_subsumes(reader(**sent)), MemorySource([system()]))


@pytest.mark.parametrize(
    "sent",
    [
        {"system": S, "code": "Dog", "targetsystem": OTHER},
        {"coding": {"system": S, "code": "Dog"}, "url": "http://example.org/map"},
        {"codeableConcept": {"coding": [{"system": S, "code": "Dog"}]}, "source": "http://example.org/vs"},
        {"sourceCode": "Dog", "sourceSystem": S, "targetSystem": OTHER},
        {"sourceCoding": {"system": S, "code": "Dog"}, "conceptMap": concept_map()},
        {"sourceCodeableConcept": {"coding": [{"system": S, "code": "Dog"}]}, "targetScope": "http://example.org/none"},
    ],
)
def test_translate_by_the_names_of_r4_and_r5(sent: dict[str, Any]) -> None:
    """Either way the same translation."""
    source = MemorySource([system(), value_set(), concept_map()])
    body = results.write_translation(terminology.translate(requests.read_translate(reader(**sent)), source))
    assert answers(body, "result") == [True]
    assert answers(body, "match") == [
        {
            "equivalence": "equivalent",
            "concept": {"system": OTHER, "code": "Hund"},
            "originMap": "http://example.org/map|1",
        }
    ]


def test_translate_tells_a_code_outside_of_the_scope() -> None:
    """Nothing is translated that is not in the value set that the caller named."""
    source = MemorySource([system(), value_set({"system": S, "concept": [{"code": "Bird"}]}), concept_map()])
    sent = reader(system=S, code="Dog", source="http://example.org/vs")
    body = results.write_translation(terminology.translate(requests.read_translate(sent), source))
    assert (answers(body, "result"), answers(body, "match")) == ([False], [])


def test_a_mapping_applies_where_what_it_depends_on_is_given() -> None:
    """And tells what it produces beside the code."""
    target = {
        "code": "Welpe",
        "equivalence": "wider",
        "comment": "when young",
        "dependsOn": [{"property": "http://example.org/age", "system": OTHER, "value": "young"}],
        "product": [{"property": "http://example.org/size", "system": OTHER, "value": "small"}],
    }
    source = MemorySource([system(), concept_map(element=[{"code": "Dog", "target": [target]}])])
    young = [
        {"name": "element", "valueUri": "http://example.org/age"},
        {"name": "concept", "valueCodeableConcept": {"coding": [{"system": OTHER, "code": "young"}]}},
    ]
    body = results.write_translation(
        terminology.translate(requests.read_translate(reader(system=S, code="Dog", dependency=young)), source)
    )
    assert [each["comment"] for each in answers(body, "match")] == ["when young"]
    old = [young[0], {"name": "concept", "valueCodeableConcept": {"coding": [{"code": "old"}]}}]
    for more in ({}, {"dependency": old}):
        sent = reader(system=S, code="Dog", **more)
        assert terminology.translate(requests.read_translate(sent), source).matches == []


def test_find_matches() -> None:
    """What is wanted comes as parts, and what a code lacks goes back so."""
    legs = [{"name": "code", "valueCode": "legs"}, {"name": "value", "valueInteger": 4}]
    source = MemorySource([system()])
    body = results.write_code_matches(
        terminology.find_matches(requests.read_find_matches(reader(system=S, property=legs)), source)
    )
    assert answers(body, "match") == [{"code": {"system": S, "version": "2.0.0", "code": "Dog", "display": "Dog"}}]
    for sent in (
        {"system": S},
        {"property": legs},
        {"system": S, "property": legs[:1]},
        {"system": S, "property": legs, "compositional": True},
        {"system": S, "property": [{"name": "code", "valueCode": "wings"}, legs[1]]},
        {"system": OTHER, "property": legs},
    ):
        with pytest.raises(TerminologyError):
            terminology.find_matches(requests.read_find_matches(reader(**sent)), source)


def test_closure_is_a_concept_map() -> None:
    """Each concept with those above it; without news there is no group."""
    entries = terminology.extend_closure(
        [Coding(S, None, "Dog")], [Coding(S, None, "Animal")], MemorySource([system()])
    )
    result = results.write_closure("mine", "2", entries)
    assert result["group"][0]["element"] == [{"code": "Dog", "target": [{"code": "Animal", "equivalence": "subsumes"}]}]
    assert "group" not in results.write_closure("mine", "2", [])


def test_references_of_resources() -> None:
    """What a source has to have before an operation asks."""
    contained = {"resourceType": "ValueSet", "id": "c", **value_set({"system": OTHER})}
    resource = {
        **value_set({"system": S, "version": "2.0.0"}, {"valueSet": ["#c", "http://example.org/b|1"]}),
        "contained": [contained],
    }
    assert terminology.references(resource) == {
        Reference("CodeSystem", f"{S}|2.0.0"),
        Reference("CodeSystem", OTHER),
        Reference("ValueSet", "http://example.org/b|1"),
    }
    result = terminology.references(concept_map(unmapped={"mode": "other-map", "url": "http://example.org/next"}))
    assert Reference("ConceptMap", "http://example.org/next") in result
    supplement = {"resourceType": "CodeSystem", "supplements": S}
    assert terminology.references(supplement) == {Reference("CodeSystem", S)}
    assert terminology.references({"resourceType": "Patient"}) == set()


def validated(source: MemorySource, **sent: Any) -> Json:
    request = requests.read_validate(reader(**sent))
    return results.write_validation(terminology.validate_in_value_set(request, source))


def ids(body: Json) -> list[tuple[str, str | None]]:
    issues = next((each["resource"]["issue"] for each in body["parameter"] if each["name"] == "issues"), [])
    return [(each["severity"], each.get("extension", [{}])[0].get("valueString")) for each in issues]


def test_one_valid_coding_stands_for_those_that_cannot_be_checked() -> None:
    """The unknown system of another is a warning, as it vetoes nothing."""
    both = {"coding": [{"system": OTHER, "code": "Hund"}, {"system": S, "code": "Dog"}]}
    include = [{"system": S}, {"system": OTHER}]
    body = validated(MemorySource([system()]), valueSet=value_set(*include), codeableConcept=both)
    assert answers(body, "result") == [True]
    assert ids(body) == [("warning", "UNKNOWN_CODESYSTEM_CODING_NOT_CHECKED")]


@pytest.mark.parametrize(
    ("coding", "message_id"),
    [
        ({"system": S}, "Coding_has_no_code__cannot_validate"),
        ({"display": "Dog"}, "Coding_has_no_system_or_code__cannot_validate"),
        ({"code": "Dog"}, "Coding_has_no_system__cannot_validate"),
    ],
)
def test_a_coding_that_lacks_something_is_no_error_of_the_request(coding: Json, message_id: str) -> None:
    """It is not valid, and a warning says what is missing."""
    body = validated(MemorySource([system()]), valueSet=value_set(), coding=coding)
    assert answers(body, "result") == [False]
    assert ("warning", message_id) in ids(body)


def test_expressions_are_refused_by_name() -> None:
    """A code system that has a grammar, which is not known here, does not take its expressions for unknown codes."""
    source = MemorySource([system(compositional=True)])
    body = validated(source, valueSet=value_set(), coding={"system": S, "code": "Dog:legs=4"})
    assert answers(body, "result") == [False]
    assert ("information", "POSTCOORDINATION_NOT_SUPPORTED") in ids(body)


def test_membership_alone_says_nothing_of_why_not() -> None:
    """For a caller who asks for no more."""
    more: dict[str, Any] = {"valueset-membership-only": True}
    body = validated(MemorySource([system()]), valueSet=value_set(), coding={"system": S, "code": "Cat"}, **more)
    assert ids(body) == [("error", "None_of_the_provided_codes_are_in_the_value_set_one")]


def test_a_display_cannot_be_judged_where_there_is_none() -> None:
    """The code is valid, with a warning."""
    source = MemorySource([system(concept=[{"code": "x", "designation": []}, {"code": "y", "display": "Y"}])])
    body = validated(source, valueSet=value_set(), coding={"system": S, "code": "x", "display": "X"})
    assert answers(body, "result") == [True]
