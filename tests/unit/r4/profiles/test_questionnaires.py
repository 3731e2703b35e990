"""A QuestionnaireResponse meets its Questionnaire, or each fault is named at its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.r4.questionnaires import response_faults

Json = dict[str, Any]
PAIN = {"system": "http://codes.test", "code": "pain"}
EXTENSION = "http://hl7.org/fhir/StructureDefinition/"


def item(link: str, kind: str = "string", **more: Any) -> Json:
    return {"linkId": link, "type": kind, **more}


def answered(link: str, *answers: Json, **more: Any) -> Json:
    return {"linkId": link, **({"answer": list(answers)} if answers else {}), **more}


def text(value: str) -> Json:
    return {"valueString": value}


def faults(items: list[Json], given: list[Json], status: str = "completed") -> list[tuple[str, str]]:
    response = {"resourceType": "QuestionnaireResponse", "status": status, "item": given}
    questionnaire = {"resourceType": "Questionnaire", "item": items}
    found = response_faults(response, questionnaire, lambda value_set, coding: coding.get("code") == "pain")
    return [(fault.path, fault.code) for fault in found if fault.severity == "error"]


def when(link: str, operator: str, **answer: Any) -> Json:
    return {"enableWhen": [{"question": link, "operator": operator, **answer}]}


@pytest.mark.parametrize(
    ("items", "given", "expected"),
    [
        ([item("a")], [answered("a", text("x"))], []),
        ([item("a")], [answered("b", text("x"))], [(".item[0].linkId", "structure")]),
        ([item("g", "group", item=[item("a")])], [answered("a", text("x"))], [(".item[0].linkId", "structure")]),
        (
            [item("a"), item("b")],
            [answered("b", text("x")), answered("a", text("x"))],
            [(".item[1].linkId", "structure")],
        ),
        ([item("a", required=True)], [], [("", "required")]),
        ([item("a", required=True)], [answered("a")], [("", "required")]),
        ([item("g", "group", required=True)], [], [("", "required")]),
        ([item("a", "display", required=True)], [], []),
        ([item("a")], [answered("a", text("x"), text("y"))], [("", "structure")]),
        ([item("a", repeats=True)], [answered("a", text("x"), text("y"))], []),
        ([item("g", "group")], [answered("g"), answered("g")], [("", "structure")]),
        ([item("a", "display")], [answered("a", text("x"))], [(".item[0].answer", "structure")]),
        ([item("g", "group")], [answered("g", text("x"))], [(".item[0].answer", "structure")]),
        ([item("a", item=[item("b")])], [answered("a", item=[answered("b")])], [(".item[0].item", "structure")]),
        ([item("a", item=[item("b")])], [answered("a", {**text("x"), "item": [answered("b", text("y"))]})], []),
        ([item("a", "integer")], [answered("a", text("1"))], [(".item[0].answer[0].value", "structure")]),
        ([item("a", "boolean")], [answered("a", {"valueBoolean": False})], []),
        ([item("a", maxLength=2)], [answered("a", text("xyz"))], [(".item[0].answer[0].value", "too-long")]),
        ([item("a", "choice", answerValueSet="v")], [answered("a", {"valueCoding": PAIN})], []),
        (
            [item("a", "choice", answerValueSet="v")],
            [answered("a", {"valueCoding": {"code": "x"}})],
            [(".item[0].answer[0].value", "code-invalid")],
        ),
        ([item("a", "choice", answerOption=[{"valueCoding": PAIN}])], [answered("a", {"valueCoding": PAIN})], []),
        (
            [item("a", "choice", answerOption=[{"valueCoding": PAIN}])],
            [answered("a", {"valueCoding": {**PAIN, "system": "http://other.test"}})],
            [(".item[0].answer[0].value", "code-invalid")],
        ),
        ([item("a", "choice")], [answered("a", text("x"))], [(".item[0].answer[0].value", "structure")]),
        ([item("a", "open-choice", answerValueSet="v")], [answered("a", text("x"))], []),
        ([item("a", "choice", answerOption=[text("x")])], [answered("a", text("x"))], []),
        (
            [item("a", answerOption=[text("x")])],
            [answered("a", text("y"))],
            [(".item[0].answer[0].value", "code-invalid")],
        ),
    ],
)  # fmt: skip
def test_items_and_answers(items: list[Json], given: list[Json], expected: list[tuple[str, str]]) -> None:
    """What is asked may be answered, where, as often, in the order and as it is asked."""
    assert faults(items, given) == expected


@pytest.mark.parametrize(
    ("condition", "first", "asked"),
    [
        (when("a", "exists", answerBoolean=True), [], False),
        (when("a", "exists", answerBoolean=False), [], True),
        (when("a", "exists", answerBoolean=True), [{"valueInteger": 1}], True),
        (when("a", "=", answerInteger=1), [{"valueInteger": 1}], True),
        (when("a", "=", answerInteger=1), [{"valueInteger": 2}], False),
        (when("a", "!=", answerInteger=1), [{"valueInteger": 2}], True),
        (when("a", "!=", answerInteger=1), [], False),
        (when("a", ">", answerDecimal=1.5), [{"valueInteger": 2}], True),
        (when("a", ">=", answerInteger=2), [{"valueInteger": 2}], True),
        (when("a", "<", answerInteger=2), [{"valueInteger": 2}], False),
        (when("a", "<=", answerDate="2026-01-02"), [{"valueDate": "2026-01-01"}], True),
        (when("a", "=", answerCoding=PAIN), [{"valueCoding": {**PAIN, "display": "Pain"}}], True),
        (when("none", "exists", answerBoolean=True), [], False),
    ],
)
def test_only_what_is_enabled_is_asked(condition: Json, first: list[Json], asked: bool) -> None:
    """A required item is missed only where its condition holds, and stands only there."""
    items = [item("a", "integer", repeats=True), item("b", required=True, **condition)]
    given = [{"linkId": "a", "answer": first}] if first else []
    missed = [code for _, code in faults(items, given) if code == "required"]
    assert missed == (["required"] if asked else [])
    stands = [code for _, code in faults(items, [*given, answered("b", text("x"))]) if code == "business-rule"]
    assert stands == ([] if asked else ["business-rule"])


def test_several_conditions_are_joined_as_said() -> None:
    """By all of them, or by any."""
    yes, no = when("a", "exists", answerBoolean=True), when("b", "exists", answerBoolean=True)
    both = [*yes["enableWhen"], *no["enableWhen"]]
    given = [answered("a", text("x"))]
    for behavior, missed in (("all", []), ("any", [("", "required")])):
        items = [item("a"), item("b"), item("c", required=True, enableWhen=both, enableBehavior=behavior)]
        assert faults(items, given) == missed


def test_occurrences_that_disagree_are_not_judged() -> None:
    """Which of several groups a condition means depends on the place; no fault is invented."""
    group = item(
        "g", "group", repeats=True, item=[item("a"), item("b", required=True, **when("a", "=", answerString="x"))]
    )
    given = [answered("g", item=[answered("a", text(value))]) for value in ("x", "y")]
    assert faults([group], given) == []


def test_what_is_in_progress_may_lack_answers() -> None:
    """Until it is completed."""
    assert faults([item("a", required=True)], [], status="in-progress") == []


def test_ranges_and_counts_of_extensions() -> None:
    """minValue, maxValue, minOccurs and maxOccurs count."""
    bounds = [
        {"url": f"{EXTENSION}{name}", "valueInteger": value}
        for name, value in (
            ("minValue", 2),
            ("maxValue", 4),
            ("questionnaire-minOccurs", 2),
            ("questionnaire-maxOccurs", 3),
        )
    ]
    items = [item("a", "integer", repeats=True, extension=bounds)]
    assert faults(items, [answered("a", *({"valueInteger": number} for number in (2, 4)))]) == []
    assert faults(items, [answered("a", *({"valueInteger": number} for number in (1, 5)))]) == [
        (".item[0].answer[0].value", "value"),
        (".item[0].answer[1].value", "value"),
    ]
    assert faults(items, [answered("a", {"valueInteger": 3})]) == [("", "required")]
    assert faults(items, [answered("a", *[{"valueInteger": 3}] * 4)]) == [("", "structure")]


_LEAVES = st.sampled_from(["string", "integer", "display"])
_ANSWERS = st.fixed_dictionaries({}, optional={"valueString": st.text(max_size=3), "valueInteger": st.integers(-3, 3)})
_ITEMS = st.recursive(
    st.fixed_dictionaries({"linkId": st.sampled_from("abc"), "type": _LEAVES}),
    lambda inner: st.fixed_dictionaries(
        {
            "linkId": st.sampled_from("abcdef"),
            "type": st.sampled_from(["group", "choice"]),
            "item": st.lists(inner, max_size=3),
        }
    ),
    max_leaves=8,
)
_GIVEN = st.recursive(
    st.fixed_dictionaries({"linkId": st.sampled_from("abcx"), "answer": st.lists(_ANSWERS, max_size=2)}),
    lambda inner: st.fixed_dictionaries({"linkId": st.sampled_from("abcdef"), "item": st.lists(inner, max_size=3)}),
    max_leaves=8,
)


@given(st.lists(_ITEMS, max_size=4), st.lists(_GIVEN, max_size=4))
def test_anything_is_judged(items: list[Json], answers: list[Json]) -> None:
    """Whatever is asked and answered, there is a judgement, and each fault has a place of the response."""
    for path, _ in faults(items, answers):
        assert path == "" or path.startswith(".item[")
