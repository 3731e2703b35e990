"""Narrative: well-formed XHTML of the elements and attributes that FHIR allows, and nothing that a browser would run.

The lists are those of the invariant txt-1, whose FHIRPath form is only `htmlChecks()`.
https://hl7.org/fhir/R4/narrative.html#xhtml
"""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from fhir_server.r4.validation.faults import Fault, Faults, Scope, misplaced, shown

_NAMESPACE = "{http://www.w3.org/1999/xhtml}"
_ELEMENTS = """
    a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img
    li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var
"""
_ATTRIBUTES = """
    abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset
    cite class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel
    rev rowspan rules scope shape span src start style summary tabindex title type valign value vspace width
    {http://www.w3.org/XML/1998/namespace}lang
"""
_allowed_tags = frozenset(_NAMESPACE + name for name in _ELEMENTS.split())
_allowed_attributes = frozenset(_ATTRIBUTES.split())
_LINKS = frozenset(("cite", "href", "longdesc", "src"))
_ACTIVE = re.compile(r"(?:javascript|vbscript|data|file):").match
_ACTIVE_STYLE = re.compile(r"javascript:|expression\(|behaviou?r:|-moz-binding|@import").search
# Browsers skip these inside a scheme, so "java\tscript:" runs.
_IGNORED = {code: None for code in range(0x21)} | {0x5C: None}

# The common narrative, plain text with lines, emphasis and links that nest nothing, needs no parser.
_plain = re.compile(
    r"""<div\ xmlns="http://www\.w3\.org/1999/xhtml">
    (?:[^<>&\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]++
      |<br\ ?/>
      |<(b|i|p|em|strong|span)>[^<>&\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]++</\1>
      |<a\ href="https?://[A-Za-z0-9./_~%?=#-]++">[^<>&\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]++</a>
    )*+</div>""",
    re.VERBOSE,
).fullmatch
# White space as XML has it; the XPath of txt-2 counts a no-break space as content.
_WHITE = " \t\r\n"
_has_text = re.compile(rf">[^<>]*[^{_WHITE}<>]").search


def xhtml(value: Any, _depth: int, _scope: Scope) -> Faults:
    """Check the text of `Narrative.div`."""
    if type(value) is not str:
        return misplaced("a string of XHTML", value)
    if _plain(value) and _has_text(value):
        return None
    if "<!DOCTYPE" in value:
        return [Fault("", "structure", "A document type, and so an entity, is not allowed in a narrative.")]
    try:
        root = etree.fromstring(value, _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        return [Fault("", "structure", f"The narrative is not well-formed XHTML: {shown(str(error))}.")]
    faults = [Fault("", "invariant", f"txt-1: {text}") for text in _fragment_faults(root)]
    if not faults and not _has_content(root):
        faults.append(Fault("", "invariant", "txt-2: The narrative SHALL have some non-whitespace content."))
    return faults or None


def local_links(value: str) -> set[str]:
    """Return the links and images of a narrative that point into its resource, such as `#image`."""
    try:
        root = etree.fromstring(value, _parser())
    except (etree.XMLSyntaxError, ValueError):
        return set()
    targets = (str(target) for element in root.iter() for name, target in element.items() if name in _LINKS)
    return {target for target in targets if target.startswith("#")}


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


def _fragment_faults(root: etree._Element) -> list[str]:
    if root.tag != _NAMESPACE + "div":
        return ['The narrative must be one <div xmlns="http://www.w3.org/1999/xhtml">.']
    faults: list[str] = []
    for element in root.iter():
        faults.extend(_element_faults(element))
    if root.getprevious() is not None or root.getnext() is not None:
        faults.append("Nothing may stand outside of the div.")
    return faults


def _element_faults(element: etree._Element) -> list[str]:
    tag = element.tag
    if not isinstance(tag, str):
        return [] if tag is etree.Comment else ["Processing instructions and entities are not allowed."]
    faults: list[str] = []
    if tag not in _allowed_tags:
        faults.append(f"The element {shown(tag.removeprefix(_NAMESPACE))} is not allowed.")
    for name, value in element.items():
        if name not in _allowed_attributes:
            faults.append(f"The attribute {shown(str(name))} is not allowed.")
        elif _is_active(tag, str(name), str(value)):
            faults.append(f"The value of the attribute {name} could run a script.")
    return faults


def _is_active(tag: str, name: str, value: str) -> bool:
    text = value.translate(_IGNORED).casefold()
    if name == "style":
        return _ACTIVE_STYLE(text) is not None
    if name not in _LINKS:
        return False
    embedded_image = tag == _NAMESPACE + "img" and text.startswith("data:image/") and "svg" not in text[:30]
    return _ACTIVE(text) is not None and not embedded_image


def _has_content(root: etree._Element) -> bool:
    if any(isinstance(text, str) and text.strip(_WHITE) for text in root.itertext()):
        return True
    return any(image.get("src") for image in root.iter(_NAMESPACE + "img"))
