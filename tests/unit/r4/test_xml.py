"""The XML form: what is written, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from lxml import etree

from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.r4.values import decimal, encode
from fhir_server.r4.xml import from_xml, to_xml

_DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'


def _read(content: str, root: str = "Patient") -> dict[str, Any]:
    return from_xml(f'<{root} xmlns="http://hl7.org/fhir">{content}</{root}>'.encode(), max_depth=50)


def _refused(content: str, root: str = "Patient") -> list[tuple[str, ...]]:
    with pytest.raises(Unprocessable) as caught:
        _read(content, root)
    return [issue.expression for issue in caught.value.issues]


def test_a_patient_is_written_in_the_form_of_the_specification() -> None:
    """Primitives are value attributes, ids attributes, extensions children; the namespace stands once, on the root."""
    patient = {
        "resourceType": "Patient",
        "name": [{"id": "n", "family": 'O"Brien & <Co>', "_given": [None, {"id": "g"}], "given": ["A", None]}],
        "id": "1",
        "active": True,
        "extension": [{"url": "urn:e", "valueInteger": 3}],
        "_birthDate": {"extension": [{"url": "urn:b", "valueCode": "x"}]},
    }
    assert to_xml(patient).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?><Patient xmlns="http://hl7.org/fhir"><id value="1"/>'
        '<extension url="urn:e"><valueInteger value="3"/></extension><active value="true"/>'
        '<name id="n"><family value="O&quot;Brien &amp; &lt;Co&gt;"/><given value="A"/><given id="g"/></name>'
        '<birthDate><extension url="urn:b"><valueCode value="x"/></extension></birthDate></Patient>'
    )


def test_pretty_xml_is_indented() -> None:
    """Indented XML has a line for each element."""
    assert to_xml({"resourceType": "Patient", "contact": [{"gender": "male"}]}, pretty=True).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Patient xmlns="http://hl7.org/fhir">\n'
        '  <contact>\n    <gender value="male"/>\n  </contact>\n</Patient>'
    )


def test_characters_that_xml_cannot_hold_do_not_break_the_document() -> None:
    """A control character or a lone surrogate becomes the replacement character."""
    document = to_xml({"resourceType": "Patient", "id": "a\x00b\x1fc\ud800d\uffff"})
    identifier = etree.fromstring(document)[0]
    assert identifier.get("value") == "a\ufffdb\ufffdc\ufffdd\ufffd"


@pytest.mark.parametrize("text", ["1.0", "1.00", "0.0000001", "1E+2", "-0.0", "12345678901234567890.5", "1e-3"])
def test_a_decimal_keeps_its_text(text: str) -> None:
    """Both ways a decimal is written as it was."""
    document = to_xml({"resourceType": "Observation", "valueQuantity": {"value": decimal(text)}})
    assert f'value="{text}"'.encode() in document
    assert f'"value":{text}}}'.encode() in encode(from_xml(document, max_depth=9))


def test_numbers_and_booleans_have_their_json_types() -> None:
    """A whole decimal reads as the integer that JSON would give, and so do integers and booleans."""
    risk = _read(
        '<prediction><probabilityDecimal value="1"/></prediction><prediction><relativeRisk value="1.5"/></prediction>',
        "RiskAssessment",
    )
    assert [type(next(iter(item.values()))) for item in risk["prediction"]] == [int, Decimal]
    assert _read('<active value="false"/><multipleBirthInteger value="2"/>') == {
        "resourceType": "Patient",
        "active": False,
        "multipleBirthInteger": 2,
    }


@pytest.mark.parametrize("text", ["+1", "01", ".5", "5.", "NaN", "1 ", "", "0x1"])
def test_what_is_no_number_stays_text(text: str) -> None:
    """A value that cannot be its JSON type is left for validation to refuse at its place."""
    assert _read(f'<multipleBirthInteger value="{text}"/>')["multipleBirthInteger"] == text


def test_white_space_in_values_is_kept() -> None:
    """Line breaks and tabs of a string survive the attribute normalisation of XML."""
    note = {"resourceType": "Patient", "id": " a\tb\nc\rd "}
    assert from_xml(to_xml(note), max_depth=9) == note


def test_the_narrative_is_kept_as_written() -> None:
    """Quotes, references, comments, empty tags and white space inside the div are those of the sender."""
    for inner in ("<br/>", "<br></br>", "a  &#160;&lt;<!-- x --><![CDATA[<]]>\r\n", "<p title='a>b'/>"):
        div = f"{_DIV}{inner}</div  >"
        assert _read(f'<text><status value="generated"/>{div}</text>')["text"]["div"] == div


def test_a_declaration_before_the_narrative_is_left_out() -> None:
    """An XML declaration that begins a div's text does not break the document."""
    text = {"status": "generated", "div": f'<?xml version="1.0" encoding="UTF-8"?>{_DIV}a</div>'}
    document = to_xml({"resourceType": "Patient", "text": text})
    assert from_xml(document, max_depth=9)["text"]["div"] == f"{_DIV}a</div>"


