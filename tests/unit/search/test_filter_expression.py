"""The `_filter` language."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.query.filter_expression import Comparison, Joined, Negated, Step, parse_filter


def compared(name: str, operator: str, value: str, *, quoted: bool = False) -> Comparison:
    return Comparison((Step(name, None),), operator, value, quoted)


def test_and_binds_more_than_or() -> None:
    """`a or b and c` is `a or (b and c)`; parentheses say otherwise."""
    a, b, c = (compared(name, "eq", "1") for name in "abc")
    assert parse_filter("a eq 1 or b eq 1 and c eq 1") == Joined("or", (a, Joined("and", (b, c))))
    assert parse_filter("(a eq 1 or b eq 1) and c eq 1") == Joined("and", (Joined("or", (a, b)), c))
    assert parse_filter("not(a eq 1)") == Negated(a)


def test_quotes_hold_anything() -> None:
    """In quotes, words and marks are text, and a backslash keeps what follows it."""
    assert parse_filter('name eq "a and (b) \\"c\\""') == compared("name", "eq", 'a and (b) "c"', quoted=True)


def test_a_time_zone_whose_plus_became_a_space_is_part_of_its_time() -> None:
    """In a URL a plus sign is a space: what follows a time so is its zone, and nothing else is."""
    for text in ("2026-01-01T10:00:00 01:00", "2026-01-01T10:00 01:00", "2026-01-01T10:00:00.123 01:00"):
        since = compared("date", "ge", text)
        assert parse_filter(f"date ge {text}") == since
        assert parse_filter(f"(date ge {text}) and a eq 1") == Joined("and", (since, compared("a", "eq", "1")))
    for text in ("2026-01-01 01:00", "x 01:00", "2026-01-01T10:00:00 01:00x"):
        with pytest.raises(ValueError, match="is not expected"):
            parse_filter(f"date ge {text}")


def test_a_path_may_have_conditions_on_its_way() -> None:
    """A bracket asks something of what a step leads to."""
    inner = compared("type", "eq", "x")
    expected = Comparison((Step("subject", None), Step("related", inner), Step("target", None)), "pr", "false", False)
    assert parse_filter("subject.related[type eq x].target pr false") == expected


@pytest.mark.parametrize(
    "text",
    ["", "a", "a eq", "a zz 1", "(a eq 1", "a eq 1)", "a eq 1 and", "not a eq 1", "a[b eq 1] eq 2", "a[b eq 1",
     '"a" eq 1', "a eq (", "()", 'a eq "b', "(" * 100 + "a eq 1" + ")" * 100],
)  # fmt: skip
def test_what_is_no_filter_is_refused(text: str) -> None:
    """Anything else is a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        parse_filter(text)


@given(st.text(alphabet='ab.[]() "\\eqandornt', max_size=40))
def test_no_text_breaks_the_parser(text: str) -> None:
    """Whatever it is given, the parser returns a tree or raises ValueError."""
    with contextlib.suppress(ValueError):
        parse_filter(text)
