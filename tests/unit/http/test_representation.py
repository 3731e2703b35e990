"""Content negotiation."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fhir_server.errors import BadRequest, NotAcceptable, UnsupportedMediaType
from fhir_server.http.content.representation import asks_for_resource, body_format, choose, http_date

_FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "format_", "content_type"),
    [
        (None, None, "application/fhir+json; charset=utf-8"),
        ("", None, "application/fhir+json; charset=utf-8"),
        ("*/*", None, "application/fhir+json; charset=utf-8"),
        ("application/*", None, "application/fhir+json; charset=utf-8"),
        ("text/*", None, "text/json; charset=utf-8"),
        ("application/fhir+json", None, "application/fhir+json; charset=utf-8"),
        ("application/fhir+xml", None, "application/fhir+xml; charset=utf-8"),
        ("Application/FHIR+XML", None, "application/fhir+xml; charset=utf-8"),
        ("application/json", None, "application/json; charset=utf-8"),
        ("text/json", None, "text/json; charset=utf-8"),
        ("application/xml", None, "application/xml; charset=utf-8"),
        ("text/xml", None, "text/xml; charset=utf-8"),
        ("application/xml+fhir", None, "application/fhir+xml; charset=utf-8"),
        ("application/fhir+json;q=0.5, application/fhir+xml", None, "application/fhir+xml; charset=utf-8"),
        ("application/fhir+xml;q=0.5, application/fhir+json;q=0.6", None, "application/fhir+json; charset=utf-8"),
        ("application/fhir+xml, application/fhir+json", None, "application/fhir+xml; charset=utf-8"),
        ("*/*, application/fhir+xml", None, "application/fhir+xml; charset=utf-8"),
        ("application/fhir+xml;q=0.2, */*;q=0.1", None, "application/fhir+xml; charset=utf-8"),
        ("text/turtle, */*;q=0.1", None, "application/fhir+json; charset=utf-8"),
        ("application/fhir+json;q=0, */*", None, "application/fhir+xml; charset=utf-8"),
        (_FIREFOX, None, "application/fhir+json; charset=utf-8"),
        ("application/fhir+json; fhirVersion=4.0", None, "application/fhir+json; fhirVersion=4.0; charset=utf-8"),
        ('application/fhir+xml; fhirVersion="4.0"', None, "application/fhir+xml; fhirVersion=4.0; charset=utf-8"),
        ("application/fhir+json; fhirVersion=3.0, application/fhir+xml", None, "application/fhir+xml; charset=utf-8"),
        ("application/fhir+json", "xml", "application/fhir+xml; charset=utf-8"),
        ("text/turtle", "json", "application/fhir+json; charset=utf-8"),
        (None, "application/fhir+xml", "application/fhir+xml; charset=utf-8"),
        (None, "application/fhir xml", "application/fhir+xml; charset=utf-8"),
        (None, "application/json", "application/fhir+json; charset=utf-8"),
        (None, "text/xml", "application/fhir+xml; charset=utf-8"),
        (None, "application/fhir json; fhirVersion=4.0", "application/fhir+json; fhirVersion=4.0; charset=utf-8"),
    ],
)
def test_the_format_asked_for_is_chosen(accept: str | None, format_: str | None, content_type: str) -> None:
    """`_format` wins over Accept, quality over order, a generic type in Accept is answered by that type."""
    chosen = choose(accept, format_)
    assert chosen.content_type == content_type
    assert chosen.format == ("xml" if "xml" in content_type else "json")


@pytest.mark.parametrize(
    ("accept", "format_"),
    [
        ("text/turtle", None),
        ("image/png", None),
        ("application/fhir+json;q=0", None),
        ("*/*;q=0", None),
        ("application/fhir+json;q=2", None),
        ("application/fhir+json; fhirVersion=3.0", None),
        ("application/fhir+json; fhirVersion=5.0", None),
        ("json", None),
        (None, "ttl"),
        (None, "html"),
        (None, "application/fhir+json; fhirVersion=1.0"),
        ("application/fhir+json", "nonsense"),
    ],
)
def test_what_the_server_has_not_is_not_acceptable(accept: str | None, format_: str | None) -> None:
    """A format or FHIR version that the server does not have is refused."""
    with pytest.raises(NotAcceptable):
        choose(accept, format_)


def test_a_browser_gets_indented_json() -> None:
    """A browser's answer is indented unless `_pretty` says otherwise; a program's is not unless it says so."""
    assert choose(_FIREFOX).pretty
    assert not choose(_FIREFOX, None, "false").pretty
    assert not choose("application/fhir+json").pretty
    assert choose("application/fhir+json", None, "true").pretty


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/html,application/fhir+xml", "application/fhir+xml; charset=utf-8"),
        ("application/fhir+xml, text/html", "application/fhir+xml; charset=utf-8"),
        ("text/html, application/xml+fhir;q=0.5, */*;q=0.1", "application/fhir+xml; charset=utf-8"),
        ("text/html, application/json;q=0.9", "application/json; charset=utf-8"),
        ("text/html, application/fhir+json;fhirVersion=4.0", "application/fhir+json; fhirVersion=4.0; charset=utf-8"),
        ("text/html, application/fhir+xml;q=0", "application/fhir+json; charset=utf-8"),
    ],
)
def test_a_format_that_is_named_beside_pages_is_sent(accept: str, content_type: str) -> None:
    """Who asks for pages and names a format of FHIR, which a browser never does, gets that one."""
    assert choose(accept).content_type == content_type


def test_pretty_is_a_boolean() -> None:
    """Another value of `_pretty` is refused."""
    with pytest.raises(BadRequest):
        choose(None, None, "yes")


def test_pretty_json_keeps_numbers() -> None:
    """Indenting leaves each decimal's text alone."""
    assert choose(None, "json", "true").render(b'{"value":1.00}') == b'{\n  "value": 1.00\n}'
    assert choose(None, "json").render(b'{"value":1.00}') == b'{"value":1.00}'


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/fhir+json", "json"),
        ("application/fhir+json; charset=UTF-8; fhirVersion=4.0", "json"),
        ("application/json", "json"),
        ("text/json;charset=us-ascii", "json"),
        ("application/fhir+xml", "xml"),
        ("application/xml", "xml"),
        ("TEXT/XML; charset=utf8", "xml"),
        ("application/json-patch+json", "patch"),
        ("application/merge-patch+json", "patch"),
        ("application/xml-patch+xml", "patch"),
        ("application/x-www-form-urlencoded", "form"),
    ],
)
def test_body_formats(content_type: str, expected: str) -> None:
    """A body's format is that of its Content-Type, in any case and with FHIR's parameters."""
    assert body_format(content_type) == expected


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "json",
        "text/plain",
        "application/merge-patch+xml",
        "application/fhir+json; charset=iso-8859-1",
        "application/fhir+json; fhirVersion=3.0",
    ],
)
def test_other_bodies_are_unsupported(content_type: str | None) -> None:
    """A body of no type, of another type, charset or FHIR version is refused."""
    with pytest.raises(UnsupportedMediaType):
        body_format(content_type)


@pytest.mark.parametrize(
    ("accept", "format_", "expected"),
    [
        ("application/fhir+json", None, True),
        ("image/png, application/fhir+xml;q=0.1", None, True),
        ("application/json", None, False),
        ("*/*", None, False),
        (None, None, False),
        (None, "json", True),
    ],
)
def test_a_binary_is_raw_unless_fhir_is_asked_for(accept: str | None, format_: str | None, expected: bool) -> None:
    """Only FHIR's own media types, or `_format`, ask for a Binary as a resource."""
    assert asks_for_resource(accept, format_) is expected


def test_last_modified_is_an_http_date() -> None:
    """Last-Modified is in the one form that HTTP has for dates."""
    assert http_date(datetime(2020, 1, 5, 3, 4, 5, 999, tzinfo=UTC)) == "Sun, 05 Jan 2020 03:04:05 GMT"
