"""A narrative is well-formed XHTML of the allowed elements and attributes, and holds nothing that could run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.r4.validation.faults import Scope
from fhir_server.r4.validation.narrative import xhtml

SCOPE = Scope({})


def div(content: str) -> str:
    """Return the content within the div that a narrative needs."""
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{content}</div>'


@pytest.mark.parametrize(
    "text",
    [
        div("Anna Miller"),
        div("a<br/>b <b>c</b> <i>d</i>"),
        div('<a href="https://example.org/x?y=1">x</a>'),
        div('<a href="https://example.org/x?y=1&amp;z=2">x</a> &lt; &#160;'),
        div('<table class="grid"><tr><td colspan="2" style="color: red">a</td></tr></table>'),
        div('<img src="data:image/png;base64,AAAA"/>'),
        div('<img src="#img1" alt=""/>'),
        div('<a name="x"/>y'),
        div("<!-- note -->x"),
        div('<p lang="de" xml:lang="de">x</p>'),
        '<h:div xmlns:h="http://www.w3.org/1999/xhtml"><h:p>x</h:p></h:div>',
        "\n  " + div("x"),
        div("&#160;"),
        div("\u00a0"),
        div("<p> \u2003 </p>"),
    ],
)
def test_allowed_narratives(text: str) -> None:
    """Formatting, tables, links, images and style attributes are allowed."""
    assert xhtml(text, 1, SCOPE) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "structure"),
        ("Anna", "structure"),
        (1, "structure"),
        (None, "structure"),
        (div("<p>x"), "structure"),
        (div("a & b"), "structure"),
        (div("&nbsp;x"), "structure"),
        (div("\x01"), "structure"),
        (div("\ud800"), "structure"),
        (div("x") + div("y"), "structure"),
        ('<!DOCTYPE div [<!ENTITY a "b">]>' + div("&a;"), "structure"),
        ('<!DOCTYPE div SYSTEM "file:///etc/passwd">' + div("x"), "structure"),
        ("<div>x</div>", "invariant"),
        ('<p xmlns="http://www.w3.org/1999/xhtml">x</p>', "invariant"),
        (div(""), "invariant"),
        (div("  <p> </p>"), "invariant"),
        (div("<!-- x -->"), "invariant"),
        (div("<script>x</script>"), "invariant"),
        (div("<iframe src='https://x'>x</iframe>"), "invariant"),
        (div("<form>x</form>"), "invariant"),
        (div("<svg xmlns='http://www.w3.org/2000/svg'>x</svg>"), "invariant"),
        (div("<p xmlns=''>x</p>"), "invariant"),
        (div("<P>x</P>"), "invariant"),
        (div("<?php x ?>y"), "invariant"),
        ("<?x y?>" + div("x"), "invariant"),
        (div("x") + "<?x y?>", "invariant"),
        (div('<p onclick="x()">y</p>'), "invariant"),
        (div('<p data-x="y">z</p>'), "invariant"),
        (div('<a href="javascript:x()">y</a>'), "invariant"),
        (div('<a href=" JavaScript&#58;x()">y</a>'), "invariant"),
        (div('<a href="java&#9;script:x()">y</a>'), "invariant"),
        (div('<a href="vbscript:x">y</a>'), "invariant"),
        (div('<a href="data:text/html,x">y</a>'), "invariant"),
        (div('<img src="data:image/svg+xml,x"/>'), "invariant"),
        (div('<p style="width: expression(x)">y</p>'), "invariant"),
        (div('<p style="background: url(javascript:x)">y</p>'), "invariant"),
    ],
)
def test_refused_narratives(text: object, code: str) -> None:
    """What is not well formed is a fault of structure; what is not allowed breaks txt-1, no content breaks txt-2."""
    faults = xhtml(text, 1, SCOPE)
    assert faults is not None
    assert {fault.code for fault in faults} == {code}


@given(st.text(st.sampled_from("<>/&;bibraphref= \"'x\n\u00a0\x01\ud800")))
def test_the_quick_way_accepts_only_what_the_parser_accepts(content: str) -> None:
    """A narrative that needs no parser is valid with a comment too, which sends it through the parser."""
    if xhtml(div(content), 1, SCOPE) is None:
        assert xhtml(div(content + "<!---->"), 1, SCOPE) is None
