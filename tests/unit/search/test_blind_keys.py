"""Blind index keys find what plain ones find: equal facts, and all that begins with something, and nothing else."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.index.blind_keys import LETTERS, BlindKeys
from fhir_server.search.index.keys import SEPARATOR, after_prefix
from fhir_server.search.params import strings, tokens, uris, words
from fhir_server.search.query.conditions import HasKey, KeySpan

BLIND = BlindKeys(bytes(range(32)))
WORDS = st.text(st.sampled_from("abcäß é-'日"), min_size=1, max_size=12)
CODES = st.text(st.sampled_from("abA1|/ -"), min_size=1, max_size=8)


def _written(key: str) -> str:
    (written,) = BLIND.keys([key])
    return written


def _found(span: KeySpan, key: str) -> bool:
    written = BLIND.span(span.low, span.high)
    assert written is not None
    return written[0] <= _written(key) < written[1]


@given(WORDS, WORDS)
def test_texts_are_found_by_how_they_begin(text: str, other: str) -> None:
    """A span of blind keys holds the texts that a span of plain keys holds."""
    try:
        asked = strings.condition("family", None, other)
    except ValueError:
        return
    assert isinstance(asked, KeySpan)
    key = f"family={strings.text_fact(text)}"
    if BLIND.span(asked.low, asked.high) is not None:
        assert _found(asked, key) is (asked.low <= key < asked.high)


@given(WORDS, WORDS)
def test_texts_are_found_as_they_are_written(text: str, other: str) -> None:
    """Equal texts have equal keys, others have not."""
    asked = strings.condition("family", "exact", other)
    assert isinstance(asked, HasKey)
    key = f"family={strings.text_fact(text)}"
    assert (BLIND.key(asked.keys[0]) == _written(key)) is (asked.keys[0] == key)


@given(WORDS, WORDS)
def test_texts_are_found_by_what_they_are_folded_to(text: str, other: str) -> None:
    """As `_filter` asks for equal texts: folded, with the mark of its end behind it."""
    key, asked = f"family={strings.text_fact(text)}", f"family={strings.fold(other)}{SEPARATOR}"
    assert _found(KeySpan(asked, after_prefix(asked)), key) is (strings.fold(text) == strings.fold(other))


@given(CODES, CODES, CODES, CODES)
def test_tokens_are_found_by_system_and_code(system: str, code: str, other_system: str, other: str) -> None:
    """By the code, by both, and by the system alone."""
    key, asked = tokens.system_key("code", system, code), tokens.system_key("code", other_system, other)
    assert (BLIND.key(asked) == _written(key)) is (asked == key)
    whole = tokens.condition("code", other_system, "")
    assert isinstance(whole, KeySpan)
    assert _found(whole, key) is (system == other_system)


@given(st.lists(st.sampled_from("ab"), max_size=4), st.lists(st.sampled_from("ab"), min_size=1, max_size=4))
def test_uris_are_found_by_their_paths(path: list[str], below: list[str]) -> None:
    """`:below` finds what is below, part by part."""
    key, under = f"url=http://x/{'/'.join(path)}", "http://x/" + "/".join(below) + "/"
    asked = uris.condition("url", "below", under)
    assert isinstance(asked, KeySpan)
    assert _found(asked, key) is key.removeprefix("url=").startswith(under)


@pytest.mark.parametrize(
    "key",
    ["*", "code!", "#Patient", "subject=Patient/1", "birthdate<1974-12-25", "birthdate~1974", "near=0101", "value<25"],
)
def test_what_keeps_its_order_stays_as_it_is(key: str) -> None:
    """Dates, numbers, positions, and references to resources of this server."""
    assert _written(key) == key


def test_references_are_found_by_their_type() -> None:
    """All that refers to any resource of a type of this server's."""
    span = KeySpan("subject=Patient/", after_prefix("subject=Patient/"))
    assert _found(span, "subject=Patient/1")
    assert not _found(span, "subject=Group/1")
    assert not _found(span, "subject=https://elsewhere.example.org/Patient/1")


def test_amounts_keep_their_order_in_a_blind_unit() -> None:
    """Of a quantity the unit is hidden, and amounts in it can be compared."""
    low, high = BLIND.span(f"value@s{SEPARATOR}mg{SEPARATOR}2", f"value@s{SEPARATOR}mg{SEPARATOR}3") or ("", "")
    assert low <= _written(f"value@s{SEPARATOR}mg{SEPARATOR}25") < high
    assert not low <= _written(f"value@s{SEPARATOR}g{SEPARATOR}25") < high
    assert "mg" not in low


def test_composites_are_found_by_both_parts() -> None:
    """The first part is hidden, and the second is as it is by itself."""
    first, second = f"cv$8480-6{SEPARATOR}<2", f"cv$8480-6{SEPARATOR}<3"
    low, high = BLIND.span(first, second) or ("", "")
    assert low <= _written(f"cv$8480-6{SEPARATOR}<25") < high
    assert "8480" not in low
    beginning = f"cv$8480-6{SEPARATOR}"
    low, high = BLIND.span(beginning, after_prefix(beginning)) or ("", "")
    assert low <= _written(f"cv$8480-6{SEPARATOR}=high") < high


def test_long_beginnings_are_left_to_the_text() -> None:
    """So many letters have a hash each; longer beginnings are decided on the text, and are not asked of the index."""
    long = "family=" + "a" * (LETTERS + 1)
    assert BLIND.span(long, after_prefix(long)) is None
    assert BLIND.key(f"{long}{SEPARATOR}") != BLIND.key(f"{long}a{SEPARATOR}")


@given(st.sampled_from(["family", "code", "url", "_text", "subject", "code:text", "identifier:of-type"]), CODES)
def test_nothing_of_a_fact_is_written(name: str, fact: str) -> None:
    """A blind key has nothing of the fact, and other secrets write others."""
    key = f"{name}={fact}canary{SEPARATOR}Canary" if name in {"family", "code:text"} else f"{name}={fact}canary"
    assert "canary" not in _written(key).casefold()
    assert BlindKeys(os.urandom(32)).key(key) != _written(key)


@given(WORDS)
def test_what_is_blind_stays_so(text: str) -> None:
    """A key that is written already is not written anew where it is asked for."""
    written = _written(f"family={strings.text_fact(text)}")
    assert BLIND.key(written) == written


def test_no_falling_texts_are_written() -> None:
    """Keys in the falling order of texts would tell the texts."""
    assert BLIND.keys([f"family>{strings.inverted('rossi')}"]) == []


def test_words_are_found_by_how_they_begin() -> None:
    """A word with an asterisk finds those that go on."""
    asked = words.condition("Patient", "_text", "asth*")
    spans = [each for each in getattr(asked, "conditions", (asked,)) if isinstance(each, KeySpan)]
    assert any(_found(span, "_text=asthma") for span in spans)
