"""Rules of the operations, on small content."""

from __future__ import annotations

from typing import Any

import pytest

import terminology
from terminology import (
    Coding,
    ExpandRequest,
    FindMatchesRequest,
    Limits,
    LookupRequest,
    MemorySource,
    Options,
    SubsumesRequest,
    TerminologyError,
    TranslateRequest,
    ValidateRequest,
)
from terminology.model.concepts import Property
from terminology.model.languages import LanguageRanges

Json = dict[str, Any]
S = "http://example.org/animals"


def system(**changes: Any) -> Json:
    resource: Json = {
        "resourceType": "CodeSystem",
        "url": S,
        "version": "2.0.0",
        "name": "Animals",
        "language": "en",
        "status": "active",
        "content": "complete",
        "caseSensitive": False,
        "property": [{"code": "legs", "type": "integer"}],
        "concept": [
            {
                "code": "Animal",
                "display": "Animal",
                "property": [{"code": "notSelectable", "valueBoolean": True}],
                "concept": [
                    {
                        "code": "Dog",
                        "display": "Dog",
                        "definition": "A tame wolf",
                        "designation": [
                            {"language": "de", "value": "Hund"},
                            {"language": "de-AT", "value": "Hunderl"},
                            {
                                "language": "en",
                                "value": "Hound",
                                "extension": [
                                    {
                                        "url": "http://hl7.org/fhir/StructureDefinition/structuredefinition-standards-status",
                                        "valueCode": "withdrawn",
                                    }
                                ],
                            },
                        ],
                        "property": [{"code": "legs", "valueInteger": 4}],
                    },
                    {"code": "Bird", "display": "Bird", "property": [{"code": "legs", "valueInteger": 2}]},
                ],
            },
        ],
    }
    return {**resource, **changes}


def value_set(*includes: Json, **compose: Any) -> Json:
    listed = list(includes) or [{"system": S}]
    return {"resourceType": "ValueSet", "url": "http://example.org/vs", "compose": {"include": listed, **compose}}


def validate(
    coding: Coding, source: MemorySource, resource: Json | None = None, **options: Any
) -> terminology.Validation:
    request = ValidateRequest([coding], resource=resource or value_set(), options=Options(validating=True, **options))
    return terminology.validate_in_value_set(request, source)


def expand(resource: Json, source: MemorySource, limits: Limits | None = None, **options: Any) -> list[str]:
    request = ExpandRequest(resource=resource, options=Options(**options))
    return [each.code for each in terminology.expand(request, source, limits).entries()]


SOURCE = MemorySource([system()])


def test_a_code_in_another_case_is_valid_where_case_does_not_count() -> None:
    """The code system's own form is told."""
    result = validate(Coding(S, None, "dog"), SOURCE)
    assert result.valid
    assert result.normal_form == "Dog"
    assert [each.message_id for each in result.issues] == ["CODE_CASE_DIFFERENCE"]
    assert not validate(Coding(S, None, "dog"), MemorySource([system(caseSensitive=True)])).valid


def test_an_abstract_code_is_refused_where_the_caller_says_so() -> None:
    """Without a word it is allowed, as value sets may want it."""
    assert validate(Coding(S, None, "Animal"), SOURCE).valid
    assert not validate(Coding(S, None, "Animal"), SOURCE, abstract_allowed=False).valid


def test_a_display_that_is_withdrawn_is_told() -> None:
    """It is a designation of the concept still, so the code is valid with a warning."""
    result = validate(Coding(S, None, "Dog", "Hound"), SOURCE)
    assert result.valid
    assert [(each.severity, each.message_id) for each in result.issues] == [("warning", "INACTIVE_DISPLAY_FOUND")]
    assert result.issues[0].text.endswith("(status = withdrawn). The correct display is one of Dog, Hund, Hunderl")
    english = LanguageRanges.parse("en", others=False)
    result = validate(Coding(S, None, "Dog", "Hound"), SOURCE, display_languages=english)
    assert result.issues[0].text.endswith("(status = withdrawn). The correct display is 'Dog'")


