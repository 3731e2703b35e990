"""A regular expression of a caller is matched in linear time, wherever a FHIRPath may have one."""

from __future__ import annotations

import json

import httpx
import pytest

from fhir_server.r4 import definitions, fhirpath
from fhir_server.r4.fhirpath import FhirPathError, regex
from fhir_server.r4.validation.invariants import enforced
from fhir_server.work.budget import Budget, OutOfBudget, working

# Each takes `re` a time that doubles with every letter of the text.
EXPLOSIVE = ["^(a|a)*$", "^(a+)+$", "(a*)*b", "^([a-z]+)*$", "(.*a){20}$"]
TEXT = "a" * 40 + "!"


@pytest.mark.parametrize("pattern", EXPLOSIVE)
@pytest.mark.parametrize("function", ["matches('{}')", "matchesFull('{}')", "replaceMatches('{}', 'x')"])
def test_no_pattern_makes_a_search_explode(pattern: str, function: str) -> None:
    """The expression ends: a backtracking matcher would not within the life of the test."""
    expression = fhirpath.compile(f"name.{function.format(pattern)}")
    assert expression.items({"resourceType": "ValueSet", "name": TEXT}, "ValueSet")


@pytest.mark.parametrize("pattern", [r"(a)\1", "(?=a)", "(?<!a)b", "(a{1000}){1000}", "(", "a" * 3000])
def test_a_pattern_that_cannot_be_linear_is_refused(pattern: str) -> None:
    """Back-references, look-around, and patterns that unfold to a giant one are named as faults."""
    with pytest.raises(FhirPathError):
        regex.matches(pattern, "a")


def test_a_replacement_has_an_end() -> None:
    """Each match may look at the whole rest of the text, so matches and text together have a limit."""
    with pytest.raises((FhirPathError, OutOfBudget)), working(Budget(10)):
        regex.replaced("a.*b|a", "a" * 200_000, "x", longest=1_000_000)
    with pytest.raises(FhirPathError):
        regex.replaced("a", "a" * 10_000, "x" * 1000, longest=1_000_000)


@pytest.mark.parametrize(
    ("pattern", "text", "new", "expected"),
    [
        (r"(\d+)-(\d+)", "12-34", "$2/$1", "34/12"),
        (r"(?P<year>\d{4})", "in 2024", "<${year}>", "in <2024>"),
        ("x?", "é", "-", "-é-"),
        ("a", "banana", r"\1", r"b\1n\1n\1"),
    ],
)
def test_groups_stand_in_a_substitution(pattern: str, text: str, new: str, expected: str) -> None:
    """`$1` and `${name}` are what groups matched; everything else is as it is written."""
    assert regex.replaced(pattern, text, new, longest=1000) == expected


def test_every_official_pattern_is_one() -> None:
    """The invariants of the specification that hold a pattern can be evaluated."""
    broken = []
    for name in sorted(definitions.RESOURCE_TYPES):
        for invariant in enforced(definitions.table(name).invariants):
            if "atches(" in invariant.expression:
                try:
                    fhirpath.compile(invariant.expression).holds(
                        {"resourceType": name, "name": "A", "url": "http://hl7.org/fhir/StructureDefinition/x"}, name
                    )
                except FhirPathError as error:
                    broken.append((invariant.key, str(error)))
    assert broken == []


async def test_a_graphql_statement_is_answered(client: httpx.AsyncClient) -> None:
    """The argument fhirpath of a field takes any pattern."""
    patient = {"resourceType": "Patient", "id": "p", "name": [{"family": TEXT}]}
    await client.put("Patient/p", content=json.dumps(patient))
    statement = "{name(fhirpath: \"family.matches('^(a|a)*$')\") {family}}"
    answer = await client.get("Patient/p/$graphql", params={"query": statement})
    assert answer.json() == {"data": {}}
