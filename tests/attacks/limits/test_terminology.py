"""Terminology is asked with small requests about much: each loop over what was sent counts, and inputs have limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

import terminology
from fhir_server.engine.terminology.sent_parameters import MOST_CODINGS, MOST_INPUTS
from fhir_server.work.budget import OutOfBudget
from terminology import (
    Coding,
    ExpandRequest,
    Filter,
    FindMatchesRequest,
    Limits,
    MemorySource,
    Selection,
    TerminologyError,
    TranslateRequest,
    ValidateRequest,
)
from terminology.content.code_systems import ResourceCodeSystem
from terminology.model.concepts import Property
from terminology.model.effort import counting
from terminology.parameters.batch import batch_validate

URL = "http://example.org/codes"
CODES = {
    "resourceType": "CodeSystem",
    "url": URL,
    "status": "active",
    "content": "complete",
    "concept": [{"code": f"c{number}", "display": "alpha beta"} for number in range(2000)],
}
TARGETS = [{"code": f"t{number}", "equivalence": "equal"} for number in range(2000)]
MAP = {
    "resourceType": "ConceptMap",
    "url": "http://example.org/map",
    "status": "active",
    "group": [{"source": URL, "target": "urn:x", "element": [{"code": "c1", "target": TARGETS}]}],
}
STEPS = 20_000


def value_set(**compose: Any) -> dict[str, Any]:
    return {"resourceType": "ValueSet", "url": "http://example.org/set", "status": "active", "compose": compose}


def excludes(number: int) -> dict[str, Any]:
    each = [{"system": URL, "concept": [{"code": f"c{at + 2}"}]} for at in range(number)]
    return value_set(include=[{"system": URL}], exclude=each)


def stored_expansion(number: int) -> dict[str, Any]:
    contains = [{"system": URL, "code": f"x{at}"} for at in range(number)]
    return {
        "resourceType": "ValueSet",
        "url": "http://example.org/stored",
        "status": "active",
        "expansion": {"timestamp": "2020-01-01", "contains": contains},
    }


class Counted:
    """Counts the steps that an operation says it takes; ends it as the budget of a request does."""

    def __init__(self, most: int) -> None:
        self.taken = 0
        self.most = most

    def spend(self, steps: int) -> None:
        self.taken += steps
        if self.taken > self.most:
            raise OutOfBudget("It needs more work.")


def limits(counted: Counted) -> Limits:
    return Limits(1000, 10**9, counted.spend)


Work = Callable[[Limits], Any]
SOURCE = MemorySource([CODES, MAP, stored_expansion(20_000)])
CODINGS = [Coding(URL, None, "c1", None)] * 500
TEXTS = [Property("display", "string", "alpha")] * 200
WIDE = {**CODES, "concept": [{"code": f"c{number}"} for number in range(400)]}
PATTERNS = [{"property": "code", "op": "regex", "value": "(c|d?)*[0-9]*x?"}] * 100
BELOW = [{"system": URL, "filter": [{"property": "concept", "op": "is-a", "value": "c2"}]}] * 300


def batch(number: int) -> dict[str, Any]:
    brought = {"name": "tx-resource", "resource": CODES}
    asked = [{"name": "system", "valueUri": URL}, {"name": "code", "valueCode": "c1"}]
    each = {"name": "validation", "resource": {"resourceType": "Parameters", "parameter": asked}}
    return {"resourceType": "Parameters", "parameter": [brought, *[each] * number]}


COSTLY: dict[str, Work] = {
    "excludes": lambda most: terminology.expand(ExpandRequest(resource=excludes(2000)), SOURCE, most),
    "codings in excludes": lambda most: terminology.validate_in_value_set(
        ValidateRequest(codings=CODINGS, resource=excludes(2000)), SOURCE, most
    ),
    "a stored expansion": lambda most: terminology.validate_in_value_set(
        ValidateRequest(
            codings=CODINGS,
            resource=value_set(include=[{"system": URL, "valueSet": ["http://example.org/stored"]}]),
        ),
        SOURCE,
        most,
    ),
    "translations": lambda most: terminology.translate(TranslateRequest(CODINGS, url=MAP["url"]), SOURCE, most),
    "a closure": lambda most: terminology.extend_closure(
        [], [Coding(URL, None, f"c{number}", None) for number in range(500)], SOURCE, most
    ),
    "patterns": lambda most: terminology.expand(
        ExpandRequest(resource=value_set(include=[{"system": URL, "filter": PATTERNS}]), resources=[WIDE]), SOURCE, most
    ),
    "codings in includes": lambda most: terminology.validate_in_value_set(
        ValidateRequest(codings=CODINGS, resource=value_set(include=BELOW)), SOURCE, most
    ),
    "a batch with resources": lambda most: batch_validate(batch(200), SOURCE, most),
    "properties": lambda most: terminology.find_matches(
        FindMatchesRequest(URL, None, TEXTS, exact=False), SOURCE, most
    ),
}


@pytest.mark.parametrize("work", COSTLY.values(), ids=COSTLY)
def test_what_multiplies_is_counted(work: Work) -> None:
    """What costs codes times parts ends where the budget does, and not later."""
    counted = Counted(STEPS)
    with counting(counted.spend), pytest.raises(OutOfBudget):
        work(limits(counted))
    assert counted.taken < STEPS + 3000


def test_ordinary_questions_are_far_from_it() -> None:
    """A few codings, excludes and properties take hundreds of steps, not thousands."""
    counted = Counted(STEPS)
    few = [Coding(URL, None, f"c{number}", None) for number in range(5)]
    with counting(counted.spend):
        terminology.validate_in_value_set(ValidateRequest(codings=few, resource=excludes(20)), SOURCE, limits(counted))
        terminology.translate(TranslateRequest(few[2:], url=MAP["url"]), SOURCE, limits(counted))
    assert counted.taken < 1000


LAYERS = {
    "resourceType": "CodeSystem",
    "url": "http://example.org/layers",
    "status": "active",
    "content": "complete",
    "property": [{"code": "parent", "type": "code"}],
    "concept": [
        {
            "code": f"{layer}.{at}",
            "property": [{"code": "parent", "valueCode": f"{layer - 1}.{above}"} for above in range(8) if layer],
        }
        for layer in range(40)
        for at in range(8)
    ],
}


@pytest.mark.parametrize("op", ["is-a", "descendent-of", "is-not-a", "generalizes", "descendent-leaf"])
def test_a_hierarchy_is_walked_once_for_a_filter(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With many ways from a code to another a way for each code would take for ever; the answer is the same."""
    count = 0
    subsumes = ResourceCodeSystem.subsumes

    def counted(self: ResourceCodeSystem, ancestor: str, code: str) -> bool:
        nonlocal count
        count += 1
        return subsumes(self, ancestor, code)

    monkeypatch.setattr(ResourceCodeSystem, "subsumes", counted)
    system = ResourceCodeSystem(LAYERS)
    filters = tuple(Filter("concept", op, f"{layer}.0") for layer in (10, 11))
    every = {concept.code for concept in system.select(Selection(())).page()}
    chosen = {concept.code for concept in system.select(Selection(filters)).page()}
    assert count <= 2 * 32
    one_by_one = ResourceCodeSystem(LAYERS)
    tests = [one_by_one.select(Selection((each,))) for each in filters]
    assert chosen == {code for code in every if all(code in test for test in tests)}
    assert chosen == {code for code in every if all(_holds(system, each, code) for each in filters)}


