"""XML Patch (RFC 5261) on resources."""

from __future__ import annotations

import contextlib
import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.r4 import values
from fhir_server.r4.patching import xml_patch
from fhir_server.work.budget import Budget, OutOfBudget, working

DEPTH = 100
XHTML = "http://www.w3.org/1999/xhtml"
DIV = "<div xmlns='http://www.w3.org/1999/xhtml'><p class='a'>Ana&#160;<b>Li</b> of 1&lt;2<!-- kept --></p><p/></div>"
PATIENT: dict[str, Any] = values.decode(
    values.encode(
        {
            "resourceType": "Patient",
            "id": "p",
            "text": {"status": "additional", "div": DIV},
            "extension": [{"url": "urn:a", "valueDecimal": Decimal("1.00")}, {"url": "urn:b", "valueString": "x"}],
            "identifier": [{"system": "urn:s", "value": "1"}, {"system": "urn:t", "value": "2"}],
            "active": True,
            "name": [
                {"family": "Li", "given": ["Ana", "Bo", "Cy"]},
                {"id": "n2", "use": "old", "family": "Wu", "given": ["Ana"]},
            ],
            "birthDate": "1980-01-02",
            "_birthDate": {"extension": [{"url": "urn:t", "valueTime": "10:00:00"}]},
            "generalPractitioner": [{"reference": "Practitioner/1"}],
        }
    )
)


def diff(*operations: str, root: str = "diff", declared: str = "") -> bytes:
    """Return a patch whose prefix f is FHIR's and h XHTML's."""
    head = f'<{root} xmlns:f="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml" {declared}>'
    return f"{head}{''.join(operations)}</{root}>".encode()


def patched(*operations: str, resource: dict[str, Any] = PATIENT, **more: str) -> dict[str, Any]:
    """Return the resource after the operations; the given one is as before."""
    before = copy.deepcopy(resource)
    result = xml_patch.apply(resource, xml_patch.read(diff(*operations, **more), max_depth=DEPTH), max_depth=DEPTH)
    assert resource == before
    return result


def changes(result: dict[str, Any], resource: dict[str, Any] = PATIENT) -> dict[str, Any]:
    """Return the elements that are other than before; None for what is gone."""
    names = {**resource, **result}
    return {name: result.get(name) for name in names if result.get(name) != resource.get(name)}


