"""An XML Patch read into its operations: `add`, `replace` and `remove` below any root, all of one namespace.

https://www.rfc-editor.org/rfc/rfc5261#section-4
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias
from xml.parsers.expat import ExpatError

from lxml import etree

from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.r4.patching.xml_patch.selectors import Selector, read_selector
from fhir_server.r4.xml.reader import safe_parser
from fhir_server.r4.xml.shape import FHIR
from fhir_server.work.budget import spend

_MOST_OPERATIONS = 10_000
_STEPS = 4
"""What an element of a patch counts for."""
_LEVELS_AROUND = 3
"""Levels of a patch around a resource that it may hold: the root, the operation, the element."""

Kind = Literal["add", "replace", "remove"]
_ATTRIBUTES: dict[str, frozenset[str]] = {
    "add": frozenset({"sel", "pos", "type"}),
    "replace": frozenset({"sel"}),
    "remove": frozenset({"sel", "ws"}),
}
_ROOTS = frozenset({"diff", "patch"})
"""The roots by which a document without operations shows that it is a patch, which then changes nothing.

RFC 5261 leaves the root open; its examples have the one, https://www.rfc-editor.org/rfc/rfc7351 the other.
"""
_VALUES = {"pos": ("before", "after", "prepend"), "ws": ("before", "after", "both")}
Element: TypeAlias = etree._Element


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, whose `content` is never changed: what is put into a resource is a copy."""

    number: int
    kind: Kind
    selector: Selector
    content: Element
    """The element of the operation, with what it puts in."""
    depth: int
    """Levels of elements in the content."""
    size: int
    """Nodes of the content."""
    attribute: str = ""
    """The name of the attribute that an `add` makes."""
    pos: str = ""
    ws: str = ""

    def __str__(self) -> str:
        return f"Operation {self.number} ({self.kind} {self.selector.text[:200]!r})"


@dataclass(frozen=True, slots=True)
class XmlPatch:
    """A parsed patch."""

    operations: tuple[Operation, ...]

    def with_urls(self, changed: Callable[[str, str], str]) -> XmlPatch:
        """Return the patch with what it writes into references and URLs changed; `changed` gets the text and the name.

        That are attributes `value` of elements `reference` and `url`, and attributes `url`.
        """
        return XmlPatch(tuple(_with_urls(each, changed) for each in self.operations))


def read(data: bytes, *, max_depth: int) -> XmlPatch:
    """Return the patch in an XML document.

    Raises BadRequest for what is no XML Patch, Unprocessable for one with too many operations.
    """
    _require_simple(data, max_depth + _LEVELS_AROUND)
    try:
        root = etree.fromstring(data, _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadRequest("The patch is not well-formed XML.", code="structure") from error
    operations = [each for each in root if isinstance(each.tag, str)]
    if (root.text or "").strip() or any((each.tail or "").strip() for each in root):
        raise BadRequest("An XML Patch has no text between its operations.", code="structure")
    if not operations and etree.QName(root).localname not in _ROOTS:
        raise BadRequest("There is no add, replace or remove: this is not an XML Patch.", code="structure")
    if len(operations) > _MOST_OPERATIONS:
        raise Unprocessable(f"A patch has at most {_MOST_OPERATIONS} operations.", code="too-costly")
    namespace = etree.QName(root).namespace
    return XmlPatch(tuple(_operation(at, each, namespace) for at, each in enumerate(operations)))


def _require_simple(data: bytes, most_levels: int) -> None:
    """Raise BadRequest for XML that is not well-formed, declares a document type, or is nested too deeply."""
    depth = 0

    def start(*_: object) -> None:
        nonlocal depth
        depth += 1
        spend(_STEPS)
        if depth > most_levels:
            raise BadRequest(f"An XML Patch has at most {most_levels} levels.", code="too-costly")

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser = safe_parser(data)
    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        parser.Parse(data, True)
    except ExpatError as error:
        raise BadRequest(f"The patch is not well-formed XML: {error}.", code="structure") from error


def _parser() -> etree.XMLParser:
    # What a document may cost is limited before; the library's own limits would refuse a large Binary.
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)


def _operation(number: int, element: Element, namespace: str | None) -> Operation:
    name = etree.QName(element)
    if name.namespace != namespace or name.localname not in _ATTRIBUTES:
        raise BadRequest(f"Operation {number} is none of add, replace and remove: {name.localname[:40]!r}.")
    kind: Kind = name.localname  # type: ignore[assignment]
    attributes = {str(key): str(value) for key, value in element.attrib.items()}
    _require_attributes(number, kind, attributes)
    namespaces = {prefix or "": uri for prefix, uri in element.nsmap.items()}
    if namespace == namespaces.get("") and namespace != FHIR:
        # The default namespace is then that of the patch's own elements: a resource has none of it.
        namespaces.pop("", None)
    try:
        selector = read_selector(attributes["sel"].strip(), namespaces)
    except BadRequest as error:
        raise BadRequest(f"Operation {number}: {error}", code=error.issues[0].code) from error
    content = _content(element, namespace)
    levels, size = _measured(content)
    read = Operation(
        number, kind, selector, content, levels, size, ws=attributes.get("ws", ""), pos=attributes.get("pos", "")
    )
    read = replace(read, attribute=_new_attribute(read, attributes.get("type"), namespaces))
    _require_content(read)
    return read