@pytest.mark.parametrize(
    ("languages", "display"),
    [
        ("de", "Hund"),
        ("de-AT", "Hunderl"),
        ("de-CH", "Hund"),
        ("fr", "Dog"),
        ("fr, de;q=0.5", "Hund"),
        ("fr, *;q=0", None),
    ],
)
def test_the_display_is_in_the_best_language(languages: str, display: str | None) -> None:
    """Regions come before the language, weights count, and `*;q=0` refuses what was not asked for."""
    options = Options()
    options.read("displayLanguage", languages)
    request = ExpandRequest(resource=value_set({"system": S, "concept": [{"code": "Dog"}]}), options=options)
    assert [each.display for each in terminology.expand(request, SOURCE).entries()] == [display]


def test_an_unknown_system_is_a_result() -> None:
    """Neither membership nor a code system that is not there ends in an error."""
    result = validate(Coding("http://example.org/none", None, "a"), SOURCE)
    assert not result.valid
    assert result.unknown_systems == ["http://example.org/none"]
    unknown = value_set({"system": "http://example.org/none"})
    result = validate(Coding("http://example.org/none", None, "a"), SOURCE, unknown)
    assert (result.valid, result.caused_by_unknown_systems) == (False, ["http://example.org/none"])


def test_content_that_is_not_present_is_no_content() -> None:
    """A code system without its concepts cannot judge a code, nor be expanded."""
    for content in ("not-present", "example"):
        source = MemorySource([system(content=content)])
        assert validate(Coding(S, None, "Dog"), source).caused_by_unknown_systems == [S]
        with pytest.raises(TerminologyError, match="could not be found"):
            expand(value_set(), source)


def test_the_latest_version_counts_unless_another_is_meant() -> None:
    """Versions are compared as numbers; a pattern means the latest that fits; a rule of the request may decide."""
    source = MemorySource(
        [system(version=each, concept=[{"code": each}]) for each in ("1.9.0", "1.10.0", "1.10.0-beta")]
    )
    assert expand(value_set(), source) == ["1.10.0"]
    assert expand(value_set({"system": S, "version": "1.9.x"}), source) == ["1.9.0"]
    options = Options()
    options.read("force-system-version", f"{S}|1.9.0")
    request = ExpandRequest(resource=value_set({"system": S, "version": "1.10.0"}), options=options)
    assert [each.code for each in terminology.expand(request, source).entries()] == ["1.9.0"]
    for rule in ("system-version", "check-system-version"):
        with pytest.raises(TerminologyError, match="canonical with a version"):
            Options().read(rule, S)


def test_systems_may_be_left_out_of_an_expansion() -> None:
    """By url, or by one version of it."""
    other = system(url="http://example.org/other", concept=[{"code": "x"}])
    source = MemorySource([system(), other])
    both = value_set({"system": S}, {"system": "http://example.org/other"})
    assert expand(both, source, excluded_systems=[S]) == ["x"]
    assert expand(both, source, excluded_systems=[f"{S}|2.0.0"]) == ["x"]
    assert len(expand(both, source, excluded_systems=[f"{S}|1.0.0"])) == 4


def test_a_value_set_in_a_version_that_is_not_allowed_is_refused() -> None:
    """As a code system is; a default decides only where nothing is stated."""
    versions = [{**value_set(), "version": version} for version in ("1.0.0", "2.0.0")]
    source = MemorySource([system(), *versions])
    outer = value_set({"valueSet": ["http://example.org/vs|2.0.0"]})
    for name, allowed in (("check-valueset-version", False), ("default-valueset-version", True)):
        options = Options()
        options.read(name, "http://example.org/vs|1.0.0")
        request = ExpandRequest(resource={**outer, "url": "http://example.org/outer"}, options=options)
        if allowed:
            assert ("used-valueset", "uri", "http://example.org/vs|2.0.0") in terminology.expand(
                request, source
            ).parameters
        else:
            with pytest.raises(TerminologyError, match="not allowed for value set"):
                terminology.expand(request, source)


