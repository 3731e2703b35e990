"""Rewriting, in a transaction, of what names another entry: everywhere the specification says, and nowhere else.

A fullUrl is replaced in References, in elements of type uri, url, oid and uuid, and in href and src of narratives;
canonicals and plain strings stay. https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from fhir_server.r4.definitions import table
from fhir_server.r4.patching.merge_patch import MergePatch
from fhir_server.r4.patching.xml_patch import XmlPatch
from fhir_server.r4.references import unversioned

_URLS = frozenset({"uri", "url", "oid", "uuid"})
_NARRATIVE_LINK = re.compile(r"""(\s(?:href|src)\s*=\s*)("[^"]*"|'[^']*')""")
_OPEN = ("urn:uuid:", "urn:oid:")
_Action = str
"""What an element may need: "url", "reference" or "xhtml" for a text, otherwise the type of an object to look into."""


class Rewriter:
    """Replaces mentions of the keys of `targets` by their values ("Patient/1").

    `versions` tells which version a version-specific mention of such a value then means; where it does not, the mention
    stays as it is. `left` gathers the References that only mean something within the bundle and are none of the keys:
    conditional ones, and URNs. `relative` are targets that go before the others, for entries below one base.
    """

    def __init__(self, targets: Mapping[str, str], versions: Mapping[str, int] | None = None) -> None:
        self.targets = targets
        self.relative: Mapping[str, str] = {}
        self.versions = versions or {}
        self.left: set[str] = set()

    def rewrite(self, resource: dict[str, Any]) -> dict[str, Any]:
        """Return the resource with all mentions replaced; itself where there are none."""
        # A Bundle that is itself an entry is stored as it is: its entries' URLs are its own.
        return resource if resource["resourceType"] == "Bundle" else self._object(resource, resource["resourceType"])

    def rewrite_operations(self, operations: list[Any]) -> list[Any]:
        """Return the operations of a JSON Patch with all mentions in References and URLs replaced."""
        return [self._operation(each) if isinstance(each, dict) else each for each in operations]

    def rewrite_merge_patch(self, patch: MergePatch) -> MergePatch:
        """Return a JSON Merge Patch with all mentions in References and URLs replaced."""
        return MergePatch(self._untyped(patch.value, ""))

    def rewrite_xml_patch(self, patch: XmlPatch) -> XmlPatch:
        """Return an XML Patch with all mentions in References and URLs replaced."""
        return patch.with_urls(self._text)

    def _operation(self, operation: dict[str, Any]) -> dict[str, Any]:
        if "value" not in operation:
            return operation
        name = str(operation.get("path")).rpartition("/")[2]
        return operation | {"value": self._untyped(operation["value"], name)}

    def _untyped(self, value: Any, name: str) -> Any:
        """Return a value of a patch, whose type is not known, but by the name it stands under."""
        if isinstance(value, dict):
            return {key: self._untyped(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self._untyped(item, name) for item in value]
        return self._text(value, name) if isinstance(value, str) and name in ("reference", "url") else value

    def _object(self, node: dict[str, Any], type_name: str) -> dict[str, Any]:
        if type_name == "Resource":
            return self.rewrite(node)
        actions = _actions(type_name)
        changed: dict[str, Any] | None = None
        for name, value in node.items():
            action = actions.get(name)
            if action is None:
                continue
            new = self._value(value, action)
            if new is not value:
                changed = changed or dict(node)
                changed[name] = new
        return node if changed is None else changed

    def _value(self, value: Any, action: _Action) -> Any:
        kind = value.__class__
        if kind is dict:
            return self._object(value, action)
        if kind is str:
            return self._text(value, action)
        if kind is list:
            new = [self._value(item, action) for item in value]
            return new if any(a is not b for a, b in zip(new, value, strict=True)) else value
        return value

    def _text(self, text: str, action: _Action) -> str:
        if action == "xhtml":
            return _NARRATIVE_LINK.sub(self._narrative_link, text) if "=" in text else text
        target = self._target(text)
        if target is not None:
            return target
        if action == "reference" and (text.startswith(_OPEN) or "?" in text):
            return self._reference(text)
        return self._part(text) if "#" in text or "/_history/" in text else text

    def _reference(self, text: str) -> str:
        resolved = self._part(text)
        if resolved is text:
            self.left.add(text)
        return resolved

    def _part(self, url: str) -> str:
        """Return the URL of a version or of a part of a resource, led from what the resource's own URL becomes."""
        base, mark, fragment = url.partition("#")
        if mark:
            target = self._target(base)
            return url if target is None else f"{target}#{fragment}"
        target = self._target(unversioned(url) or "") or ""
        version = self.versions.get(target)
        return url if version is None else f"{target}/_history/{version}"

    def _target(self, url: str) -> str | None:
        return self.relative.get(url) or self.targets.get(url)

    def _narrative_link(self, match: re.Match[str]) -> str:
        quoted = match[2]
        return f"{match[1]}{quoted[0]}{self._text(quoted[1:-1], 'url')}{quoted[0]}"


@lru_cache(maxsize=1024)
def _actions(type_name: str) -> dict[str, _Action]:
    """Return what each element of a type may need; the others are passed over."""
    actions = {}
    for name, element in table(type_name).elements.items():
        if element.type in _URLS:
            actions[name] = "url"
        elif type_name == "Reference" and name == "reference":
            actions[name] = "reference"
        elif element.type == "xhtml":
            actions[name] = "xhtml"
        elif not element.primitive:
            actions[name] = element.type
    return actions


def places_of(resource: object) -> Iterator[tuple[str, str]]:
    """Yield each reference of the resource with its FHIRPath below it, which starts with a dot."""
    return ((text, path) for path, text in _references(resource, ""))


def _references(node: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "reference" and isinstance(value, str):
                yield f"{path}.reference", value
            yield from _references(value, f"{path}.{name}")
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from _references(value, f"{path}[{position}]")
