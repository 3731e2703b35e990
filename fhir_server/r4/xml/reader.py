"""XML read into the JSON form, driven by the element tables, with every fault of form in one answer.

The parser is expat: it fetches nothing, and it tells byte positions, so that a narrative is kept as it was written. A
document type declaration ends the reading, so there are no entities to expand. Meaning (cardinality, bindings, formats)
is judged by validation; a primitive that cannot be its JSON type stays text, which validation refuses at its place.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate, XMLParserType

from fhir_server.errors import BadRequest, Issue, Unprocessable
from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.xml.narrative import cut_out
from fhir_server.r4.xml.shape import EXTENSION, FHIR, XHTML, XSI, Form, Property, Shape, attributes, shape
from fhir_server.work.budget import spend

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_TAG_NAME = re.compile(rb"<([^\s/>]+)")
_NUMBERS = {"decimal": _DECIMAL, "integer": _INTEGER, "positiveInt": _INTEGER, "unsignedInt": _INTEGER}
_BOOLEANS = {"true": True, "false": False}
_MAX_ISSUES = 100
_STEPS = 4
"""What an element counts for."""


def from_xml(data: bytes, *, max_depth: int, any_order: bool = False) -> dict[str, Any]:
    """Return the JSON form of the resource in an XML document, properties in the order of the specification.

    With `any_order` elements need not stand in that order, and the properties are in theirs. Raises BadRequest for what
    is not well-formed XML in UTF-8 or declares a document type, and Unprocessable, with all issues, for elements,
    attributes and text that do not stand where FHIR has them.
    """
    try:
        return _Reader(data, max_depth, any_order=any_order).read()
    except ExpatError as error:
        raise BadRequest(f"The body is not well-formed XML: {error}.", code="structure") from error


def safe_parser(data: bytes) -> XMLParserType:
    """Return a parser for the document that takes UTF-8 alone and no document type; raises BadRequest, as it will."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        # These marks overrule the encoding that the parser is told.
        _require_utf8("1.0", "UTF-16", 0)
    parser = ParserCreate("UTF-8", " ")
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.XmlDeclHandler = _require_utf8
    return parser


class _Frame:
    """An open element: what it will be in JSON, and where it belongs."""

    __slots__ = ("children", "entry", "form", "name", "parent", "position", "type", "value")

    def __init__(self, name: str, form: Form, type_name: str, parent: _Frame | None, entry: Property | None) -> None:
        self.name = name
        self.form = form
        self.type = type_name
        self.parent = parent
        self.entry = entry
        self.position = -1
        """Of the last child element; the next one must not stand before it."""
        self.value: Any = None
        """The primitive's value; None where there is none, or where the element is no primitive."""
        self.children: dict[str, Any] = {}
        """The object that the element becomes; of a primitive, its `_name` sibling."""

    def path(self) -> str:
        """Return the element's FHIRPath."""
        if self.parent is None or self.entry is None:
            return self.parent.path() if self.parent else self.name
        index = ""
        if self.entry.many and self.form != "attribute":
            index = f"[{len(self.parent.children.get(self.name, ()))}]"
        return f"{self.parent.path()}.{self.name}{index}"


