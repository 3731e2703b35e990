"""Texts folded for search."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.params.strings import fold, inverted, sound


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Müller", "muller"),
        ("MÜLLER", "muller"),
        ("Mu\u0308ller", "muller"),
        ("O'Brien", "obrien"),
        ("Smith-Jones", "smith jones"),
        ("  van   der Berg ", "van der berg"),
        ("St. Mary", "st mary"),
        ("Straße", "strasse"),
        ("Ørsted Ægir", "orsted aegir"),
        ("İstanbul", "istanbul"),
        ("李 小龍", "李 小龍"),
        ("---", "---"),
    ],
)
def test_case_accents_and_punctuation_do_not_count(text: str, folded: str) -> None:
    """Texts that people take for the same are folded to the same."""
    assert fold(text) == folded


@given(st.text(max_size=30))
def test_folding_twice_changes_nothing(text: str) -> None:
    """A folded text folds to itself, so that what is indexed can be searched by what is shown."""
    assert fold(fold(text)) == fold(text)


@given(st.text(max_size=20).map(fold), st.text(max_size=20).map(fold))
def test_inverted_texts_sort_backwards(first: str, second: str) -> None:
    """Of two folded texts, the later one's inverted text comes first."""
    assert (inverted(first) < inverted(second)) == (first > second)


@pytest.mark.parametrize(
    ("word", "code"), [("robert", "r163"), ("rupert", "r163"), ("ashcraft", "a261"), ("lee", "l000"), ("李", "李")]
)
def test_words_that_sound_alike_share_a_code(word: str, code: str) -> None:
    """The code of a word is its Soundex; a word without Latin letters is its own."""
    assert sound(word) == code