def test_an_empty_div_is_cut_out_whole() -> None:
    """A div that is one empty tag, even with a > in an attribute, ends at its own end."""
    div = '<div xmlns="http://www.w3.org/1999/xhtml" title="a>b"/>'
    assert _read(f'<text><status value="empty"/>{div}</text>')["text"]["div"] == div


def test_a_byte_order_mark_moves_nothing() -> None:
    """A document that begins with a byte order mark gives the same narrative."""
    document = f'\ufeff<Patient xmlns="http://hl7.org/fhir"><text>{_DIV}é</div></text></Patient>'
    assert from_xml(document.encode(), max_depth=9)["text"]["div"] == f"{_DIV}é</div>"


@pytest.mark.parametrize(
    "document",
    [
        '<f:Patient xmlns:f="http://hl7.org/fhir" xmlns="http://www.w3.org/1999/xhtml"><f:text>'
        '<div><p class="a&amp;b">x&lt;</p><!-- c --></div></f:text></f:Patient>',
        '<Patient xmlns="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml"><text>'
        '<h:div><h:p class="a&amp;b">x&lt;</h:p></h:div></text></Patient>',
    ],
)
def test_a_narrative_of_outer_namespaces_is_rewritten(document: str) -> None:
    """A div whose namespace is declared further out gets its own declaration and no prefixes, as JSON needs it."""
    div = from_xml(document.encode(), max_depth=9)["text"]["div"]
    assert div == f'{_DIV}<p class="a&amp;b">x&lt;</p></div>'


def test_a_resource_in_a_resource() -> None:
    """Contained resources and those of bundle entries stand inside an element of their own."""
    bundle = _read(
        '<entry><fullUrl value="urn:a"/><resource><Patient><contained><Group><id value="g"/></Group></contained>'
        "</Patient></resource></entry>",
        "Bundle",
    )
    assert bundle["entry"][0]["resource"] == {
        "resourceType": "Patient",
        "contained": [{"resourceType": "Group", "id": "g"}],
    }


def test_an_element_may_be_named_resource_type() -> None:
    """ExampleScenario.instance.resourceType is an element like any other."""
    scenario = {"resourceType": "ExampleScenario", "instance": [{"resourceId": "a", "resourceType": "Patient"}]}
    assert from_xml(to_xml(scenario), max_depth=9) == scenario


def test_comments_and_instructions_between_elements_are_dropped() -> None:
    """What carries no data is not part of the resource."""
    assert _read('<!-- a --><?b c?><id value="1"/>') == {"resourceType": "Patient", "id": "1"}


