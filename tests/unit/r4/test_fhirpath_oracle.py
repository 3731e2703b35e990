"""Our FHIRPath against fhirpathpy, an implementation by others, where that one is right."""

from __future__ import annotations

from typing import Any

from fhirpathpy import evaluate
from fhirpathpy.models import models
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.r4 import fhirpath
from fhir_server.r4.fhirpath.navigation import type_elements
from tests.unit.r4.fhirpath_examples import OBSERVATION, PATIENT, QUESTIONNAIRE


def _bare(value: Any) -> Any:
    """Return JSON without the `_name` siblings of primitives, which the other one gives as items of their own."""
    if isinstance(value, dict):
        return {name: _bare(member) for name, member in value.items() if name[0] != "_"}
    return [_bare(each) for each in value] if isinstance(value, list) else value


_RESOURCES = tuple(map(_bare, (PATIENT, OBSERVATION, QUESTIONNAIRE)))
# Types that the other one's model does not lead to.
_UNKNOWN = ("Resource", "Extension", "xhtml")
_TAILS = (
    "",
    ".exists()",
    ".empty()",
    ".count()",
    ".first()",
    ".last()",
    ".tail()",
    ".skip(1)",
    ".take(2)",
    ".distinct().count()",
    ".where($index = 0)",
    ".select($this)",
    ".all($this.exists())",
    ".exists().not()",
    "[1]",
)


@st.composite
def _paths(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """Generate a resource and a path in it that its tables know."""
    resource = draw(st.sampled_from(_RESOURCES))
    path = type_name = resource["resourceType"]
    for _ in range(draw(st.integers(1, 3))):
        elements = [each for each in type_elements(type_name).values() if each.type not in _UNKNOWN]
        if not elements or draw(st.integers(0, 5)) == 0:
            break
        element = draw(st.sampled_from(elements))
        path += f".{element.choice or element.name}"
        type_name = element.type
        if element.choice is not None or element.primitive:
            break
    return resource, path


@settings(max_examples=150, deadline=None)
@given(_paths(), st.sampled_from(_TAILS))
def test_a_path_and_a_function_give_the_same_values_as_elsewhere(case: tuple[dict[str, Any], str], tail: str) -> None:
    """For any path of the tables followed by a plain function, both implementations give the same values."""
    resource, path = case
    expression = path + tail
    ours = [item.value for item in fhirpath.compile(expression).items(resource, resource["resourceType"])]
    theirs = evaluate(resource, expression, {}, models["r4"])
    assert ours == theirs


# Not 1 beside true, which are the same in Python and so for the other one.
_OPERANDS = ("2", "3", "2.0", "1.5", "'a'", "'A'", "true", "false", "{}", "name.given.first()", "gender")
_OPERATORS = ("=", "!=", "and", "or", "xor", "implies", "|", "in", "contains")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_OPERANDS), st.sampled_from(_OPERATORS), st.sampled_from(_OPERANDS))
def test_operators_give_the_same_values_as_elsewhere(left: str, operator: str, right: str) -> None:
    """For any pair of simple operands, both implementations agree on the values.

    The other one refuses single items that are no Boolean in logic, which the specification takes as true.
    """
    expression = f"{left} {operator} {right}"
    theirs = _outcome(lambda: evaluate(PATIENT, expression, {}, models["r4"]))
    if theirs != "refused":
        ours = _outcome(lambda: [i.value for i in fhirpath.compile(expression).items(PATIENT, "Patient")])
        assert ours == theirs


def _outcome(run: Any) -> list[Any] | str:
    try:
        return [float(each) if not isinstance(each, str | bool) else each for each in run()]
    except Exception:
        return "refused"
