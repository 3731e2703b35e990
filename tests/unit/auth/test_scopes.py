"""SMART scopes: exact syntax, what they cover, and how they are cut down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.auth.permission.scopes import Scopes, parse_scope, parse_scopes, unknown
from fhir_server.r4.definitions import RESOURCE_TYPES

LABORATORY = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"


@pytest.mark.parametrize(
    ("text", "permissions"),
    [
        ("patient/Observation.rs", "rs"),
        ("user/*.cruds", "cruds"),
        ("system/Patient.c", "c"),
        ("patient/Patient.read", "rs"),
        ("patient/*.write", "cud"),
        ("system/*.*", "cruds"),
        (f"patient/Observation.rs?category={LABORATORY}", "rs"),
    ],
)
def test_a_scope_of_v1_or_v2_is_read_and_printed_as_it_was_written(text: str, permissions: str) -> None:
    """Checklist 4: both versions are understood, and answered in the version that was asked in."""
    scope = parse_scope(text)
    assert scope is not None
    assert scope.permissions == permissions
    assert str(scope) == text


@pytest.mark.parametrize(
    "text",
    [
        "patient/Observation.sr",
        "patient/Observation.rr",
        "patient/Observation.",
        "patient/Observation",
        "patient/Observation.rsx",
        "patient/Observation.RS",
        "patient/observation.rs",
        "patient/Observations.rs",
        "patients/Observation.rs",
        "Patient/Observation.rs",
        "patient/Observation.rs ",
        "patient/Observation.rs\n",
        "patient/Observation.rs;",
        "patient/Observation.readwrite",
        "patient/Observation.read?category=x",
        "patient/Observation.rs?",
        "patient/Observation.rs?category",
        "patient/Observation.rs?category=",
        "patient/Observation.rs?nonsense=x",
        "patient/Observation.rs?category:not=x",
        "patient/Observation.rs?subject.name=x",
        "patient/Observation.rs?_include=Observation:subject",
        "patient/Observation.rs?_has:Group:member:_id=1",
        "patient/Observation.rs?category=x&",
        "patient/*.rs?category=x",
        "patient/**.rs",
        "patient/Observation.r.s",
        "launch/Patient",
    ],
)
def test_what_is_not_written_exactly_so_is_no_scope(text: str) -> None:
    """Checklist 4: undefined or out-of-order scopes are never rounded up; here they grant nothing."""
    assert parse_scope(text) is None
    assert not parse_scopes(text.replace(" ", "%20"))
    assert unknown("x" + text.strip()) or "x" + text == text


def test_a_role_of_the_launch_context_still_asks_for_the_context() -> None:
    """Checklist 4: launch/patient with an unknown role gives the context for the type anyway."""
    assert parse_scopes("launch/patient?role=friend").plain == ("launch/patient",)


@pytest.mark.parametrize(
    ("requested", "allowed", "granted"),
    [
        ("patient/*.cruds", "patient/Patient.rs patient/Observation.r", "patient/Patient.rs patient/Observation.r"),
        ("patient/*.read", "patient/*.cruds patient/Patient.r", "patient/*.read"),
        ("patient/*.read", "patient/*.s", "patient/*.s"),
        ("user/*.rs", "patient/*.cruds", ""),
        ("patient/Patient.rs", f"patient/Observation.rs?category={LABORATORY}", ""),
        (
            "patient/*.rs",
            f"patient/Observation.rs?category={LABORATORY}",
            f"patient/Observation.rs?category={LABORATORY}",
        ),
        (
            "patient/Observation.rs?code=1",
            "patient/Observation.r?category=2",
            "patient/Observation.r?code=1&category=2",
        ),
        ("openid offline_access", "openid", "openid"),
        ("patient/*.write", "patient/*.cu", "patient/*.cu"),
    ],
)
def test_a_request_is_cut_down_to_what_is_allowed(requested: str, allowed: str, granted: str) -> None:
    """Checklist 3: what is granted may differ from the request but never exceeds it or the registration."""
    assert str(parse_scopes(requested).narrowed_to(parse_scopes(allowed))) == granted


_scopes = st.builds(
    "{}/{}.{}".format,
    st.sampled_from(["patient", "user", "system"]),
    st.sampled_from(["*", *sorted(RESOURCE_TYPES)[:4]]),
    st.sampled_from(["r", "rs", "cud", "cruds", "read", "write", "*"]),
)
_texts = st.lists(_scopes, max_size=4).map(" ".join)


def _allows(scopes: Scopes) -> set[tuple[str, str, str]]:
    types = ["Patient", *sorted(RESOURCE_TYPES)[:4]]
    return {
        (scope.level, name, letter)
        for scope in scopes.resources
        for name in types
        for letter in "cruds"
        if scope.covers(letter, name)
    }


@given(_texts, _texts)
def test_cutting_down_grants_just_what_both_allow(asked: str, allowed: str) -> None:
    """The permissions of the result are the common ones of the request and of what is allowed."""
    mine, theirs = parse_scopes(asked), parse_scopes(allowed)
    granted = mine.narrowed_to(theirs)
    assert _allows(granted) == _allows(mine) & _allows(theirs)
    assert granted.within(theirs) or not granted


@given(st.text(max_size=60))
def test_any_text_is_a_scope_or_none(text: str) -> None:
    """No text makes the parser fail, and what it takes for a scope is one that it prints the same."""
    scope = parse_scope(text)
    assert scope is None or str(scope) == text