def test_more_codes_than_the_limit_are_too_costly_but_a_page_is_not() -> None:
    """The limit is on what is sent, not on what there is."""
    with pytest.raises(TerminologyError) as error:
        expand(value_set(), SOURCE, Limits(codes=2))
    assert error.value.code == "too-costly"
    assert expand(value_set(), SOURCE, Limits(codes=2), count=1, offset=1) == ["Dog"]
    assert expand(value_set(), SOURCE, Limits(codes=2), count=0) == []


def test_a_value_set_that_includes_itself_is_refused() -> None:
    """Whether directly, by another, or by what it excludes; in expansion and in validation."""
    ring = [
        {"resourceType": "ValueSet", "url": f"http://example.org/{one}", "compose": compose}
        for one, compose in {
            "a": {"include": [{"system": S}, {"valueSet": ["http://example.org/b"]}]},
            "b": {"include": [{"system": S}], "exclude": [{"valueSet": ["http://example.org/a"]}]},
        }.items()
    ]
    source = MemorySource([system(), *ring])
    for call in (
        lambda: terminology.expand(ExpandRequest(url="http://example.org/a"), source),
        lambda: terminology.validate_in_value_set(
            ValidateRequest([Coding(S, None, "x")], url="http://example.org/a"), source
        ),
    ):
        with pytest.raises(TerminologyError, match="circularity"):
            call()


def test_contained_value_sets_are_found_and_their_rings_too() -> None:
    """`#id` is one of the same resource."""
    contained = {
        "resourceType": "ValueSet",
        "id": "in",
        "compose": {"include": [{"system": S, "concept": [{"code": "Dog"}]}]},
    }
    outer = {**value_set({"valueSet": ["#in"]}), "contained": [contained]}
    assert expand(outer, SOURCE) == ["Dog"]
    contained["compose"] = {"include": [{"valueSet": ["#in"]}]}
    with pytest.raises(TerminologyError, match="circularity"):
        expand(outer, SOURCE)


@pytest.mark.parametrize(
    ("part", "reference", "text"),
    [
        ("include", "http://none.example", "Unable to find included value set 'http://none.example'"),
        ("exclude", "http://none.example|1", "Unable to find excluded value set 'http://none.example' version '1'"),
        ("include", f"{S}|1", f"Cannot include value set '{S}' version '1' because it's actually a code system"),
        ("exclude", S, f"Cannot exclude value set '{S}' because it's actually a code system"),
    ],
)
def test_an_import_that_is_not_there_says_which_and_why(part: str, reference: str, text: str) -> None:
    """An include and an exclude are told apart, and a code system where a value set belongs is named."""
    resource = value_set({"system": S})
    resource["compose"].setdefault(part, []).append({"valueSet": [reference]})
    with pytest.raises(TerminologyError) as error:
        expand(resource, SOURCE)
    assert [each.text for each in error.value.issues] == [text]


def test_a_filter_that_means_nothing_is_an_error_that_names_its_place() -> None:
    """Neither an unknown property, a missing value nor a bad pattern is passed over."""
    for condition, code in (
        ({"property": "wings", "op": "=", "value": "2"}, "not-supported"),
        ({"property": "legs", "op": "="}, "invalid"),
        ({"property": "code", "op": "regex", "value": "(a"}, "invalid"),
        ({"property": "code", "op": "resembles", "value": "a"}, "not-supported"),
    ):
        with pytest.raises(TerminologyError) as error:
            expand(value_set({"system": S, "filter": [condition]}), SOURCE)
        assert error.value.code == code