NAMES = PATIENT["name"]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        # values, which are attributes
        ('<replace sel="f:Patient/f:birthDate/@value">1981-02-03</replace>', {"birthDate": "1981-02-03"}),
        ('<replace sel="/f:Patient/f:active/@value">false</replace>', {"active": False}),
        ('<replace sel="Patient/active/@value">false</replace>', {"active": False}),
        ('<replace sel="*/f:active/@value">false</replace>', {"active": False}),
        ('<replace sel=" f:Patient / f:active / @value ">false</replace>', {"active": False}),
        (
            "<replace sel=\"f:Patient/f:extension[@url='urn:a']/f:valueDecimal/@value\">2.50</replace>",
            {"extension": [{"url": "urn:a", "valueDecimal": Decimal("2.50")}, PATIENT["extension"][1]]},
        ),
        ('<remove sel="f:Patient/f:name[2]/@id"/>', {"name": [NAMES[0], {**NAMES[1], "id": None}]}),
        ('<add sel="f:Patient/f:name[1]" type="@id">n1</add>', {"name": [{**NAMES[0], "id": "n1"}, NAMES[1]]}),
        ('<remove sel="f:Patient/f:birthDate/@value"/>', {"birthDate": None}),
        # positions and comparisons
        (
            '<replace sel="f:Patient/f:name[1]/f:given[2]/@value">Bea</replace>',
            {"name": [{**NAMES[0], "given": ["Ana", "Bea", "Cy"]}, NAMES[1]]},
        ),
        (
            "<replace sel=\"f:Patient/f:name[@id='n2']/f:given[@value='Ana'][1]/@value\">Anna</replace>",
            {"name": [NAMES[0], {**NAMES[1], "given": ["Anna"]}]},
        ),
        (
            "<remove sel='f:Patient/f:name[f:family/@value=\"Wu\"]/f:use'/>",
            {"name": [NAMES[0], {**NAMES[1], "use": None}]},
        ),
        (
            "<remove sel=\"f:Patient/f:identifier[f:system/@value='urn:t']\"/>",
            {"identifier": PATIENT["identifier"][:1]},
        ),
        ("<remove sel=\"f:Patient/*[.=''][6]\"/>", {"active": None}),
        # elements
        (
            '<add sel="f:Patient/f:name[1]"><f:suffix value="MD"/></add>',
            {"name": [{**NAMES[0], "suffix": ["MD"]}, NAMES[1]]},
        ),
        ('<add sel="f:Patient/f:birthDate" pos="before"><f:gender value="other"/></add>', {"gender": "other"}),
        ('<add sel="f:Patient"><gender value="other"/></add>', {"gender": "other"}),
        (
            '<add sel="f:Patient/f:name[1]/f:given[1]" pos="after">\n <f:given value="X"/><!-- c -->\n</add>',
            {"name": [{**NAMES[0], "given": ["Ana", "X", "Bo", "Cy"]}, NAMES[1]]},
        ),
        (
            '<add sel="f:Patient/f:name[2]" pos="prepend"><f:given value="X"/></add>',
            {"name": [NAMES[0], {**NAMES[1], "given": ["X", "Ana"]}]},
        ),
        (
            '<add sel="f:Patient/f:name[1]" pos="before"><f:name><f:text value="T"/></f:name>'
            '<f:name><f:text value="U"/></f:name></add>',
            {"name": [{"text": "T"}, {"text": "U"}, *NAMES]},
        ),
        (
            '<replace sel="f:Patient/f:name[2]"><f:name><f:text value="T"/></f:name></replace>',
            {"name": [NAMES[0], {"text": "T"}]},
        ),
        ('<remove sel="f:Patient/f:birthDate"/>', {"birthDate": None, "_birthDate": None}),
        ('<remove sel="f:Patient/f:birthDate/f:extension"/>', {"_birthDate": None}),
        ('<remove sel="f:Patient/f:text"/>', {"text": None}),
        # the narrative
        (
            '<replace sel="f:Patient/f:text/h:div/h:p[1]/h:b/text()">Lu</replace>',
            {"text": {"status": "additional", "div": DIV.replace(">Li<", ">Lu<")}},
        ),
        (
            '<add sel="f:Patient/f:text/h:div/h:p[2]">read <h:i>me</h:i>!</add>',
            {"text": {"status": "additional", "div": DIV.replace("<p/>", "<p>read <i>me</i>!</p>")}},
        ),
        (
            '<remove sel="f:Patient/f:text/h:div/h:p/h:b"/>',
            {"text": {"status": "additional", "div": DIV.replace("<b>Li</b>", "")}},
        ),
        (
            '<remove sel="f:Patient/f:text/h:div/h:p[1]/text()[2]"/>',
            {"text": {"status": "additional", "div": DIV.replace(" of 1&lt;2", "")}},
        ),
        (
            '<remove sel="f:Patient/f:text/h:div/h:p[1]/comment()"/>',
            {"text": {"status": "additional", "div": DIV.replace("<!-- kept -->", "")}},
        ),
        (
            '<replace sel="f:Patient/f:text/h:div/h:p[1]/comment()[1]"><!--new--></replace>',
            {"text": {"status": "additional", "div": DIV.replace("<!-- kept -->", "<!--new-->")}},
        ),
        (
            '<add sel="f:Patient/f:text/h:div/h:p[1]/h:b" pos="after">, <h:i>who</h:i></add>',
            {"text": {"status": "additional", "div": DIV.replace("</b> of", "</b>, <i>who</i> of")}},
        ),
        (
            '<add sel="f:Patient/f:text/h:div/h:p[1]" pos="prepend">Dr. </add>',
            {"text": {"status": "additional", "div": DIV.replace("Ana", "Dr. Ana")}},
        ),
        (
            '<add sel="f:Patient/f:text/h:div/h:p[1]/h:b" pos="before">Bo <h:br/></add>',
            {"text": {"status": "additional", "div": DIV.replace("<b>", "Bo <br/><b>")}},
        ),
    ],
)
def test_an_operation_changes_what_it_selects(operation: str, expected: dict[str, Any]) -> None:
    """Each changes the node that its selector leads to, and nothing else."""
    result = changes(patched(operation))
    by_name = {name: _without_none(value) for name, value in expected.items()}
    if result.get("text"):
        result["text"]["div"] = _canonical(result["text"]["div"])
        by_name["text"]["div"] = _canonical(by_name["text"]["div"])
    assert result == by_name


def _without_none(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_none(each) for each in value]
    if isinstance(value, dict):
        return {name: _without_none(each) for name, each in value.items() if each is not None}
    return value


def _canonical(div: str) -> str:
    return str(etree.canonicalize(div, with_comments=True))


