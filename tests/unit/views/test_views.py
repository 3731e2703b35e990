"""A ViewDefinition makes the rows that SQL on FHIR says."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.r4.views import ViewError, compile_view

ANA: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "ana",
    "active": True,
    "birthDate": "1980-05",
    "name": [{"family": "Reyes", "given": ["Ana", "Maria"]}, {"family": "Cruz", "given": ["Ani"]}],
    "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}],
    "contact": [
        {"name": {"family": "Lim"}, "telecom": [{"value": "3"}]},
        {"name": {"family": "Tan"}, "telecom": [{"value": "4"}, {"value": "5"}]},
    ],
    "generalPractitioner": [{"reference": "Practitioner/7/_history/2"}, {"reference": "Organization/7"}],
}
BEN: dict[str, Any] = {"resourceType": "Patient", "id": "ben", "active": False}
ANSWERS: dict[str, Any] = {
    "resourceType": "QuestionnaireResponse",
    "id": "q",
    "status": "completed",
    "item": [
        {
            "linkId": "1",
            "item": [
                {"linkId": "1.1", "answer": [{"valueString": "yes", "item": [{"linkId": "1.1.1"}]}]},
                {"linkId": "1.2"},
            ],
        },
        {"linkId": "2"},
    ],
}
ID = {"name": "id", "path": "id"}


def column(name: str, path: str, **properties: Any) -> dict[str, Any]:
    return {"name": name, "path": path, **properties}


def rows(*resources: dict[str, Any], **view: Any) -> list[tuple[Any, ...]]:
    """Return what a view of the first resource's type makes of them all."""
    compiled = compile_view({"resource": resources[0]["resourceType"], "status": "active", **view})
    return [row for resource in resources for row in compiled.rows(resource)]


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ([{"column": [ID, column("active", "active")]}], [("ana", True), ("ben", False)]),
        ([{"column": [ID]}, {"column": [column("family", "name.family.first()")]}], [("ana", "Reyes"), ("ben", None)]),
        (
            [{"column": [ID]}, {"forEach": "name", "column": [column("family", "family")]}],
            [("ana", "Reyes"), ("ana", "Cruz")],
        ),
        (
            [{"column": [ID]}, {"forEachOrNull": "name", "column": [column("family", "family")]}],
            [("ana", "Reyes"), ("ana", "Cruz"), ("ben", None)],
        ),
        (
            [{"column": [ID]}, {"forEach": "name.given", "column": [column("given", "$this")]}],
            [("ana", "Ana"), ("ana", "Maria"), ("ana", "Ani")],
        ),
        (
            [
                {
                    "forEach": "contact",
                    "column": [column("contact", "name.family")],
                    "select": [{"forEach": "telecom", "column": [column("value", "value")]}],
                }
            ],
            [("Lim", "3"), ("Tan", "4"), ("Tan", "5")],
        ),
        (
            [
                {
                    "column": [ID],
                    "unionAll": [
                        {"forEach": "telecom", "column": [column("value", "value")]},
                        {"forEach": "contact.telecom", "column": [column("value", "value")]},
                    ],
                }
            ],
            [("ana", "1"), ("ana", "2"), ("ana", "3"), ("ana", "4"), ("ana", "5")],
        ),
        (
            [
                {"forEach": "name", "column": [column("n", "family")]},
                {"forEach": "telecom", "column": [column("t", "value")]},
            ],
            [("Reyes", "1"), ("Reyes", "2"), ("Cruz", "1"), ("Cruz", "2")],
        ),
        (
            [{"column": [ID, column("given", "name.given", collection=True)]}],
            [("ana", ["Ana", "Maria", "Ani"]), ("ben", [])],
        ),
        (
            [
                {"column": [column("key", "getResourceKey()")]},
                {"column": [column("gp", "generalPractitioner.getReferenceKey(Practitioner)")]},
            ],
            [("Patient/ana", "Practitioner/7"), ("Patient/ben", None)],
        ),
        (
            [{"column": [column("from", "birthDate.lowBoundary()"), column("to", "birthDate.highBoundary()")]}],
            [("1980-05-01", "1980-05-31"), (None, None)],
        ),
    ],
)  # fmt: skip
def test_a_selection_makes_rows(select: list[Any], expected: list[tuple[Any, ...]]) -> None:
    """Columns side by side, lists repeated, unions below each other."""
    assert rows(ANA, BEN, select=select) == expected


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"repeat": ["item"]}, ["1", "1.1", "1.2", "2"]),
        ({"repeat": ["item", "answer.item"]}, ["1", "1.1", "1.1.1", "1.2", "2"]),
        ({"repeat": ["contained"]}, []),
    ],
)
def test_repeat_goes_down(selection: dict[str, Any], expected: list[str]) -> None:
    """Every level, each item before those below it."""
    assert rows(ANSWERS, select=[selection | {"column": [column("link", "linkId")]}]) == [(link,) for link in expected]