@pytest.mark.parametrize(
    ("condition", "codes"),
    [
        (("concept", "is-a", "Animal"), ["Animal", "Dog", "Bird"]),
        (("concept", "descendent-of", "Animal"), ["Dog", "Bird"]),
        (("concept", "child-of", "Animal"), ["Dog", "Bird"]),
        (("concept", "descendent-leaf", "Animal"), ["Dog", "Bird"]),
        (("concept", "generalizes", "Dog"), ["Animal", "Dog"]),
        (("concept", "is-not-a", "Dog"), ["Animal", "Bird"]),
        (("code", "regex", "[A-D].*"), ["Animal", "Dog", "Bird"]),
        (("code", "regex", "D"), []),
        (("concept", "in", "Dog, Bird"), ["Dog", "Bird"]),
        (("legs", "=", "4"), ["Dog"]),
        (("legs", "exists", "false"), ["Animal"]),
        (("legs", "not-in", "4,2"), ["Animal"]),
        (("display", "=", "Bird"), ["Bird"]),
        (("designation", "regex", "Hund.*"), ["Dog"]),
        (("child", "exists", "true"), ["Animal"]),
        (("parent", "=", "Animal"), ["Dog", "Bird"]),
    ],
)
def test_filters_mean_what_fhir_says(condition: tuple[str, str, str], codes: list[str]) -> None:
    """Each operator of R5, on codes, properties and texts."""
    part = {"system": S, "filter": [dict(zip(("property", "op", "value"), condition, strict=True))]}
    assert expand(value_set(part), SOURCE) == codes


def test_a_hierarchy_that_is_not_is_a_says_nothing_of_meaning() -> None:
    """What is part of something is no kind of it; the tree itself can still be asked for."""
    source = MemorySource([system(hierarchyMeaning="part-of")])
    below = {"property": "concept", "op": "is-a", "value": "Animal"}
    assert expand(value_set({"system": S, "filter": [below]}), source) == ["Animal"]
    assert expand(value_set({"system": S, "filter": [{**below, "op": "child-of"}]}), source) == ["Dog", "Bird"]
    pair = SubsumesRequest(Coding(S, None, "Animal"), Coding(S, None, "Dog"))
    assert terminology.subsumes(pair, source) == "not-subsumed"


def test_a_supplement_adds_texts_and_properties_where_it_is_asked_for() -> None:
    """A language pack is used without being asked for; a supplement that is missing is an error."""
    supplement = {
        "resourceType": "CodeSystem",
        "url": "http://example.org/supplement",
        "content": "supplement",
        "supplements": S,
        "property": [{"code": "size", "type": "code"}],
        "concept": [
            {
                "code": "Dog",
                "designation": [{"language": "nl", "value": "hond"}],
                "property": [{"code": "size", "valueCode": "big"}],
            }
        ],
    }
    source = MemorySource([system(), supplement])
    assert not validate(Coding(S, None, "Dog", "hond"), source).valid
    assert validate(Coding(S, None, "Dog", "hond"), source, supplements=["http://example.org/supplement"]).valid
    big = value_set({"system": S, "filter": [{"property": "size", "op": "=", "value": "big"}]})
    assert expand(big, source, supplements=["http://example.org/supplement"]) == ["Dog"]
    assert expand(value_set(), source, supplements=["http://example.org/supplement"], filter="hond") == ["Dog"]
    with pytest.raises(TerminologyError, match="Required supplement not found"):
        expand(value_set(), source, supplements=["http://example.org/other"])
    kind = {"url": "http://hl7.org/fhir/StructureDefinition/codesystem-supplement-type", "valueCode": "lang-pack"}
    pack = MemorySource([system(), {**supplement, "extension": [kind]}])
    assert validate(Coding(S, None, "Dog", "hond"), pack).valid


def test_a_stored_expansion_counts_where_there_is_no_definition() -> None:
    """It is filtered and paged as any other, and judges membership."""
    entries = [{"system": S, "code": "Dog", "display": "Dog", "contains": [{"system": S, "code": "Bird"}]}]
    stored = {"resourceType": "ValueSet", "url": "http://example.org/stored", "expansion": {"contains": entries}}
    assert expand(stored, SOURCE) == ["Dog", "Bird"]
    assert expand(stored, SOURCE, filter="do") == ["Dog"]
    assert validate(Coding(S, None, "Bird"), SOURCE, stored).valid
    assert not validate(Coding(S, None, "Animal"), SOURCE, stored).valid


