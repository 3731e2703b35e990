"""Numbers as text that sorts, and the span of a written number."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.params.decimals import approximate_span, implied_span, number, sortable

decimals = st.decimals(allow_nan=False, allow_infinity=False, places=None).filter(lambda d: abs(d.adjusted()) < 4000)


@given(st.lists(decimals, min_size=2, max_size=2))
def test_texts_sort_as_numbers(pair: list[Decimal]) -> None:
    """One text is below another exactly where its number is, and equal numbers have one text."""
    first, second = pair
    assert (sortable(first) < sortable(second)) == (first < second)
    assert (sortable(first) == sortable(second)) == (first == second)


@given(decimals)
def test_nothing_fits_between_a_number_and_its_text_with_the_lowest_mark(value: Decimal) -> None:
    """A number is excluded by a bound that is its text with U+0001 behind it, and the next number is not."""
    assert sortable(value) < f"{sortable(value)}\x01" < sortable(value.next_plus())


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("100", "99.5", "100.5"),
        ("100.0", "99.95", "100.05"),
        ("100.00", "99.995", "100.005"),
        ("1e2", "95", "105"),
        ("5.4e-3", "0.00535", "0.00545"),
        ("-3", "-3.5", "-2.5"),
        ("0", "-0.5", "0.5"),
    ],
)
def test_a_number_stands_for_what_rounds_to_it(text: str, low: str, high: str) -> None:
    """The implied span is half a unit of the last digit to both sides, as in the specification's examples."""
    assert implied_span(text) == (Decimal(low), Decimal(high))


def test_approximately_is_a_tenth_or_the_precision() -> None:
    """`ap` takes what is within a tenth of the number, and at least what rounds to it."""
    assert approximate_span("100") == (Decimal(90), Decimal(110))
    assert approximate_span("1") == (Decimal("0.5"), Decimal("1.5"))


@pytest.mark.parametrize("text", ["", "x", "1,5", "1.", ".5", "0x1", "1e", "NaN", "Infinity", "1e99999", "１", "1 "])
def test_what_is_no_number_is_refused(text: str) -> None:
    """Only digits with a sign, a point and an exponent are a number, within what can be stored."""
    with pytest.raises(ValueError, match=r"number"):
        number(text)