def test_a_narrative_that_is_not_patched_stays_to_the_letter() -> None:
    """Quotes, references and comments of a div are as they were written, and so are decimals."""
    result = patched('<replace sel="f:Patient/f:active/@value">false</replace>')
    assert result["text"]["div"] == DIV
    assert values.encode(result["extension"]) == values.encode(PATIENT["extension"])


def test_operations_follow_one_another() -> None:
    """Each is carried out on what those before have left; one that fails leaves nothing."""
    result = patched(
        '<remove sel="f:Patient/f:name[1]"/>',
        '<replace sel="f:Patient/f:name/f:family/@value">Xu</replace>',
        '<add sel="f:Patient/f:name"><f:given value="New"/></add>',
        '<remove sel="f:Patient/f:name/f:given[1]"/>',
    )
    assert result["name"] == [{"id": "n2", "use": "old", "family": "Xu", "given": ["New"]}]


@pytest.mark.parametrize(
    ("root", "declared", "operation"),
    [
        ("patch", "", '<remove sel="f:Patient/f:active"/>'),
        ("diff", 'xmlns="http://hl7.org/fhir"', '<remove sel="Patient/active"/>'),
        ("diff", 'xmlns="http://hl7.org/fhir"', '<remove sel="f:Patient/f:active"/>'),
        ("p:patch", 'xmlns:p="urn:ietf:rfc:7351"', '<p:remove sel="f:Patient/f:active"/>'),
        ("p:patch", 'xmlns:p="urn:ietf:rfc:7351"', '<p:remove sel="Patient/active"/>'),
        ("p:patch", 'xmlns:p="urn:ietf:rfc:7351" xmlns="http://hl7.org/fhir"', '<p:remove sel="Patient/active"/>'),
        ("patch", 'xmlns="urn:ietf:rfc:7351"', '<remove sel="Patient/active"/>'),
        ("diff", "", '<remove xmlns:x="http://hl7.org/fhir" sel="x:Patient/x:active"/>'),
        ("diff", "", '<!-- why -->\n <remove sel="Patient/active"/><?x y?>\n'),
    ],
)
def test_a_patch_may_have_any_root(root: str, declared: str, operation: str) -> None:
    """That of RFC 7351, or another; names without a prefix are FHIR's where nothing else is declared."""
    data = diff(operation, root=root, declared=declared)
    assert "active" not in xml_patch.apply(PATIENT, xml_patch.read(data, max_depth=DEPTH), max_depth=DEPTH)


def test_a_namespace_declared_for_names_without_prefix_counts() -> None:
    """The default namespace where the selector stands is that of its names: in XHTML there is no Patient."""
    with pytest.raises(Unprocessable, match="selects none"):
        patched(f'<x:remove xmlns="{XHTML}" sel="Patient/active"/>', root="x:diff", declared='xmlns:x="u"')