def test_value_sets_beyond_what_is_understood_are_refused() -> None:
    """A modifier extension, a date at which content is locked, and no definition at all are no empty value sets."""
    marked = {"url": "http://example.org/not", "valueBoolean": True}
    for resource in (
        {**value_set(), "modifierExtension": [marked]},
        value_set({"system": S, "modifierExtension": [marked]}),
        value_set(lockedDate="2020-01-01"),
        {"resourceType": "ValueSet", "url": "http://example.org/empty"},
    ):
        with pytest.raises(TerminologyError):
            expand(resource, SOURCE)


def test_value_sets_that_multiply_end_at_a_limit() -> None:
    """Each includes the next twice, 40 deep, and the last has nothing: a billion ways to nothing."""
    chain = [
        {
            "resourceType": "ValueSet",
            "url": f"http://example.org/{index}",
            "compose": {"include": [{"valueSet": [f"http://example.org/{index + 1}"]}] * 2},
        }
        for index in range(40)
    ]
    last = {**value_set({"system": S, "concept": [{"code": "none"}]}), "url": "http://example.org/40"}
    source = MemorySource([system(), *chain, last])
    for call in (
        lambda: terminology.expand(ExpandRequest(url="http://example.org/0"), source, Limits(visited=10_000)),
        lambda: terminology.validate_in_value_set(
            ValidateRequest([Coding(S, None, "Dog")], url="http://example.org/0"), source, Limits(visited=10_000)
        ),
    ):
        with pytest.raises(TerminologyError) as error:
            call()
        assert error.value.code == "too-costly"
    deep = [{**each, "compose": {"include": each["compose"]["include"][:1]}} for each in chain]
    source = MemorySource([system(), *deep, {**last, "compose": value_set()["compose"]}])
    assert len(terminology.expand(ExpandRequest(url="http://example.org/0"), source).contains) == 3


def test_a_code_system_may_name_the_value_set_of_all_its_codes() -> None:
    """It needs no resource of its own; one that is there counts instead."""
    whole = "http://example.org/all-animals"
    source = MemorySource([system(valueSet=whole)])
    assert terminology.expand(ExpandRequest(url=whole), source).total == 3
    request = ValidateRequest([Coding(S, None, "Dog")], url=whole)
    assert terminology.validate_in_value_set(request, source).valid
    source.add({**value_set({"system": S, "concept": [{"code": "Dog"}]}), "url": whole})
    assert terminology.expand(ExpandRequest(url=whole), source).total == 1


def test_lookup_tells_what_was_asked_for() -> None:
    """All of a concept without a word, else the properties that were named."""
    result = terminology.lookup(LookupRequest(Coding(S, None, "Dog")), SOURCE)
    assert {each.property.code for each in result.properties} == {"legs", "inactive", "parent"}
    assert result.definition == "A tame wolf"
    result = terminology.lookup(LookupRequest(Coding(S, None, "Dog"), Options(properties=["parent"])), SOURCE)
    assert [(each.property.value, each.description) for each in result.properties] == [("Animal", "Animal")]
    assert (result.definition, result.designations) == (None, [])
    for coding in (Coding(S, None, "Cat"), Coding("http://example.org/none", None, "Dog"), Coding(S, "3.0.0", "Dog")):
        with pytest.raises(TerminologyError) as error:
            terminology.lookup(LookupRequest(coding), SOURCE)
        assert error.value.code == "not-found"


def concept_map(**changes: Any) -> Json:
    group = {
        "source": S,
        "target": "http://example.org/tiere",
        "element": [
            {"code": "Dog", "target": [{"code": "Hund", "equivalence": "equivalent"}]},
            {"code": "Bird", "target": [{"code": "Spatz", "equivalence": "narrower"}]},
            {"code": "Animal", "target": [{"equivalence": "unmatched"}]},
        ],
        **changes,
    }
    return {"resourceType": "ConceptMap", "url": "http://example.org/map", "version": "1", "group": [group]}


def translate(code: str, resource: Json, **more: Any) -> list[tuple[str, str | None]]:
    request = TranslateRequest([Coding(more.pop("system", S), None, code)], **more)
    result = terminology.translate(request, MemorySource([system(), resource])).matches
    return [(each.equivalence, each.concept.code if each.concept else None) for each in result]