def test_a_schema_location_is_ignored() -> None:
    """The one foreign attribute that documents commonly carry does no harm."""
    document = (
        '<Patient xmlns="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:schemaLocation="http://hl7.org/fhir a.xsd"><id value="1"/></Patient>'
    )
    assert from_xml(document.encode(), max_depth=9)["id"] == "1"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("<nonsense/>", "Patient"),
        ("<name><given value='a'/><nick value='b'/></name>", "Patient.name[0]"),
        ("<name/><name><family><given/></family></name>", "Patient.name[1].family"),
        ("<active value='true' x='1'/>", "Patient.active"),
        ("<name value='a'/>", "Patient.name[0]"),
        ("<url value='a'/>", "Patient"),
        ("<birthDate value='2020-01-01'/><active value='true'/>", "Patient.active"),
        ("<name><given value='a'/><family value='b'/></name>", "Patient.name[0].family"),
        ("<active value='true'/><active value='true'/>", "Patient.active"),
        ("<active/>", "Patient.active"),
        ("<name>Miller</name>", "Patient.name[0]"),
        ("<active xmlns='urn:other' value='true'/>", "Patient"),
        ("<text><status value='empty'/><div/></text>", "Patient.text"),
        ("<contained/>", "Patient.contained[0]"),
        ("<contained><Nonsense/></contained>", "Patient.contained[0]"),
        ("<contained><Group/><Group/></contained>", "Patient.contained[0]"),
        ("<contained><HumanName/></contained>", "Patient.contained[0]"),
    ],
)
def test_a_fault_of_form_is_refused_at_its_place(content: str, place: str) -> None:
    """What FHIR does not have there, repeats, or stands out of order, is refused with its FHIRPath."""
    assert (place,) in _refused(content)


def test_all_faults_are_told_at_once() -> None:
    """Each fault of a document has its issue."""
    assert len(_refused("<a/><active value='true' b='c'/><gender/>d")) == 4


@pytest.mark.parametrize("root", ["Nonsense", "HumanName", "Resource", "Patient.contact"])
def test_the_root_is_a_resource(root: str) -> None:
    """A document whose root is no resource type is refused."""
    assert _refused("", root) == [()]


def test_the_root_is_in_the_fhir_namespace() -> None:
    """A document without FHIR's namespace is refused."""
    with pytest.raises(Unprocessable):
        from_xml(b"<Patient/>", max_depth=9)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"<Patient xmlns='http://hl7.org/fhir'>",
        b"<Patient xmlns='http://hl7.org/fhir'/><Patient/>",
        b"<Patient xmlns='http://hl7.org/fhir'><id value='&nbsp;'/></Patient>",
        b"<Patient xmlns='http://hl7.org/fhir'><id value='\xff'/></Patient>",
        b"<Patient xmlns='http://hl7.org/fhir'><id value='&#0;'/></Patient>",
        b"<Patient xmlns='http://hl7.org/fhir'><id value='\x01'/></Patient>",
        b"<!DOCTYPE Patient><Patient xmlns='http://hl7.org/fhir'/>",
        b"<!DOCTYPE p [<!ENTITY a 'aaaa'>]><Patient xmlns='http://hl7.org/fhir'><id value='&a;'/></Patient>",
        b"<!DOCTYPE p [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><Patient xmlns='http://hl7.org/fhir'>&a;</Patient>",
        b"<?xml version='1.0' encoding='iso-8859-1'?><Patient xmlns='http://hl7.org/fhir'/>",
        "<Patient xmlns='http://hl7.org/fhir'/>".encode("utf-16"),
    ],
)
def test_what_is_no_plain_xml_is_a_bad_request(document: bytes) -> None:
    """Broken XML, another encoding, and any document type or entity are refused before anything is read."""
    with pytest.raises(BadRequest):
        from_xml(document, max_depth=9)


def test_nesting_is_limited() -> None:
    """A document deeper than the limit is refused, in elements and in the narrative."""
    deep = "<extension url='u'>" * 200 + "</extension>" * 200
    narrative = f"<text>{_DIV}{'<p>' * 200}{'</p>' * 200}</div></text>"
    for content in (deep, narrative):
        with pytest.raises(Unprocessable) as caught:
            _read(content)
        assert caught.value.issues[0].code == "too-costly"


def test_an_unknown_property_cannot_be_written() -> None:
    """JSON that is no FHIR has no XML form."""
    for resource in ({"resourceType": "Nope"}, {"resourceType": "Patient", "nope": 1}, {}):
        with pytest.raises(Unprocessable):
            to_xml(resource)