@pytest.mark.parametrize(
    "operation",
    [
        "<move sel='f:Patient'/>",
        "<x:add xmlns:x='u' sel='f:Patient'><f:active/></x:add>",
        "<remove/>",
        "<remove sel=''/>",
        "<remove sel='f:Patient/f:active' pos='before'/>",
        "<remove sel='f:Patient/f:active'>x</remove>",
        "<remove sel='f:Patient/f:active' ws='all'/>",
        "<add sel='f:Patient' pos='first'><f:active/></add>",
        "<add sel='f:Patient'/>",
        "<add sel='f:Patient/f:active/@value'>x</add>",
        "<add sel='f:Patient' type='namespace::x'>urn:x</add>",
        "<add sel='f:Patient' type='@'>x</add>",
        "<add sel='f:Patient' type='@a b'>x</add>",
        "<add sel='f:Patient' type='@u:a'>x</add>",
        "<add sel='f:Patient' type='@id' pos='before'>x</add>",
        "<add sel='f:Patient' type='@id'><f:x/></add>",
        "<replace sel='f:Patient/f:active'/>",
        "<replace sel='f:Patient/f:active'><f:active/><f:active/></replace>",
        "<replace sel='f:Patient/f:active'>x<f:active/></replace>",
        "<replace sel='f:Patient/f:active/@value'><f:x/></replace>",
        *(
            f'<remove sel="{selector}"/>'
            for selector in (
                "//f:name",
                "f:Patient//f:name",
                "f:Patient/..",
                "f:Patient/f:name[last()]",
                "f:Patient/f:name[position()=1]",
                "f:Patient/f:name[0]",
                "f:Patient/f:name[1",
                "f:Patient/f:name[]",
                "f:Patient/f:name[f:family]",
                "f:Patient/f:name[f:a='1' or f:b='2']",
                "f:Patient/f:name | f:Patient/f:active",
                "count(f:Patient)",
                "id('n2')",
                "document('file:///etc/passwd')",
                "f:Patient/descendant::f:name",
                "f:Patient/namespace::f",
                "f:Patient/@id/f:x",
                "f:Patient/f:active/@value[1]",
                "f:Patient/text()/f:x",
                "x:Patient",
                "$x",
                "1",
                "/",
                "f:Patient/",
                "f:Patient f:name",
                "'f:Patient'",
                "f:Patient/" * 200,
            )
        ),
    ],
)
def test_what_is_no_xml_patch_is_refused(operation: str) -> None:
    """An unknown operation, attribute or selector is a BadRequest that names the operation."""
    with pytest.raises(BadRequest, match="Operation 1"):
        patched('<remove sel="f:Patient/f:active"/>', operation)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<diff>",
        b"{}",
        b"<diff>text</diff>",
        b"<nonsense/>",
        b'<Patient xmlns="http://hl7.org/fhir"/>',
        b'<Parameters xmlns="http://hl7.org/fhir"><!-- nothing --></Parameters>',
        b"<diff><remove sel='Patient/active'/>text</diff>",
        b'<!DOCTYPE diff [<!ENTITY x SYSTEM "file:///etc/passwd">]><diff><add sel="Patient">&x;</add></diff>',
        b'<!DOCTYPE diff SYSTEM "http://x/y.dtd"><diff/>',
        b"<diff><add sel='Patient'>&x;</add></diff>",
        '<?xml version="1.0" encoding="UTF-16"?><diff/>'.encode("utf-16"),
        b'<?xml version="1.0" encoding="ISO-8859-1"?><diff/>',
        b"<diff>" + b"<a>" * 5_000 + b"</a>" * 5_000 + b"</diff>",
        b"\xff<diff/>",
    ],
)
def test_what_is_no_safe_xml_is_refused(data: bytes) -> None:
    """No document type, no entity, no other encoding, no nesting without end."""
    with pytest.raises(BadRequest):
        xml_patch.read(data, max_depth=DEPTH)


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        ('<remove sel="f:Patient/f:gender"/>', "selects none"),
        ('<remove sel="f:Patient/f:name"/>', "selects 2"),
        ('<remove sel="f:Patient/f:name[3]"/>', "selects none"),
        ('<remove sel="f:Observation/f:status"/>', "selects none"),
        ('<replace sel="f:Patient/f:active/@id">x</replace>', "selects none"),
        ('<remove sel="f:Patient"/>', "cannot be removed"),
        ('<add sel="f:Patient" pos="after"><f:Patient/></add>', "beside the resource"),
        ('<add sel="f:Patient/f:active" type="@value">false</add>', "already"),
        ('<replace sel="f:Patient/f:active"><!-- x --></replace>', "same kind"),
        ('<remove sel="f:Patient/f:active" ws="before"/>', "white space"),
        ('<add sel="f:Patient/f:text/h:div/h:p[1]/comment()"><h:b/></add>', "only an element has content"),
        ('<replace sel="f:Patient"><f:Basic><f:id value="p"/></f:Basic></replace>', "type"),
        ('<replace sel="f:Patient/f:id/@value">q</replace>', "id"),
        ('<remove sel="f:Patient/f:id"/>', "id"),
        ('<add sel="f:Patient"><f:nickname value="x"/></add>', "no element 'nickname'"),
        ('<add sel="f:Patient"><h:p>x</h:p></add>', "no element 'p'"),
        ('<add sel="f:Patient"><f:active value="true"/></add>', "must not repeat"),
        ('<add sel="f:Patient">text</add>', "only elements"),
        ('<add sel="f:Patient" type="@lang">x</add>', "no attribute 'lang'"),
        ('<replace sel="f:Patient/f:active"><f:active/></replace>', "value or extensions"),
    ],
)
def test_what_does_not_fit_the_resource_is_refused(operation: str, text: str) -> None:
    """A selector that does not lead to one node, or a result that is no such resource, is Unprocessable."""
    with pytest.raises(Unprocessable) as caught:
        patched(operation)
    issues = " ".join(issue.diagnostics for issue in caught.value.issues)
    assert text in issues
    assert "Line" not in issues