def test_row_index() -> None:
    """`%rowIndex` counts what the nearest forEach, forEachOrNull or repeat goes over; a union's part has its own."""
    index = column("i", "%rowIndex")
    nested = {
        "forEach": "contact",
        "column": [column("c", "%rowIndex")],
        "select": [{"unionAll": [{"forEach": "telecom", "column": [index]}, {"column": [index]}]}],
    }
    assert rows(ANA, select=[nested]) == [(0, 0), (0, 0), (1, 0), (1, 1), (1, 1)]
    assert rows(ANA, BEN, select=[{"column": [index]}]) == [(0,), (0,)]
    assert rows(BEN, select=[{"forEachOrNull": "name", "column": [index]}]) == [(0,)]
    assert rows(ANSWERS, select=[{"repeat": ["item"], "column": [index]}]) == [(0,), (1,), (2,), (3,)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["active"], ["ana"]),
        (["active = false"], ["ben"]),
        (["name.exists()", "active"], ["ana"]),
        (["name.family.first() = 'Reyes'"], ["ana"]),
        (["deceased.ofType(boolean)"], []),
    ],
)
def test_where(where: list[str], expected: list[str]) -> None:
    """A resource stays where all conditions are true; an empty one is not."""
    conditions = [{"path": path} for path in where]
    assert rows(ANA, BEN, where=conditions, select=[{"column": [ID]}]) == [(each,) for each in expected]


@pytest.mark.parametrize(
    ("constant", "path", "expected"),
    [
        ({"valueString": "Reyes"}, "name.where(family = %c).exists()", True),
        ({"valueCode": "phone"}, "telecom.where(system = %c).value.first()", "1"),
        ({"valueDate": "1980-05"}, "birthDate = %c", True),
        ({"valueInteger": 1}, "name[%c].family", "Cruz"),
        ({"valueBoolean": True}, "active = %c", True),
        ({"valueDecimal": 1.5}, "1.2 < %c", True),
    ],
)
def test_a_constant_is_named_in_paths(constant: dict[str, Any], path: str, expected: object) -> None:
    """Its type is that of its value."""
    assert rows(ANA, constant=[{"name": "c", **constant}], select=[{"column": [column("x", path)]}]) == [(expected,)]


@pytest.mark.parametrize(
    ("view", "place"),
    [
        ({}, "ViewDefinition.resource"),
        ({"resource": "Nothing"}, "ViewDefinition.resource"),
        ({"resource": "Patient"}, "ViewDefinition.select"),
        ({"resource": "Patient", "select": {}}, "ViewDefinition.select"),
        ({"resource": "Patient", "select": [{}]}, "ViewDefinition.select[0]"),
        ({"resource": "Patient", "select": [{"column": [ID]}], "limit": 1}, "ViewDefinition"),
        ({"resource": "Patient", "select": [{"forEach": "@@", "column": [ID]}]}, "ViewDefinition.select[0].forEach"),
        ({"resource": "Patient", "select": [{"forEach": 1, "column": [ID]}]}, "ViewDefinition.select[0].forEach"),
        (
            {"resource": "Patient", "select": [{"forEach": "name", "forEachOrNull": "name", "column": [ID]}]},
            "ViewDefinition.select[0]",
        ),
        ({"resource": "Patient", "select": [{"column": [ID, ID]}]}, "ViewDefinition.select"),
        (
            {"resource": "Patient", "select": [{"column": [column("1", "id")]}]},
            "ViewDefinition.select[0].column[0].name",
        ),
        (
            {"resource": "Patient", "select": [{"column": [column("a", "%nobody")]}]},
            "ViewDefinition.select[0].column[0].path",
        ),
        (
            {"resource": "Patient", "select": [{"column": [column("a", "id", type="Nothing")]}]},
            "ViewDefinition.select[0].column[0].type",
        ),
        (
            {"resource": "Patient", "select": [{"column": [ID]}], "where": [{"path": "nothing()"}]},
            "ViewDefinition.where[0].path",
        ),
        (
            {"resource": "Patient", "select": [{"column": [ID]}], "constant": [{"name": "a", "valueInteger": "1"}]},
            "ViewDefinition.constant[0]",
        ),
        (
            {"resource": "Patient", "select": [{"unionAll": [{"column": [ID]}, {"column": [column("b", "id")]}]}]},
            "ViewDefinition.select[0].unionAll[1]",
        ),
    ],
)
def test_a_wrong_definition_is_refused(view: dict[str, Any], place: str) -> None:
    """Before any resource is read, with the place of the fault."""
    with pytest.raises(ViewError) as refused:
        compile_view({"status": "active", **view} if view else view)
    assert refused.value.expression == place


@pytest.mark.parametrize(
    "view",
    [
        {"select": [{"column": [column("family", "name.family")]}]},
        {"select": [{"column": [ID]}], "where": [{"path": "name.family.first()"}]},
        {"select": [{"repeat": ["$this"], "column": [ID]}]},
    ],
    ids=["several values", "a condition that is no truth", "for ever"],
)
def test_a_resource_that_does_not_fit_is_told(view: dict[str, Any]) -> None:
    """Several values of one column, a condition that is no truth value, a repetition without end."""
    with pytest.raises(ViewError):
        rows(ANA, **view)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "id", "Patient", "name.family", "%rowIndex"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["resource", "select", "column", "name", "path", "forEach", "unionAll", "repeat", "where"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_whatever_is_sent_is_compiled_or_refused(definition: Any) -> None:
    """No other error than ViewError, and no other value than a view."""
    with suppress(ViewError):
        compile_view(definition).rows(ANA)
