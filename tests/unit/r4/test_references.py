"""What the text of a reference names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.references import Literal, conditional, is_absolute, is_uri, literal, local, mentioned
from fhir_server.r4.validation import validate

BASE = "http://here.example/fhir"

ODD = [
    "123",
    "Patient",
    "Patient/",
    "/Patient/B",
    "//here.example/fhir/Patient/B",
    "./Patient/B",
    "../Patient/B",
    "foo/Patient/B",
    "Patient/B/",
    "Patient/B/$x",
    "Patient/B/$x?ac=1",
    "Task/B/$accept?ac=777bea0e13cc9c42",
    "Patient/B?x",
    "Patient/B?_format=json",
    "Patient/B#x",
    "Patient/B/_history",
    "Patient/B/_history/",
    "Patient/B/_history/1/",
    "Patient/B/_history/1/_history/2",
    "Patient/B/_history/1/$x",
    "Patient/B/_history/1#x",
    "Patient/%42",
    "Patient/B%0A",
    "Patient/B_1",
    "Patient/" + "B" * 65,
    "patient/B",
    "Foo/B",
    "Foo?x=1",
    "Patient?",
    "$process",
    "?x=1",
]
"""URIs that are no form of reference."""


@pytest.mark.parametrize("text", ODD)
def test_what_is_no_form_of_reference_names_nothing_and_is_kept(text: str) -> None:
    """Such a URI names no resource, relative or below any base; it is valid, and warned of where that is asked for."""
    for each in (text, f"{BASE}/{text}"):
        assert local(each, BASE) is None
    assert literal(text) is None
    assert conditional(text) is None
    resource = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": text}}
    assert validate(resource, max_depth=100) == []
    warnings = validate(resource, max_depth=100, warnings=True)
    assert [(each.severity, each.expression) for each in warnings] == [("warning", ("Observation.subject.reference",))]
    assert validate({**resource, "subject": {"reference": f"{BASE}/x/{text}"}}, max_depth=100) == []


@pytest.mark.parametrize("text", ["Patient/a b", "Patient/B\n", "Patient/{id}", "a|b", "ä", "<x>", "100%", "a\\b"])
def test_what_is_no_uri_is_refused(text: str) -> None:
    """A reference that is neither of a known form nor a URI is an error, at its place."""
    resource = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": text}}
    result = validate(resource, max_depth=100)
    assert [(each.severity, each.expression) for each in result] == [("error", ("Observation.subject.reference",))]
    assert literal(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient/B", Literal("", "Patient", "B")),
        ("Patient/B/_history/2", Literal("", "Patient", "B", "2")),
        (f"{BASE}/Patient/B", Literal("", "Patient", "B")),
        (f"{BASE}/Patient/B/_history/2", Literal("", "Patient", "B", "2")),
        ("https://other.example/Patient/B", Literal("https://other.example/", "Patient", "B")),
        (f"{BASE}/x/Patient/B", Literal(f"{BASE}/x/", "Patient", "B")),
        (f"{BASE}/{BASE}/Patient/B", Literal(f"{BASE}/{BASE}/", "Patient", "B")),
        ("http://h/my_base/List/Patient", Literal("http://h/my_base/", "List", "Patient")),
        ("ftp://h/Patient/B", None),
        ("urn:Patient/B", None),
        ("http://h/?/Patient/B", None),
        ("http://h/#/Patient/B", None),
        ("http:///Patient/B", None),
        (None, None),
        (1, None),
    ],
)
def test_a_literal_reference_names_one_resource(text: object, expected: Literal | None) -> None:
    """`[base/]type/id[/_history/version]`; below the server's own base it is the same as a relative one."""
    assert literal(text, BASE) == expected
    assert local(text, BASE) == (expected if expected and not expected.base else None)


def test_without_a_base_only_a_relative_reference_is_local() -> None:
    """Where the server's base is not known no absolute URL is taken for its own."""
    assert local("http://x/Patient/B") is None
    assert local("/Patient/B", "") is None


_PIECES = [
    "Patient",
    "B",
    "Foo",
    "/",
    "//",
    "_history",
    "$x",
    "?",
    "#",
    BASE,
    "http://o",
    "1",
    "%42",
    ".",
    "-",
    "\n",
    " ",
]


@given(st.lists(st.sampled_from(_PIECES), max_size=8).map("".join))
def test_only_one_text_is_local_for_a_resource_and_version(text: str) -> None:
    """What a text names can be written back, and gives the same text, with the server's base or without."""
    named = local(text, BASE)
    if named is not None:
        again = named.resource + (f"/_history/{named.version}" if named.version else "")
        assert text in (again, f"{BASE}/{again}")
        assert named.type in RESOURCE_TYPES
        assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", named.id)
        assert mentioned(text, BASE) == named.resource
        assert not is_absolute(again)
        assert is_uri(again)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient?identifier=http://x|1", ("Patient", "identifier=http://x|1")),
        ("Patient?a=1&b=2", ("Patient", "a=1&b=2")),
        ("Patient/B?a=1", None),
        ("Patient?a= 1", None),
        ("Foo?a=1", None),
        ("http://h/Patient?a=1", None),
    ],
)
def test_a_conditional_reference_is_a_type_and_criteria(text: str, expected: tuple[str, str] | None) -> None:
    """Only a type of R4 with a query behind it."""
    assert conditional(text) == expected


def test_a_long_text_is_read_in_linear_time() -> None:
    """No text makes the patterns go back over it again and again."""
    for text in (
        "http://" + "Patient/" * 130_000 + "?",
        "http://" + "/" * 1_000_000,
        "A" * 1_000_000 + "/",
        "a:" * 500_000,
    ):
        literal(text, BASE)
        conditional(text)
        mentioned(text, BASE)
        is_uri(text)
