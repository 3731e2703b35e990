"""Rewriting, in a transaction, of what names another entry: everywhere the specification says, and nowhere else.

A fullUrl is replaced in References, in elements of type uri, url, oid and uuid, and in href and src of narratives;
canonicals and plain strings stay. https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fhir_server.r4.definitions import table

_REWRITTEN = frozenset({"uri", "url", "oid", "uuid"})
_LINK = re.compile(r"""(\s(?:href|src)\s*=\s*)("[^"]*"|'[^']*')""")


def rewrite(resource: Any, targets: Mapping[str, str]) -> Any:
    """Return the resource with each mention of a key of `targets` replaced by its value ("Patient/1")."""
    return _Rewriter(targets).resource(resource)


def references(resource: Any) -> Iterator[tuple[str, str]]:
    """Yield the FHIRPath and the text of every Reference.reference in the resource."""
    yield from _references(resource, str(resource.get("resourceType", "")) if isinstance(resource, dict) else "")


def _references(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "reference" and isinstance(value, str):
                yield f"{path}.reference", value
            elif isinstance(value, dict | list):
                yield from _references(value, f"{path}.{name}")
    elif isinstance(node, list):
        for position, value in enumerate(node):
            if isinstance(value, dict):
                yield from _references(value, f"{path}[{position}]")


class _Rewriter:
    """One walk over a resource, typed by the definitions, copying only what changes."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self.targets = targets

    def resource(self, node: dict[str, Any]) -> dict[str, Any]:
        resource_type = node.get("resourceType")
        # A Bundle that is itself an entry is stored as it is: its entries' URLs are its own.
        return node if resource_type == "Bundle" else self.element(node, str(resource_type))

    def element(self, node: dict[str, Any], type_name: str) -> dict[str, Any]:
        elements = table(type_name).elements
        changed: dict[str, Any] | None = None
        for name, value in node.items():
            element = elements.get(name)
            if element is None:
                continue
            new = self.value(value, element.type, type_name, name)
            if new is not value:
                changed = changed or dict(node)
                changed[name] = new
        return node if changed is None else changed

    def value(self, value: Any, type_name: str, parent: str, name: str) -> Any:
        if isinstance(value, list):
            new = [self.value(item, type_name, parent, name) for item in value]
            return value if all(a is b for a, b in zip(new, value, strict=True)) else new
        if isinstance(value, dict):
            return self.resource(value) if type_name == "Resource" else self.element(value, type_name)
        if not isinstance(value, str):
            return value
        if type_name in _REWRITTEN or (parent == "Reference" and name == "reference"):
            return self.link(value)
        if type_name == "xhtml":
            return _LINK.sub(self._narrative_link, value)
        return value

    def link(self, url: str) -> str:
        target = self.targets.get(url)
        if target is not None:
            return target
        base, mark, fragment = url.partition("#")
        target = self.targets.get(base) if mark else None
        return url if target is None else f"{target}#{fragment}"

    def _narrative_link(self, match: re.Match[str]) -> str:
        quoted = match[2]
        return f"{match[1]}{quoted[0]}{self.link(quoted[1:-1])}{quoted[0]}"