def _require_attributes(number: int, kind: Kind, attributes: dict[str, str]) -> None:
    for name, value in attributes.items():
        if name not in _ATTRIBUTES[kind]:
            raise BadRequest(f"Operation {number}: {kind} has no attribute {name[:40]!r}.", code="structure")
        if name in _VALUES and value not in _VALUES[name]:
            raise BadRequest(f"Operation {number}: {name} is one of {', '.join(_VALUES[name])}, not {value[:40]!r}.")
    if not attributes.get("sel", "").strip():
        raise BadRequest(f"Operation {number}: {kind} needs sel, which says where.", code="required")


def _new_attribute(operation: Operation, type_: str | None, namespaces: dict[str, str]) -> str:
    if type_ is None:
        return ""
    if not type_.startswith("@"):
        raise BadRequest(
            f"{operation}: type is @ and the name of an attribute, not {type_[:40]!r}; a resource has no namespace "
            "declarations of its own.",
            code="not-supported",
        )
    prefix, colon, local = type_[1:].rpartition(":")
    uri = namespaces.get(prefix, "http://www.w3.org/XML/1998/namespace" if prefix == "xml" else "")
    try:
        name = etree.QName(uri or None, local).text
    except ValueError as error:
        raise BadRequest(f"{operation}: {type_[:40]!r} names no attribute.", code="structure") from error
    if colon and not uri:
        raise BadRequest(f"{operation}: the prefix {prefix[:40]!r} is not declared.")
    return name


def _content(element: Element, namespace: str | None) -> Element:
    """Return the operation's element, with what has no namespace of a resource's own in FHIR's."""
    strange = {None} if namespace == FHIR else {None, namespace}
    for each in element.iterdescendants():
        if isinstance(each.tag, str) and etree.QName(each).namespace in strange:
            each.tag = f"{{{FHIR}}}{etree.QName(each).localname}"
    return element


def _measured(content: Element) -> tuple[int, int]:
    deepest = size = 0
    level = list(content)
    while level:
        deepest += 1
        size += len(level)
        level = [child for each in level for child in each]
    return deepest, size


def _require_content(operation: Operation) -> None:
    """Raise BadRequest where the content is not what the operation takes."""
    content, kind = operation.content, operation.selector.kind
    text, count = _text_of(content).strip(), len(content)
    if operation.kind == "remove":
        if count or text:
            raise BadRequest(f"{operation}: remove has no content.", code="structure")
    elif operation.attribute or kind in ("attribute", "text()"):
        if count:
            raise BadRequest(f"{operation}: the content is the text of the value.", code="structure")
    elif operation.kind == "replace" and (count != 1 or text):
        raise BadRequest(f"{operation}: the content is the one node that takes the place.", code="structure")
    elif operation.kind == "add" and not count and not text:
        raise BadRequest(f"{operation}: there is nothing to add.", code="structure")
    if operation.attribute and operation.pos:
        raise BadRequest(f"{operation}: an attribute has no position.", code="structure")
    if operation.kind == "add" and kind in ("attribute", "text()"):
        raise BadRequest(f"{operation}: add selects an element.", code="structure")


def _text_of(content: Element) -> str:
    return (content.text or "") + "".join(each.tail or "" for each in content)


# --- References between the entries of a bundle ---------------------------------------------------------------------


def _with_urls(operation: Operation, changed: Callable[[str, str], str]) -> Operation:
    content = deepcopy(operation.content)
    has_urls = False
    for node, name, attribute in _urls(content):
        old = str(node.get(attribute))
        new = changed(old, name)
        if new != old:
            node.set(attribute, new)
            has_urls = True
    written = _written_name(operation)
    if written and not len(content):
        new = changed((content.text or "").strip(), written)
        if new != (content.text or "").strip():
            content.text, has_urls = new, True
    return replace(operation, content=content) if has_urls else operation


def _urls(content: Element) -> Iterator[tuple[Element, str, str]]:
    for each in content.iterdescendants(etree.Element):
        name = etree.QName(each).localname
        if name in ("reference", "url") and each.get("value") is not None:
            yield each, name, "value"
        if each.get("url") is not None:
            yield each, "url", "url"


def _written_name(operation: Operation) -> str:
    """Return the name of the reference or URL whose text the operation writes; empty where it writes none."""
    selector = operation.selector
    attribute = operation.attribute or (selector.last if selector.kind == "attribute" else "")
    owner = selector.last if operation.attribute else selector.owner
    if attribute == "value" and owner in ("reference", "url"):
        return owner
    return "url" if attribute == "url" else ""
