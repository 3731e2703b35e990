"""Names of files that are downloaded: any title becomes one header that means one name."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.http.content.disposition import content_disposition

_FORM = re.compile(r"attachment; filename=\"([ -~]*)\"; filename\*=UTF-8''([A-Za-z0-9!#$&+\-.^_`|~%]+)")
"""https://www.rfc-editor.org/rfc/rfc8187#section-3.2.1: what an ext-value is made of."""


def names(title: str, extension: str = "") -> tuple[str, str]:
    """Return the name for old clients, and the name in full."""
    match = _FORM.fullmatch(content_disposition(title, extension))
    assert match is not None
    return match[1], unquote(match[2], errors="strict")


@given(st.text(st.characters(exclude_categories=())), st.sampled_from(["", ".pdf"]))
def test_any_title_is_one_safe_name(title: str, extension: str) -> None:
    """No quotation mark, path, percent sign or control character gets into the header, and no name is empty."""
    plain, full = names(title, extension)
    assert not set(plain) & set('"\\/%:*?<>|')
    assert not set(full) & set('"\\/:*?<>|\r\n\0\u202e\u2028\x85')
    assert full.strip(". ") == full != ""
    assert len(plain) == len(full) <= 104


@pytest.mark.parametrize(
    ("title", "plain", "full"),
    [
        ("L\xedpids: result/1", "L_pids_ result_1.pdf", "L\xedpids_ result_1.pdf"),
        ('a"b".pdf', "a_b_.pdf", "a_b_.pdf"),
        ("a%22b%2Fc.pdf", "a_22b_2Fc.pdf", "a%22b%2Fc.pdf"),
        ("x.pdf\r\nSet-Cookie: a=b", "x.pdf Set-Cookie_ a=b.pdf", "x.pdf Set-Cookie_ a=b.pdf"),
        ("..\\..\\etc/passwd", "_.._etc_passwd.pdf", "_.._etc_passwd.pdf"),
        ("fdp.\u202eexe", "fdp. exe.pdf", "fdp. exe.pdf"),
        ("\u2603 caf\xe9", "_ caf_.pdf", "\u2603 caf\xe9.pdf"),
        ("\x00\x1b", "document.pdf", "document.pdf"),
        (" .. ", "document.pdf", "document.pdf"),
    ],
)
def test_names(title: str, plain: str, full: str) -> None:
    """What is not safe is written as _, and what is not ASCII stands in the full name only."""
    assert names(title, ".pdf") == (plain, full)
