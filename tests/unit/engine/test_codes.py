"""Value sets as sets: what they include, exclude and share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.engine.search.concepts import Codes

UNIVERSE = [(system, code) for system in "xy" for code in "abcd"]

codes = st.builds(
    Codes,
    pairs=st.sets(st.sampled_from(UNIVERSE)),
    systems=st.dictionaries(st.sampled_from("xy"), st.frozensets(st.sampled_from("abcd"))),
)


def _held(some: Codes) -> set[tuple[str, str]]:
    return {pair for pair in [*UNIVERSE, ("x", "unheard-of"), ("y", "unheard-of")] if pair in some}


@given(codes, codes)
def test_value_sets_combine_as_sets(first: Codes, second: Codes) -> None:
    """Without, within and add are difference, intersection and union, also of whole systems but for some codes."""
    ours, theirs = _held(first), _held(second)
    assert _held(first.without(second)) == ours - theirs
    assert _held(first.within(second)) == ours & theirs
    first.add(second)
    assert _held(first) == ours | theirs