def test_translation_goes_both_ways() -> None:
    """Backwards, what is narrower becomes wider."""
    assert translate("Dog", concept_map()) == [("equivalent", "Hund")]
    assert translate("Animal", concept_map()) == [("unmatched", None)]
    assert translate("Cat", concept_map()) == []
    assert translate("Spatz", concept_map(), system="http://example.org/tiere", reverse=True) == [("wider", "Bird")]
    assert translate("Dog", concept_map(), target_system="http://example.org/other") == []
    with pytest.raises(TerminologyError, match="not known"):
        translate("Dog", concept_map(), url="http://example.org/none")


def test_codes_that_a_map_does_not_name_follow_its_rule() -> None:
    """The code itself, a fixed one, or another map."""
    assert translate("Cat", concept_map(unmapped={"mode": "provided"})) == [("equivalent", "Cat")]
    assert translate("Cat", concept_map(unmapped={"mode": "fixed", "code": "?"})) == [("relatedto", "?")]
    ring = concept_map(unmapped={"mode": "other-map", "url": "http://example.org/map"})
    assert translate("Cat", ring) == []


def test_a_closure_grows_by_what_is_new() -> None:
    """Entries name each concept with those above it; what is known adds nothing."""
    items = [Coding(S, None, "Dog")]
    entries = terminology.extend_closure(items, [Coding(S, None, "Animal"), Coding(S, None, "Dog")], SOURCE)
    assert [(each.concept.code, each.ancestor.code) for each in entries] == [("Dog", "Animal")]
    with pytest.raises(TerminologyError):
        terminology.extend_closure(items, [Coding(S, None, "Cat")], SOURCE)


def test_codes_are_found_by_their_properties() -> None:
    """All of them, or the nearest with what they lack."""
    legs = Property("legs", "integer", 4)
    name = Property("display", "string", "bird")
    assert [m.concept.code for m in terminology.find_matches(FindMatchesRequest(S, None, [legs]), SOURCE)] == ["Dog"]
    assert terminology.find_matches(FindMatchesRequest(S, None, [legs, name]), SOURCE) == []
    nearest = terminology.find_matches(FindMatchesRequest(S, None, [legs, name], exact=False), SOURCE)
    assert {m.concept.code: m.unmatched for m in nearest} == {"Dog": (name,), "Bird": (legs,)}


def test_warnings_tell_how_far_content_can_be_relied_on() -> None:
    """A draft may refer to a draft; others are told of it."""
    source = MemorySource([system(status="draft")])
    assert [each.message_id for each in validate(Coding(S, None, "Dog"), source).issues] == ["MSG_DRAFT"]
    draft = {**value_set(), "status": "draft"}
    assert validate(Coding(S, None, "Dog"), source, draft).issues == []
    retired = MemorySource([system(status="retired")])
    result = terminology.expand(ExpandRequest(resource=value_set()), retired)
    assert ("warning-retired", "uri", f"{S}|2.0.0") in result.parameters


def test_a_version_that_the_system_needs_is_asked_for() -> None:
    """Where codes mean nothing without a version, a coding without one is not valid."""
    source = MemorySource([system(versionNeeded=True)])
    request = ValidateRequest([Coding(S, None, "Dog")])
    assert not terminology.validate_in_code_system(request, source).valid
    request = ValidateRequest([Coding(S, "2.0.0", "Dog")])
    assert terminology.validate_in_code_system(request, source).valid


def test_a_deep_hierarchy_does_not_end_the_stack() -> None:
    """Nesting is read, walked and written without recursion into it."""
    concept: Json = {"code": "c0"}
    for index in range(1, 3000):
        concept = {"code": f"c{index}", "concept": [concept]}
    source = MemorySource([system(concept=[concept])])
    assert len(expand(value_set(), source, Limits(codes=5000), exclude_nested=True)) == 3000
    assert validate(Coding(S, None, "c0"), source).valid