class _Reader:
    """Builds one resource from the events of one document."""

    def __init__(self, data: bytes, max_depth: int, *, any_order: bool) -> None:
        self._data = data
        self._max_depth = max_depth
        self._any_order = any_order
        self._depth = 0
        self._skipped = 0
        """How deep the parser is inside a div, or inside an element that is no element of FHIR."""
        self._div: tuple[int, _Frame] | None = None
        """Where the div that the parser is in begins, and its parent."""
        self._frame: _Frame | None = None
        self._root: dict[str, Any] | None = None
        self._issues: list[Issue] = []
        self._namespaces: list[tuple[str, str]] = []
        self._parser = parser = safe_parser(data)
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartNamespaceDeclHandler = self._declare
        parser.EndNamespaceDeclHandler = lambda _: self._namespaces.pop()

    def read(self) -> dict[str, Any]:
        """Return the resource; raises ExpatError, BadRequest or Unprocessable."""
        self._parser.Parse(self._data, True)
        if self._issues:
            raise Unprocessable(issues=self._issues[:_MAX_ISSUES])
        assert self._root is not None
        return self._root

    def _start(self, name: str, by_name: dict[str, str]) -> None:
        self._depth += 1
        spend(_STEPS)
        if len(self._issues) > _MAX_ISSUES:
            raise Unprocessable(issues=self._issues[:_MAX_ISSUES])
        if self._depth > self._max_depth:
            raise Unprocessable(f"The body is nested deeper than {self._max_depth} elements.", code="too-costly")
        if self._skipped:
            self._skipped += 1
            return
        frame = self._open(*_split(name))
        if frame is None:
            self._skipped = 1
        else:
            self._frame = frame
            self._take_attributes(frame, by_name)

    def _open(self, namespace: str, name: str) -> _Frame | None:
        parent = self._frame
        if parent is None or (parent.form == "resource"):
            return self._open_resource(namespace, name, parent)
        entry = EXTENSION if parent.form == "value" and name == "extension" else self._properties(parent).get(name)
        expected = XHTML if entry is not None and entry.form == "xhtml" else FHIR
        if entry is None or entry.form == "attribute" or namespace != expected:
            self._fault(f"There is no element {name!r} here in FHIR R4 ({namespace or 'no namespace'}).", parent)
            return None
        if entry.position < parent.position and not self._any_order:
            self._fault(f"The element {name!r} stands after one that it must stand before.", parent, name)
        elif not entry.many and (name in parent.children or "_" + name in parent.children):
            self._fault(f"The element {name!r} must not repeat.", parent, name)
        parent.position = entry.position
        if entry.form == "xhtml":
            self._div = (self._parser.CurrentByteIndex, parent)
            return None
        return _Frame(name, entry.form, entry.type, parent, entry)

    def _open_resource(self, namespace: str, name: str, parent: _Frame | None) -> _Frame | None:
        if namespace != FHIR or name not in RESOURCE_TYPES:
            self._fault(f"{name!r} in namespace {namespace!r} is not a resource type of FHIR R4.", parent)
            return None
        if parent is not None and parent.children:
            self._fault("Only one resource can stand here.", parent)
        frame = _Frame(name, "complex", name, parent, None)
        frame.children["resourceType"] = name
        return frame

    def _properties(self, frame: _Frame) -> Shape:
        return shape(frame.type) if frame.form == "complex" else {}

    def _take_attributes(self, frame: _Frame, by_name: dict[str, str]) -> None:
        for key, text in by_name.items():
            namespace, name = _split(key)
            if frame.form == "value" and key == "value":
                frame.value = _primitive(frame.type, text)
            elif (frame.form == "value" and key == "id") or (frame.form == "complex" and key in attributes(frame.type)):
                frame.children[key] = text
            elif (namespace, name) != (XSI, "schemaLocation"):
                self._fault(f"There is no attribute {name!r} here in FHIR R4.", frame)

    def _text(self, text: str) -> None:
        if not self._skipped and text.strip(" \t\r\n"):
            self._fault(f"The text {text.strip()[:50]!r} stands here, where FHIR has only elements.", self._frame)

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._skipped:
            self._skipped -= 1
            if self._div and not self._skipped:
                self._close_div(*self._div)
            return
        frame = self._frame
        assert frame is not None
        self._frame = frame.parent
        if frame.form == "complex":
            self._close_complex(frame)
        elif frame.form == "value":
            self._close_primitive(frame)
        elif not frame.children:
            self._fault("A resource must stand here.", frame)
        else:
            _attach(frame, frame.children)

    def _close_complex(self, frame: _Frame) -> None:
        properties = shape(frame.type)
        result = {key: value for key, value in frame.children.items() if not _only_nulls(value)}
        if frame.type == "Extension" and "extension" in result:
            # The url is an attribute, so it came first; in the specification's order the nested extensions do.
            result = dict(sorted(result.items(), key=lambda pair: properties[pair[0].removeprefix("_")].position))
        if frame.parent is None:
            self._root = result
        elif frame.parent.form == "resource":
            frame.parent.children = result
        elif frame.parent.form == "value":
            frame.parent.children.setdefault("extension", []).append(result)
        else:
            _attach(frame, result)

    def _close_primitive(self, frame: _Frame) -> None:
        parent, name, sibling = frame.parent, frame.name, frame.children or None
        assert parent is not None
        assert frame.entry is not None
        if frame.value is None and sibling is None:
            self._fault("An element must have a value or extensions.", frame)
        elif frame.entry.many:
            # Both arrays are kept in step; the one that gets nothing but nulls is dropped at the parent's end.
            parent.children.setdefault(name, []).append(frame.value)
            parent.children.setdefault("_" + name, []).append(sibling)
        else:
            if frame.value is not None:
                parent.children[name] = frame.value
            if sibling is not None:
                parent.children["_" + name] = sibling

    def _close_div(self, start: int, parent: _Frame) -> None:
        # At the end of an element the parser stands before its end tag, or behind an empty-element tag.
        end = self._parser.CurrentByteIndex
        tag = _TAG_NAME.match(self._data, start)
        if tag and self._data.startswith(b"</" + tag[1], end):
            end = self._data.index(b">", end) + 1
        parent.children["div"] = cut_out(self._data, start, end, dict(self._namespaces))
        self._div = None

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        self._namespaces.append((prefix or "", uri or ""))

    def _fault(self, text: str, frame: _Frame | None, child: str = "") -> None:
        place = frame.path() + (f".{child}" if child else "") if frame else ""
        line = self._parser.CurrentLineNumber
        self._issues.append(Issue("structure", f"Line {line}: {text}", (place,) if place else ()))


def _attach(frame: _Frame, value: Any) -> None:
    parent, entry = frame.parent, frame.entry
    assert parent is not None
    assert entry is not None
    if entry.many:
        parent.children.setdefault(frame.name, []).append(value)
    else:
        parent.children[frame.name] = value


def _only_nulls(value: Any) -> bool:
    return isinstance(value, list) and all(item is None for item in value)


def _primitive(type_name: str, text: str) -> Any:
    if type_name == "boolean":
        return _BOOLEANS.get(text, text)
    pattern = _NUMBERS.get(type_name)
    if pattern is not None and pattern.fullmatch(text):
        # Read by the JSON reader, so that a number is the same object whichever form it came in.
        return values.decode(text.encode())
    return text


def _split(name: str) -> tuple[str, str]:
    namespace, _, local = name.rpartition(" ")
    return namespace, local


def _refuse_doctype(*_: object) -> None:
    raise BadRequest("A document type declaration (DTD) is not allowed.", code="structure")


def _require_utf8(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding and encoding.lower() not in ("utf-8", "utf8", "us-ascii"):
        raise BadRequest(f"FHIR is sent as UTF-8 only, not as {encoding}.", code="structure")
