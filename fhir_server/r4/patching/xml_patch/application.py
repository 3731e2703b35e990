"""An XML Patch applied to a resource: on its XML form, and read back into JSON.

The order of elements is FHIR's own, so it is put right afterwards. A narrative that no operation changes stays as it
was written. https://www.rfc-editor.org/rfc/rfc5261#section-4
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

from lxml import etree

from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.r4.patching.identity import require_same_identity
from fhir_server.r4.patching.xml_patch.operations import Element, Operation, XmlPatch
from fhir_server.r4.xml import from_xml, to_xml
from fhir_server.work.budget import spend

Resource = dict[str, Any]

_STEPS = 50
"""What an operation counts for."""
_NODES_A_STEP = 20
"""Nodes of the document that a selector looks through in a step's time."""
_LINE = re.compile(r"^Line \d+: ")


def apply(resource: Resource, patch: XmlPatch, *, max_depth: int) -> Resource:
    """Return the resource changed by the operations, leaving the given one as it is.

    Raises Unprocessable where a selector finds no node or several, an operation does not fit the node, or the result
    is no resource in FHIR's XML, or another one.
    """
    document = _Document(resource, max_depth)
    for operation in patch.operations:
        document.carry_out(operation)
    patched = document.read()
    require_same_identity(resource, patched)
    return _with_narratives_of(resource, patched)


