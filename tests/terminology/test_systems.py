"""Code systems by rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import terminology
from fhir_server.r4.ucum import is_unit
from terminology import (
    CodeSystem,
    Coding,
    ExpandRequest,
    Filter,
    LayeredSource,
    MemorySource,
    Selection,
    TerminologyError,
    ValidateRequest,
)
from terminology.systems import rule_based_systems
from terminology.systems.languages import Languages
from terminology.systems.mime_types import MimeTypes
from terminology.systems.ucum import Ucum

SOURCE = LayeredSource(MemorySource(code_systems=[*rule_based_systems(), Ucum(is_unit, lambda code: "m")]))
BCP_47, BCP_13, UCUM = "urn:ietf:bcp:47", "urn:ietf:bcp:13", "http://unitsofmeasure.org"


@pytest.mark.parametrize(
    ("system", "code", "written"),
    [
        (BCP_47, "de", "de"),
        (BCP_47, "en-us", "en-US"),
        (BCP_47, "ZH-hant-tw", "zh-Hant-TW"),
        (BCP_47, "es-419", "es-419"),
        (BCP_47, "sl-rozaj-biske", "sl-rozaj-biske"),
        (BCP_47, "en-GB-u-ca-gregory", "en-GB-u-ca-gregory"),
        (BCP_47, "i-klingon", "i-klingon"),
        (BCP_47, "x-own", "x-own"),
        (BCP_47, "xx", None),
        (BCP_47, "eng", None),
        (BCP_47, "en-AB", None),
        (BCP_47, "en_US", None),
        (BCP_47, "", None),
        (BCP_13, "Text/HTML; charset=UTF-8", "text/html; charset=UTF-8"),
        (BCP_13, 'multipart/related; boundary="a b"', 'multipart/related; boundary="a b"'),
        (BCP_13, "application/fhir+json", "application/fhir+json"),
        (BCP_13, "text", None),
        (BCP_13, "nonsense/plain", None),
        (BCP_13, "text/plain;charset", None),
        (UCUM, "mg/dL", "mg/dL"),
        (UCUM, "10*3/uL", "10*3/uL"),
        (UCUM, "{annotation}", "{annotation}"),
        (UCUM, "milligrams", None),
        (UCUM, "MG/DL", None),
        (UCUM, "m" * 201, None),
        ("urn:iso:std:iso:3166", "DE", "DE"),
        ("urn:iso:std:iso:3166", "DEU", "DEU"),
        ("urn:iso:std:iso:3166", "276", "276"),
        ("urn:iso:std:iso:3166", "de", None),
        ("urn:iso:std:iso:4217", "EUR", "EUR"),
        ("urn:iso:std:iso:4217", "DM", None),
    ],
)
def test_codes_are_judged_by_rule(system: str, code: str, written: str | None) -> None:
    """A code that is written otherwise than recommended is valid, and its own form told."""
    if not code:
        assert Languages().concept(code) is None
        return
    result = terminology.validate_in_code_system(ValidateRequest([Coding(system, None, code)]), SOURCE)
    assert result.valid == (written is not None)
    assert (result.normal_form or code) == (written or code)


def test_a_grammar_is_listed_by_what_is_common() -> None:
    """A value set of all units lists common ones and says that there are more; both judge codes."""
    every = {"resourceType": "ValueSet", "compose": {"include": [{"system": UCUM}]}}
    named = {"resourceType": "ValueSet", "compose": {"include": [{"system": UCUM, "concept": [{"code": "kg"}]}]}}
    result = terminology.expand(ExpandRequest(resource=every), SOURCE)
    assert result.unclosed_reasons
    assert {"kg", "mm[Hg]"} <= {each.code for each in result.entries()}
    without_list = MemorySource(code_systems=[Ucum(is_unit, common=())])
    with pytest.raises(TerminologyError) as error:
        terminology.expand(ExpandRequest(resource=every), without_list)
    assert error.value.code == "not-supported"
    assert [each.code for each in terminology.expand(ExpandRequest(resource=named), SOURCE).entries()] == ["kg"]
    for value_set, valid in ((every, True), (named, False)):
        request = ValidateRequest([Coding(UCUM, None, "g")], resource=value_set)
        assert terminology.validate_in_value_set(request, SOURCE).valid == valid
    filters = [
        {"property": "code", "op": "in", "value": "kg,none,g"},
        {"property": "canonical", "op": "=", "value": "m"},
    ]
    filtered = {"resourceType": "ValueSet", "compose": {"include": [{"system": UCUM, "filter": filters}]}}
    assert [each.code for each in terminology.expand(ExpandRequest(resource=filtered), SOURCE).entries()] == ["kg", "g"]


def test_countries_are_filtered_as_any_list() -> None:
    """FHIR's value set of codes of two letters is a pattern."""
    two = {"system": "urn:iso:std:iso:3166", "filter": [{"property": "code", "op": "regex", "value": "[A-Z]{2}"}]}
    value_set = {"resourceType": "ValueSet", "compose": {"include": [two]}}
    assert terminology.expand(ExpandRequest(resource=value_set), SOURCE).total == 249


@pytest.mark.parametrize("system", [Languages(), MimeTypes(), Ucum(is_unit)], ids=lambda each: each.info.name)
def test_what_is_listed_is_valid(system: CodeSystem) -> None:
    """Each common code is one, once."""
    listed = [each.code for each in system.select(Selection()).page()]
    assert len(set(listed)) == len(listed)
    assert all(system.concept(code) is not None for code in listed)


@given(st.text(max_size=60))
def test_no_text_breaks_a_rule(text: str) -> None:
    """Whatever is asked, the answer is a concept or none; its form is its own form."""
    for system in (Languages(), MimeTypes(), Ucum(is_unit)):
        result = system.concept(text)
        if result is not None:
            again = system.concept(result.code)
            assert again is not None
            assert again.code == result.code


def test_units_are_selected_by_any_unit_of_their_kind() -> None:
    """R4's all-time-units is `canonical = a`: minutes are in it, and a barn, `b`, is not."""
    ucum = Ucum(is_unit, {"min": "s", "a": "s", "b": "m2", "d": "s"}.get)
    times = ucum.select(Selection(filters=(Filter("canonical", "=", "a"),)))
    assert [code for code in ("min", "d", "a", "b") if code in times] == ["min", "d", "a"]
