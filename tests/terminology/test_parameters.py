"""Reading Parameters: what is said wrongly is an error with its place, never a failure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import terminology
from terminology import MemorySource, TerminologyError
from terminology.parameters import outcomes, requests, results
from terminology.parameters.batch import batch_validate
from terminology.parameters.reader import ParametersReader
from terminology.parameters.structure import check_structure

Json = dict[str, Any]
S = "http://example.org/system"
SYSTEM = {
    "resourceType": "CodeSystem",
    "url": S,
    "content": "complete",
    "concept": [{"code": "a", "display": "A", "concept": [{"code": "b", "designation": [{"value": "B"}]}]}],
}
VALUE_SET = {
    "resourceType": "ValueSet",
    "url": "http://example.org/vs",
    "compose": {"include": [{"system": S, "filter": [{"property": "code", "op": "=", "value": "a"}]}]},
}


CODING = {"name": "coding", "valueCoding": {"system": S, "code": "a"}}


def reader(*parameters: Json) -> ParametersReader:
    return ParametersReader({"resourceType": "Parameters", "parameter": list(parameters)})


def test_parameters_that_nothing_reads_are_named() -> None:
    """So that a server can refuse them."""
    parameters = reader({"name": "url", "valueUri": "x"}, {"name": "colour", "valueString": "red"})
    requests.read_expand(parameters)
    assert parameters.unread == ["colour"]


@pytest.mark.parametrize(
    "parameter",
    [
        {"name": "count", "valueInteger": -1},
        {"name": "count", "valueString": "many"},
        {"name": "offset", "valueDecimal": 1.5},
        {"name": "activeOnly", "valueString": "yes"},
        {"name": "displayLanguage", "valueCode": "-"},
        {"name": "system-version", "valueCanonical": "http://example.org"},
        {"name": "valueSet", "resource": {"resourceType": "CodeSystem"}},
        {"name": "valueSet", "valueString": "x"},
        {"name": "url", "valueCoding": {"code": "x"}},
        {"name": "tx-resource", "resource": {"resourceType": "ValueSet", "compose": {"include": {}}}},
    ],
)
def test_a_bad_value_is_an_error(parameter: Json) -> None:
    """Each parameter has its type."""
    with pytest.raises(TerminologyError):
        requests.read_expand(reader(parameter))


def test_an_outcome_has_text_type_and_place() -> None:
    """And the message's id where it is one of the ecosystem's."""
    with pytest.raises(TerminologyError) as error:
        check_structure({"resourceType": "CodeSystem", "concept": [{"code": 1}]})
    issue = outcomes.write_outcome(error.value.issues)["issue"][0]
    assert (issue["code"], issue["expression"]) == ("structure", ["CodeSystem.concept[0].code"])


def test_each_validation_of_a_batch_has_its_own_result() -> None:
    """What they share is said once; one that is at fault does not end the others."""
    other = {"name": "coding", "valueCoding": {"system": S, "code": "b"}}
    items = [[CODING], [{"name": "coding", "valueString": "a"}], [other]]
    body = {
        "parameter": [
            {"name": "valueSet", "resource": VALUE_SET},
            *({"name": "validation", "resource": {"parameter": each}} for each in items),
        ]
    }
    answers = [each["resource"] for each in batch_validate(body, MemorySource([SYSTEM]))["parameter"]]
    assert [each["resourceType"] for each in answers] == ["Parameters", "OperationOutcome", "Parameters"]
    assert [answers[index]["parameter"][0]["valueBoolean"] for index in (0, 2)] == [True, False]


def mutations(value: Any) -> st.SearchStrategy[Any]:
    """Return the value with something in it replaced by something else."""
    other = st.sampled_from([None, 1, "", "x", True, [], {}, [1], ["x"], {"x": 1}, [{}], [[]]])
    if isinstance(value, dict) and value:
        return st.one_of(
            other,
            st.sampled_from(sorted(value)).flatmap(
                lambda key: mutations(value[key]).map(lambda changed: {**value, key: changed})
            ),
        )
    if isinstance(value, list) and value:
        return st.one_of(other, mutations(value[0]).map(lambda changed: [changed, *value[1:]]))
    return other


@given(mutations(SYSTEM), mutations(VALUE_SET), mutations([CODING]))
@settings(max_examples=200, deadline=None)
def test_no_resource_or_parameter_breaks_an_operation(system: Any, value_set: Any, more: Any) -> None:
    """Whatever a request brings along, the answer is a result or an error about the request."""
    sent = [{"name": "tx-resource", "resource": system}, {"name": "valueSet", "resource": value_set}]
    body = {"parameter": [*sent, *(more if isinstance(more, list) else [more])]}
    source = MemorySource()
    try:
        parameters = ParametersReader(body)
        results.write_expansion(terminology.expand(requests.read_expand(parameters), source))
    except TerminologyError as error:
        outcomes.write_outcome(error.issues)
    try:
        parameters = ParametersReader(body)
        results.write_validation(terminology.validate_in_value_set(requests.read_validate(parameters), source))
    except TerminologyError as error:
        outcomes.write_outcome(error.issues)


CONCEPT_MAP = {
    "resourceType": "ConceptMap",
    "url": "http://example.org/map",
    "sourceUri": "http://example.org/vs",
    "group": [
        {
            "source": S,
            "target": "http://example.org/other",
            "element": [
                {
                    "code": "a",
                    "target": [
                        {
                            "code": "x",
                            "equivalence": "wider",
                            "dependsOn": [{"property": "p", "value": "1"}],
                            "product": [{"property": "q", "value": "2"}],
                        }
                    ],
                }
            ],
            "unmapped": {"mode": "fixed", "code": "u"},
        }
    ],
}
SUPPLEMENT = {
    "resourceType": "CodeSystem",
    "url": "http://example.org/supplement",
    "content": "supplement",
    "supplements": S,
    "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/codesystem-supplement-type", "valueCode": "lang-pack"}
    ],
    "concept": [
        {
            "code": "a",
            "display": "Ä",
            "designation": [{"language": "de", "value": "Ah", "use": {"system": "s", "code": "c"}}],
            "property": [{"code": "p", "valueCode": "v"}],
            "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/itemWeight", "valueDecimal": 1}],
        }
    ],
}


@given(mutations(CONCEPT_MAP), mutations(SUPPLEMENT))
@settings(max_examples=200, deadline=None)
def test_no_map_or_supplement_breaks_an_operation(concept_map: Any, supplement: Any) -> None:
    """Translation and lookup answer, or tell what is wrong."""
    sent = [{"name": "tx-resource", "resource": each} for each in (SYSTEM, supplement, concept_map)]
    body = {"parameter": [*sent, {"name": "system", "valueUri": S}, {"name": "code", "valueCode": "a"}]}
    source = MemorySource([VALUE_SET])
    try:
        results.write_lookup(terminology.lookup(requests.read_lookup(ParametersReader(body)), source))
    except TerminologyError as error:
        outcomes.write_outcome(error.issues)
    try:
        results.write_translation(terminology.translate(requests.read_translate(ParametersReader(body)), source))
    except TerminologyError as error:
        outcomes.write_outcome(error.issues)