class _Document:
    """The XML form of a resource, on which operations are carried out."""

    def __init__(self, resource: Resource, max_depth: int) -> None:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)
        self._tree = etree.ElementTree(etree.fromstring(to_xml(resource), parser))
        self._max_depth = max_depth
        self._size = sum(1 for _ in self._tree.iter())

    def read(self) -> Resource:
        """Return the resource that the document has become."""
        data = etree.tostring(self._tree.getroot(), encoding="UTF-8")
        try:
            return from_xml(data, max_depth=self._max_depth, any_order=True)
        except Unprocessable as error:  # the lines are those of no document that the caller knows
            issues = [replace(each, diagnostics=_LINE.sub("", each.diagnostics)) for each in error.issues]
            raise Unprocessable(issues=issues) from error
        except BadRequest as error:
            raise Unprocessable("The patch does not leave a resource in XML.", code="structure") from error

    def carry_out(self, operation: Operation) -> None:
        """Change the document; raises Unprocessable."""
        spend(_STEPS + operation.size + self._size // _NODES_A_STEP)
        node = self._located(operation)
        if operation.kind == "add":
            self._add(operation, node)
        elif operation.kind == "replace":
            self._replace(operation, node)
        else:
            self._remove(operation, node)
        self._size += operation.size

    def _located(self, operation: Operation) -> Any:
        """Return the one node that is selected."""
        nodes = operation.selector.find(self._tree)
        if not isinstance(nodes, list) or len(nodes) != 1:
            count = len(nodes) if isinstance(nodes, list) else 0
            raise Unprocessable(f"{operation} must select one node, and selects {count or 'none'}.", code="processing")
        return nodes[0]

    def _add(self, operation: Operation, node: Element) -> None:
        if operation.attribute:
            if not isinstance(node.tag, str):
                raise _unfit(operation, "only an element has attributes")
            if node.get(operation.attribute) is not None:
                raise _unfit(operation, f"the element has the attribute {operation.attribute[:80]!r} already")
            _set(operation, node, operation.attribute)
            return
        parent = node.getparent() if operation.pos in ("before", "after") else node
        if parent is None:
            raise _unfit(operation, "nothing can stand beside the resource itself")
        if not isinstance(parent.tag, str):
            raise _unfit(operation, "only an element has content")
        self._require_levels(operation, parent)
        nodes, text = deepcopy(list(operation.content)), operation.content.text or ""
        if operation.pos == "prepend":
            _prepend(parent, text, nodes)
        elif operation.pos == "before":
            _put_before(node, text, nodes)
        elif operation.pos == "after":
            _put_after(node, text, nodes)
        else:
            _append(parent, text, nodes)

    def _require_levels(self, operation: Operation, parent: Element) -> None:
        above = sum(1 for _ in parent.iterancestors()) + 1
        if above + operation.depth > self._max_depth:
            raise _unfit(operation, f"the resource would be nested deeper than {self._max_depth} elements")

    def _replace(self, operation: Operation, node: Any) -> None:
        kind = operation.selector.kind
        if kind == "attribute":
            _set(operation, node.getparent(), node.attrname)
            return
        if kind == "text()":
            _set_text(node, operation.content.text or "")
            return
        new = deepcopy(operation.content[0])
        if _kind_of(new) != _kind_of(node):
            raise _unfit(operation, "what takes the place of a node is of the same kind")
        new.tail = node.tail
        parent = node.getparent()
        if parent is None:
            self._require_levels_of_root(operation)
            self._tree._setroot(new)
            return
        self._require_levels(operation, parent)
        parent.replace(node, new)

    def _require_levels_of_root(self, operation: Operation) -> None:
        if operation.depth > self._max_depth:
            raise _unfit(operation, f"the resource would be nested deeper than {self._max_depth} elements")

    def _remove(self, operation: Operation, node: Any) -> None:
        kind = operation.selector.kind
        if operation.ws and kind in ("attribute", "text()"):
            raise _unfit(operation, "ws is about the white space beside an element")
        if kind == "attribute":
            del node.getparent().attrib[node.attrname]
        elif kind == "text()":
            _set_text(node, "")
        elif node.getparent() is None:
            raise _unfit(operation, "the resource itself cannot be removed")
        else:
            _take_out(operation, node)


def _kind_of(node: Element) -> object:
    return "element" if isinstance(node.tag, str) else node.tag


def _unfit(operation: Operation, why: str) -> Unprocessable:
    return Unprocessable(f"{operation} does not fit the resource: {why}.", code="processing")


def _set(operation: Operation, element: Element, name: str) -> None:
    element.set(name, operation.content.text or "")


def _set_text(node: Any, text: str) -> None:
    holder = node.getparent()
    if node.is_tail:
        holder.tail = text or None
    else:
        holder.text = text or None


def _lengthen(node: Element, text: str) -> None:
    """Add to the text behind a node."""
    node.tail = (node.tail or "") + text


def _append(parent: Element, text: str, nodes: list[Element]) -> None:
    if len(parent):
        _lengthen(parent[-1], text)
    else:
        parent.text = (parent.text or "") + text
    parent.extend(nodes)


def _prepend(parent: Element, text: str, nodes: list[Element]) -> None:
    rest = parent.text or ""
    parent.text = text if nodes else text + rest
    if nodes:
        _lengthen(nodes[-1], rest)
    parent[:0] = nodes


def _put_before(node: Element, text: str, nodes: list[Element]) -> None:
    parent, before = node.getparent(), node.getprevious()
    assert parent is not None
    if before is not None:
        _lengthen(before, text)
    else:
        parent.text = (parent.text or "") + text
    index = parent.index(node)
    parent[index:index] = nodes


def _put_after(node: Element, text: str, nodes: list[Element]) -> None:
    parent, rest = node.getparent(), node.tail or ""
    assert parent is not None
    node.tail = text if nodes else text + rest
    if nodes:
        _lengthen(nodes[-1], rest)
    index = parent.index(node) + 1
    parent[index:index] = nodes


def _take_out(operation: Operation, node: Element) -> None:
    """Remove a node, with the white space beside it that `ws` says, and keep the text behind it."""
    parent = node.getparent()
    assert parent is not None
    before, behind = node.getprevious(), node.tail or ""
    front = (parent.text if before is None else before.tail) or ""
    for side, text in (("before", front), ("after", behind)):
        if operation.ws in (side, "both") and (not text or text.strip()):
            raise _unfit(operation, f"there is no white space alone {side} the node")
    kept = ("" if operation.ws in ("before", "both") else front) + ("" if operation.ws in ("after", "both") else behind)
    parent.remove(node)
    if before is None:
        parent.text = kept or None
    else:
        before.tail = kept or None


# --- Narratives -------------------------------------------------------------------------------------------------------


def _with_narratives_of(resource: Resource, patched: Resource) -> Resource:
    """Return the patched resource with each narrative that says the same as one before written as that was."""
    divs = {_canonical(holder["div"]): holder["div"] for holder in _narratives(resource)}
    for holder in _narratives(patched) if divs else ():
        holder["div"] = divs.get(_canonical(holder["div"]), holder["div"])
    return patched


def _narratives(node: Any) -> Iterator[Resource]:
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if isinstance(each.get("div"), str):
                yield each
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def _canonical(div: str) -> str:
    try:
        return str(etree.canonicalize(div, with_comments=True))
    except (etree.XMLSyntaxError, ValueError):
        return div
