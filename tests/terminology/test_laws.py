"""Laws that hold for every code system and value set."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

import terminology
from terminology import Coding, Member, Options, SubsumesRequest, read_value_set
from tests.terminology.trees import (
    SYSTEM,
    Json,
    code_systems,
    codes_of,
    expanded,
    is_valid,
    parts,
    source_of,
    value_sets,
)


@st.composite
def system_and_value_set(draw: st.DrawFn) -> tuple[Json, Json]:
    system = draw(code_systems())
    return system, draw(value_sets(system))


@given(code_systems())
@settings(max_examples=40, deadline=None)
def test_subsumption_is_a_partial_order(system: Json) -> None:
    """It is reflexive, antisymmetric and transitive, and its two directions agree."""
    source = source_of(system)
    codes = codes_of(system)
    outcome = {
        (one, other): terminology.subsumes(
            SubsumesRequest(Coding(SYSTEM, None, one), Coding(SYSTEM, None, other)), source
        )
        for one in codes
        for other in codes
    }
    inverse = {"subsumes": "subsumed-by", "subsumed-by": "subsumes"}
    for one in codes:
        assert outcome[one, one] == "equivalent"
        for other in codes:
            result = outcome[one, other]
            assert outcome[other, one] == inverse.get(result, result)
            assert one == other or result != "equivalent"
            if result == "subsumes":
                assert all(outcome[one, third] == "subsumes" for third in codes if outcome[other, third] == "subsumes")


@given(system_and_value_set())
@settings(max_examples=40, deadline=None)
def test_expansion_validation_and_selection_agree(drawn: tuple[Json, Json]) -> None:
    """A code is in the expansion of a value set exactly if it is valid in it, and exactly if search says it is."""
    system, value_set = drawn
    source = source_of(system)
    members = expanded(source, value_set)
    assert len(members) == len(set(members))
    assert [each.code for each in terminology.members(read_value_set(value_set), source)] == members
    selector = terminology.selector(source)
    for code in [*codes_of(system), "unknown"]:
        assert is_valid(source, value_set, code) == (code in members)
        assert selector.contains(read_value_set(value_set), Member(SYSTEM, None, code)) == (code in members)


@given(system_and_value_set())
@settings(max_examples=40, deadline=None)
def test_exclude_is_set_difference(drawn: tuple[Json, Json]) -> None:
    """What is excluded is taken from what is included, and includes are joined."""
    system, value_set = drawn
    source = source_of(system)
    compose = value_set["compose"]
    flags = {key: value for key, value in compose.items() if key == "inactive"}

    def of(part: Json, **more: bool) -> set[str]:
        return set(expanded(source, {**value_set, "compose": {"include": [part], **more}}))

    included = set().union(*(of(part, **flags) for part in compose["include"]))
    excluded = set().union(*(of(part) for part in compose.get("exclude", ())))
    assert set(expanded(source, value_set)) == included - excluded


@given(system_and_value_set(), st.integers(1, 5), st.sampled_from([None, "le", "heart dis"]))
@settings(max_examples=40, deadline=None)
def test_pages_join_to_the_whole(drawn: tuple[Json, Json], size: int, text: str | None) -> None:
    """The pages of an expansion are the whole in its order, none twice; each tells the same total."""
    system, value_set = drawn
    source = source_of(system)

    def searching(options: Options) -> None:
        options.filter = text

    whole = expanded(source, value_set, searching)
    pages: list[str] = []
    for offset in range(0, len(whole) + size, size):
        options = Options(exclude_nested=True, filter=text, count=size, offset=offset)
        page = terminology.expand(terminology.ExpandRequest(resource=value_set, options=options), source)
        assert page.total == len(whole)
        pages += [entry.code for entry in page.entries()]
    assert pages == whole


@given(system_and_value_set())
@settings(max_examples=40, deadline=None)
def test_an_import_is_the_value_set_itself(drawn: tuple[Json, Json]) -> None:
    """A value set that includes another has its codes; with a second one, those that both have."""
    system, value_set = drawn
    other = {"resourceType": "ValueSet", "url": "http://example.org/all", "compose": {"include": [{"system": SYSTEM}]}}
    source = source_of(system, value_set, other)
    outer = {"resourceType": "ValueSet", "compose": {"include": [{"valueSet": [value_set["url"], other["url"]]}]}}
    assert expanded(source, outer) == expanded(source, value_set)
    excluding = {"include": [{"system": SYSTEM}], "exclude": [{"valueSet": [value_set["url"]]}]}
    left = expanded(source, {"resourceType": "ValueSet", "compose": excluding})
    assert set(left) == set(codes_of(system)) - set(expanded(source, value_set))


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_nesting_loses_nothing(data: st.DataObject) -> None:
    """A nested expansion has the codes of a flat one, each below a code that subsumes it."""
    system = data.draw(code_systems())
    value_set = {"resourceType": "ValueSet", "compose": {"include": [data.draw(parts(system))]}}
    source = source_of(system)
    request = terminology.ExpandRequest(resource=value_set)
    nested = terminology.expand(request, source)
    assert sorted(entry.code for entry in nested.entries()) == sorted(expanded(source, value_set))
    result = source.code_system(SYSTEM, "1.0.0")
    assert result is not None
    for entry in nested.entries():
        assert all(result.subsumes(entry.code, below.code) for below in entry.contains)