def test_white_space_goes_where_ws_says() -> None:
    """In a narrative, which is the only place where there is any."""
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p>a</p> <p>b</p> <p>c</p></div>'
    resource = {"resourceType": "Basic", "text": {"status": "additional", "div": div}}
    for ws, left in (("before", "<p>a</p> <p>c</p>"), ("after", "<p>a</p> <p>c</p>"), ("both", "<p>a</p><p>c</p>")):
        result = patched(f'<remove sel="f:Basic/f:text/h:div/h:p[2]" ws="{ws}"/>', resource=resource)
        assert result["text"]["div"] == div.replace("<p>a</p> <p>b</p> <p>c</p>", left)


def test_a_patch_may_not_nest_a_resource_without_end() -> None:
    """Operations that each put elements into what the one before has put in come to an end."""
    inner = "".join("<f:extension url='u'>" for _ in range(90)) + "</f:extension>" * 90
    sel = "f:Patient" + "/f:extension[@url='u']" * 90
    with pytest.raises(Unprocessable, match="deeper than 100"):
        patched(f"<add sel='f:Patient'>{inner}</add>", f'<add sel="{sel}">{inner}</add>')


def test_a_patch_has_a_number_of_operations() -> None:
    """Ten thousand, as of JSON Patch."""
    with pytest.raises(Unprocessable, match="at most 10000"):
        xml_patch.read(diff('<remove sel="f:Patient/f:active"/>' * 10_001), max_depth=DEPTH)


def test_references_and_urls_of_a_patch_can_be_rewritten() -> None:
    """In content and as the text of a value, so that a transaction can put in what its entries became."""
    patch = xml_patch.read(
        diff(
            '<add sel="f:Patient"><f:generalPractitioner><f:reference value="urn:1"/></f:generalPractitioner></add>',
            '<replace sel="f:Patient/f:generalPractitioner[1]/f:reference/@value">urn:1</replace>',
            '<add sel="f:Patient"><f:extension url="urn:1"><f:valueString value="urn:1"/></f:extension></add>',
            '<replace sel="f:Patient/f:birthDate/f:extension/@url">urn:1</replace>',
        ),
        max_depth=DEPTH,
    )
    new = patch.with_urls(lambda text, name: f"{text}-{name}")
    result = xml_patch.apply(PATIENT, new, max_depth=DEPTH)
    assert result["generalPractitioner"] == [{"reference": "urn:1-reference"}, {"reference": "urn:1-reference"}]
    assert result["extension"][2] == {"url": "urn:1-url", "valueString": "urn:1"}
    assert result["_birthDate"]["extension"][0]["url"] == "urn:1-url"
    assert xml_patch.apply(PATIENT, patch, max_depth=DEPTH)["extension"][2]["url"] == "urn:1"


_TOKENS = [
    "f:Patient", "Patient", "*", "/", "//", "[", "]", "1", "2", "@", "value", "=", "'a'", '"a"', ".", "..", "text()",
    "comment()", "f:name", "f:given", " ", "(", ")", "|", "::", "id", "$x", "processing-instruction('x')", "²", "é",
]  # fmt: skip


@given(st.lists(st.sampled_from(_TOKENS), max_size=9).map("".join))
def test_any_selector_is_read_or_refused(selector: str) -> None:
    """Whatever stands in `sel`, the answer is a resource or one of the two errors that a patch may meet."""
    quoted = selector.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    with contextlib.suppress(BadRequest, Unprocessable):
        patched(f'<remove sel="{quoted}"/>')


@given(st.data())
def test_what_is_added_can_be_removed(data: st.DataObject) -> None:
    """Adding an element beside any other and removing it again gives the resource as it was."""
    at = data.draw(st.integers(1, 3))
    pos = data.draw(st.sampled_from(["before", "after"]))
    new = at if pos == "before" else at + 1
    given_name = f"f:Patient/f:name[1]/f:given[{at}]"
    assert (
        patched(
            f'<add sel="{given_name}" pos="{pos}"><f:given value="N"/></add>',
            f'<remove sel="f:Patient/f:name[1]/f:given[{new}]"/>',
        )
        == PATIENT
    )


def test_a_large_patch_is_within_the_budget_of_a_request() -> None:
    """A thousand operations on a resource of thousands of elements are; what looks through more than that ends."""
    resource = {"resourceType": "Basic", "id": "p", "identifier": [{"value": str(at)} for at in range(1000)]}
    operations = [f'<replace sel="f:Basic/f:identifier[{at}]/f:value/@value">x</replace>' for at in range(1, 1001)]
    with working(Budget(2)):
        result = patched(*operations, resource=resource)
    assert {each["value"] for each in result["identifier"]} == {"x"}
    with working(Budget(0.05)), pytest.raises(OutOfBudget):
        patched(*operations, resource=resource)
