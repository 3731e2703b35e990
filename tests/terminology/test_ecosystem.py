"""HL7's tests for terminology servers, where they lie beside the repository: `../shared/data/tx` has their rules."""

from __future__ import annotations

import pytest

from tests.terminology.answers import answer
from tests.terminology.ecosystem import DATA, SERVER_TESTS, Case, Comparison, as_r4, as_r5, cases

pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"HL7's terminology tests are not here: {DATA}")

LIBRARY_TESTS = [case for case in cases() if case.operation not in SERVER_TESTS]

PUNCTUATION = {
    "overload/expand-all-merged",
    "overload/expand-enum-good",
    "overload/expand-exclude-versioned",
    "validation/validation-simple-coding-bad-system",
}
"""Tests whose response contradicts the content or the other responses in punctuation, which HL7's own comparison passes
over: `Display 2` where the code system has `Display #2`, a URL without its quotes.
"""


def test_there_are_tests() -> None:
    """All of the suite's tests that do not ask a server about itself are run."""
    assert len(LIBRARY_TESTS) == 410


@pytest.mark.parametrize("case", LIBRARY_TESTS, ids=str)
def test_the_library_answers_as_the_ecosystem_asks(case: Case) -> None:
    """The answer has all that the response has, and nothing else."""
    status, body = answer(case)
    assert status == case.http
    comparison = Comparison(case.texts, loose=str(case) in PUNCTUATION)
    differences = [comparison.difference(response, as_r5(body)) for response in case.responses]
    assert None in differences, differences


def test_the_comparison_can_fail() -> None:
    """An answer that lacks something, has more, or says something else is told apart from one that is right."""
    expected = {"a": 1, "list": [{"x": "$uuid$"}, {"y": "$choice:1|2$", "$optional$": True}]}
    right = {"list": [{"x": "urn:uuid:8acdbfdc-e9d2-11ed-a05b-0242ac120003"}], "a": 1}
    compare = Comparison({}).difference
    assert compare(expected, right) is None
    assert compare(expected, {**right, "b": 2})
    assert compare(expected, {"list": right["list"]})
    assert compare(expected, {**right, "a": True})
    assert compare(expected, {**right, "list": [{"x": "8acdbfdc"}]})
    assert compare(expected, {**right, "list": [*right["list"], {"y": "3"}]})
    assert compare({"t": "Display 2"}, {"t": "Display #2"})
    assert Comparison({}, loose=True).difference({"t": "Display 2"}, {"t": "Display #2"}) is None
    assert Comparison({}, loose=True).difference({"t": "Display 2"}, {"t": "Display 3"})


def test_r5_becomes_r4() -> None:
    """What R4 has no place for becomes a cross-version extension."""
    result = as_r4({"filter": [{"property": "concept", "op": "child-of", "value": "a"}], "title:de": "x"})
    assert "op" not in result["filter"][0]
    assert result["filter"][0]["_op"]["extension"][0]["valueCode"] == "child-of"
    assert "title:de" not in result
