"""The expressions of search parameters, and that all of the specification's expressions compile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from fhir_server.r4 import definitions, fhirpath
from fhir_server.r4.fhirpath import Item, compile_path
from tests.unit.r4.fhirpath_examples import OBSERVATION, PATIENT
from tests.unit.r4.generated_resources import resources


def test_every_search_parameter_of_the_specification_compiles_for_each_of_its_types() -> None:
    """Each official search expression, components included, gives a path for each type that it is for."""
    compiled = 0
    for parameter in definitions.search_parameters():
        for base in parameter.base if parameter.expression else ():
            compile_path(parameter.expression, base)
            compiled += 1
    assert compiled > 1_600


def test_every_invariant_of_the_specification_compiles() -> None:
    """Each official invariant, of types and of elements, compiles."""
    expressions = set()
    for name in definitions.TABLE_NAMES:
        table = definitions.table(name)
        items = [*table.invariants, *(each for element in table.elements.values() for each in element.invariants)]
        expressions.update(invariant.expression for invariant in items)
    for expression in expressions:
        assert fhirpath.compile(expression)
    assert len(expressions) > 190


@settings(deadline=None)
@given(resources())
def test_a_path_of_one_element_gives_what_stands_in_the_json(resource: dict[str, Any]) -> None:
    """For each property of a resource, the path of its name gives its values with their type."""
    name = resource["resourceType"]
    for element in definitions.table(name).elements.values():
        result = compile_path(f"{name}.{element.choice or element.name}", name)(resource)
        stands = resource.get(element.name)
        expected = stands if isinstance(stands, list) else [] if stands is None else [stands]
        of_type = [item for item in result if item.type == element.type or element.type == "Resource"]
        assert [item.value for item in of_type if item.value is not None] == [
            each for each in expected if each is not None
        ]


@settings(deadline=None)
@given(resources())
def test_every_search_expression_can_be_evaluated(resource: dict[str, Any]) -> None:
    """No official search expression fails on any resource that is right in structure."""
    name = resource["resourceType"]
    for parameter in definitions.search_parameters():
        if parameter.expression and name in parameter.base:
            assert all(isinstance(item, Item) for item in compile_path(parameter.expression, name)(resource))


def test_a_union_keeps_the_branches_of_its_type() -> None:
    """Of an expression for several types, only the branches that start at the type are evaluated."""
    path = compile_path("Patient.telecom.where(system='email') | Person.telecom.where(system='email')", "Patient")
    assert [item.value["value"] for item in path(PATIENT)] == ["a@example.org"]
    assert compile_path("Resource.id | Patient.gender", "Patient")(PATIENT) == [Item("id", "p"), Item("code", "female")]


def test_an_expression_for_other_types_is_refused() -> None:
    """An expression without a branch for the type is a ValueError."""
    with pytest.raises(ValueError, match="starts at Encounter"):
        compile_path("Patient.name | Person.name", "Encounter")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("(Observation.value as Quantity)", ["Quantity"]),
        ("(Observation.value as CodeableConcept)", []),
        ("(Observation.component.value as CodeableConcept).text", ["string"]),
        ("(Observation.value as Quantity) | (Observation.component.value as Quantity)", ["Quantity", "Quantity"]),
        ("Observation.effective", ["dateTime"]),
        ("Observation.component[1].value", ["CodeableConcept"]),
        ("Observation", ["Observation"]),
        ("Observation.value.exists() and Observation.status != 'x'", ["boolean"]),
    ],
)
def test_the_type_of_a_choice_is_kept(expression: str, expected: list[str]) -> None:
    """`as` filters a choice by type, and the items say which type they are."""
    assert [item.type for item in compile_path(expression, "Observation")(OBSERVATION)] == expected


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [
        ("Practitioner", ["Practitioner/1", None]),
        ("Organization", ["http://example.org/fhir/Organization/2/_history/3"]),
        ("Patient", []),
    ],
)
def test_resolve_in_a_search_expression_asks_only_the_reference(type_name: str, expected: list[str | None]) -> None:
    """`resolve() is T` is decided by the reference's text or its type, without any other resource."""
    path = compile_path(f"Patient.generalPractitioner.where(resolve() is {type_name})", "Patient")
    assert [item.value.get("reference") for item in path(PATIENT)] == expected


def test_resolve_in_a_search_expression_looks_into_contained_resources() -> None:
    """A reference to a contained resource is of that resource's type."""
    path = compile_path("Patient.managingOrganization.where(resolve() is Organization)", "Patient")
    assert path(PATIENT) == [Item("Reference", {"reference": "#o"})]
    assert compile_path("Patient.managingOrganization.where(resolve() is Patient)", "Patient")(PATIENT) == []


def test_a_component_is_evaluated_on_an_element() -> None:
    """The expressions of a composite's components start at the composite's element."""
    path = compile_path("value.as(Quantity) | value.as(Range)", "Observation.component")
    items = [item.value for component in OBSERVATION["component"] for item in path(component, OBSERVATION)]
    assert items == [OBSERVATION["component"][2]["valueQuantity"]]


def test_a_component_may_reach_the_resource() -> None:
    """`%resource` in a component is the resource that holds the element."""
    path = compile_path("%resource.status", "Observation.component")
    assert path(OBSERVATION["component"][0], OBSERVATION) == [Item("code", "final")]


def test_a_primitive_with_only_an_extension_is_given_with_it() -> None:
    """An element that has an extension and no value is an item without a value."""
    patient = {"resourceType": "Patient", "_birthDate": {"extension": [{"url": "x", "valueCode": "unknown"}]}}
    (item,) = compile_path("Patient.birthDate", "Patient")(patient)
    assert (item.value, item.extension) == (None, patient["_birthDate"])
    extension = compile_path("Patient.birthDate.extension('x').value", "Patient")
    assert extension(patient) == [Item("code", "unknown")]


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("Patient.birthDate < now()", "now"),
        ("Patient.birthDate < today()", "today"),
        ("Patient.nonsense", "no element 'nonsense'"),
        ("Patient.name.nonsense", "no element 'nonsense'"),
        ("Patient.name.where(nonsense = 'x')", "no element 'nonsense'"),
        ("Patient.deceasedBoolean", "no element 'deceasedBoolean'"),
        ("Patient.name.memberOf('x')", "not supported"),
        ("Patient.name.where(", "Unexpected"),
    ],
)
def test_a_custom_search_parameter_cannot_ask_for_what_is_not_there(expression: str, fault: str) -> None:
    """A function that an index cannot rest on, or a name that the type does not have, is a ValueError that names it."""
    with pytest.raises(ValueError, match=fault):
        compile_path(expression, "Patient")