def _holds(system: ResourceCodeSystem, condition: Filter, code: str) -> bool:
    below, is_one = system.subsumes(condition.value, code), code == condition.value
    return {
        "is-a": below,
        "descendent-of": below and not is_one,
        "is-not-a": not below,
        "generalizes": system.subsumes(code, condition.value),
        "descendent-leaf": below and not is_one and not system.children(code),
    }[condition.op]


def test_filters_are_not_many() -> None:
    """Each is asked of each code: past a hundred the part is refused, and the place is told."""
    filters = [{"property": "concept", "op": "is-a", "value": f"c{number}"} for number in range(101)]
    requested = ExpandRequest(resource=value_set(include=[{"system": URL, "filter": filters}]))
    with pytest.raises(TerminologyError) as refused:
        terminology.expand(requested, SOURCE)
    assert [(each.code, each.expression) for each in refused.value.issues] == [
        ("too-costly", "ValueSet.compose.include[0]")
    ]


def _parameters(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(parts)}


CODE = {"name": "code", "valueCode": "c1"}
CONCEPT = {
    "name": "codeableConcept",
    "valueCodeableConcept": {"coding": [{"system": URL, "code": "c1"}] * (MOST_CODINGS + 1)},
}
MANY = [{"name": "tx-resource", "resource": CODES | {"concept": []}}] * (MOST_INPUTS + 1)
TOO_MUCH = {
    "codings to validate": ("ValueSet/$validate-code", _parameters(CONCEPT)),
    "codings in a system": ("CodeSystem/$validate-code", _parameters(CONCEPT)),
    "codings to translate": ("ConceptMap/$translate", _parameters(CONCEPT)),
    "codings of a batch": (
        "ValueSet/$batch-validate-code",
        _parameters({"name": "validation", "resource": _parameters(CONCEPT)}),
    ),
    "validations": (
        "ValueSet/$batch-validate-code",
        _parameters(*[{"name": "validation", "resource": _parameters(CODE)}] * (MOST_INPUTS + 1)),
    ),
    "resources": ("ValueSet/$expand", _parameters(*MANY)),
    "properties": (
        "CodeSystem/$lookup",
        _parameters(*[{"name": "property", "valueCode": "child"}] * (MOST_INPUTS + 1)),
    ),
    "concepts": (
        "$closure",
        _parameters(
            {"name": "name", "valueString": "k"},
            *[{"name": "concept", "valueCoding": {"system": URL, "code": f"c{at}"}} for at in range(1001)],
        ),
    ),
}


@pytest.mark.parametrize(("url", "body"), TOO_MUCH.values(), ids=TOO_MUCH)
async def test_inputs_have_limits(client: httpx.AsyncClient, url: str, body: dict[str, Any]) -> None:
    """So many of each, and the refusal says how many and where."""
    answer = await client.post(url, json=body)
    assert answer.status_code in (400, 413), answer.text
    [issue] = answer.json()["issue"]
    assert issue["code"] == "too-costly"
    assert any(character.isdigit() for character in issue["diagnostics"])
    assert issue["expression"]
