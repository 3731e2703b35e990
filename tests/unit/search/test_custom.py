"""What a SearchParameter resource must be for this server to use it."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search.custom import claims, definition, faults
from fhir_server.search.reachable_types import fault
from fhir_server.search.registry import official_parameters

EYES: dict[str, Any] = {
    "resourceType": "SearchParameter",
    "url": "http://example.org/SearchParameter/eyes",
    "name": "Eyes",
    "status": "active",
    "description": "Colour of the eyes",
    "code": "eyes",
    "base": ["Patient"],
    "type": "token",
    "expression": "Patient.extension.where(url = 'http://example.org/eyes').value",
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an expression that is no FHIRPath": ({"expression": "(("}, "expression"),
    "no expression": ({"expression": ""}, "expression"),
    "an element that the type lacks": ({"expression": "Patient.colour"}, "expression"),
    "a base without a path": ({"base": ["Patient", "Group"]}, "expression"),
    "a choice by its JSON name": ({"expression": "Patient.deceasedBoolean"}, "expression"),
    "a type that a choice has not": ({"expression": "Patient.deceased.ofType(Reference)"}, "expression"),
    "an extension without its value": ({"expression": "Patient.extension.where(url = 'urn:x')"}, "expression"),
    "an extension by function": ({"expression": "Patient.extension('urn:x')"}, "expression"),
    "an extension's value by its JSON name": ({"expression": "Patient.extension('urn:x').valueCode"}, "expression"),
    "one path of two that leads nowhere": ({"expression": "Patient.id | Patient.multipleBirthInteger"}, "expression"),
    "a reference to a date": ({"type": "reference", "expression": "Patient.birthDate"}, "expression"),
    "a date of a backbone": ({"type": "date", "expression": "Patient.contact"}, "expression"),
    "a number of a text": ({"type": "number", "expression": "Patient.name.family"}, "expression"),
    "the time of day": ({"expression": "Patient.birthDate.where($this < today())"}, "expression"),
    "the present": ({"expression": "Patient.deceased.where($this < now())"}, "expression"),
    "an official code": ({"code": "family"}, "code"),
    "an official code of all types": ({"base": ["Resource"], "code": "identifier", "expression": "id"}, "code"),
    "a code that a URL would misread": ({"code": "eyes:left"}, "code"),
    "a code that looks like a result parameter": ({"code": "_eyes"}, "code"),
    "an official URL": ({"url": "http://hl7.org/fhir/SearchParameter/Patient-active"}, "url"),
    "a relative URL": ({"url": "eyes"}, "url"),
    "the type special": ({"type": "special"}, "type"),
    "a composite without components": ({"type": "composite"}, "component"),
    "a distance": ({"xpathUsage": "distance"}, "xpathUsage"),
}
COMPOSITE: dict[str, Any] = {
    "type": "composite",
    "expression": "Patient.contact",
    "component": [
        {"definition": "http://hl7.org/fhir/SearchParameter/individual-gender", "expression": "gender"},
        {"definition": "http://hl7.org/fhir/SearchParameter/individual-birthdate", "expression": "period.start"},
    ],
}


@pytest.mark.parametrize(
    "change",
    [{}, COMPOSITE, {"type": "string", "xpathUsage": "phonetic"}, {"base": ["Resource"], "expression": "meta.source"}],
)
def test_what_can_be_indexed_is_taken(change: dict[str, Any]) -> None:
    """A token on an extension, a composite, a phonetic string and a parameter of all types have no fault."""
    assert faults(EYES | change) == []


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_indexed_is_refused_at_its_element(reason: str) -> None:
    """Each fault names the element that it is about."""
    change, element = REFUSED[reason]
    assert [issue.expression for issue in faults(EYES | change)] == [(f"SearchParameter.{element}",)]


def test_a_component_cannot_rest_on_the_present() -> None:
    """now() is refused in a component's expression too, and the place is that component's."""
    component = [COMPOSITE["component"][0], COMPOSITE["component"][1] | {"expression": "now()"}]
    result = faults(EYES | COMPOSITE | {"component": component})
    assert [issue.expression for issue in result] == [("SearchParameter.component[1].expression",)]


@pytest.mark.parametrize("status", ["draft", "retired", "unknown"])
def test_only_an_active_one_is_used(status: str) -> None:
    """One that is not active may say anything, adds nothing and occupies nothing."""
    resource = EYES | {"status": status, "expression": "((", "code": "family"}
    assert (definition(resource), faults(resource), claims(resource)) == (None, [], ())


def test_one_of_the_specification_is_built_in() -> None:
    """An active copy of an official parameter is no fault, and nothing is added."""
    copy = EYES | {
        "url": "http://hl7.org/fhir/SearchParameter/Patient-active",
        "code": "active",
        "expression": "Patient.active",
    }
    assert (definition(copy), faults(copy), claims(copy)) == (None, [], ())


def test_a_parameter_claims_its_url_and_its_code_on_every_type_below_its_base() -> None:
    """A base of DomainResource claims the code on Patient and not on Binary, which is none; Resource claims both."""
    assert claims(EYES) == ("url http://example.org/SearchParameter/eyes", "Patient?eyes")
    below = claims(EYES | {"base": ["DomainResource"], "expression": "language"})
    assert "Patient?eyes" in below
    assert "Binary?eyes" not in below
    assert "Binary?eyes" in claims(EYES | {"base": ["Resource"], "expression": "language"})


def test_the_published_expressions_can_match() -> None:
    """No parameter of the specification would be refused for where its expression ends."""
    for resource_type in sorted(RESOURCE_TYPES):
        for parameter in official_parameters(resource_type).values():
            for branch in parameter.branches:
                assert fault(branch, resource_type, parameter.type) is None


@pytest.mark.parametrize(
    "expression",
    [
        "Patient.extension('urn:x').value",
        "Patient.extension('urn:x').value.ofType(CodeableConcept)",
        "(Patient.extension.where(url = 'urn:x').value as Coding)",
        "Patient.extension('urn:x').extension('urn:y').value as code",
        "Patient.contact.name.extension('urn:x').value",
        "Patient.contained.id",
        "Patient.link.other.resolve().identifier",
        "Patient.name.first().given.last()",
        "Patient.identifier[0]",
        "Patient.deceased.exists()",
    ],
)
def test_what_may_match_is_taken(expression: str) -> None:
    """Where an expression can end at something that a token indexes, or cannot be told, it is taken."""
    assert faults(EYES | {"expression": expression}) == []


def test_a_component_that_can_never_match_is_refused() -> None:
    """The fault names the component."""
    parts = [COMPOSITE["component"][0], COMPOSITE["component"][1] | {"expression": "name"}]
    [issue] = faults(EYES | COMPOSITE | {"component": parts})
    assert issue.expression == ("SearchParameter.component[1].expression",)
