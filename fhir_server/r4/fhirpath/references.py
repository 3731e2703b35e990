"""What a reference within a resource points to, as far as the resource itself can tell.

https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.fhirpath.items import Item, Scope
from fhir_server.r4.fhirpath.navigation import resource_item
from fhir_server.r4.references import literal
from fhir_server.work.budget import spend

Resource = dict[str, Any]


def target_type(item: Item) -> str | None:
    """Return the resource type that a Reference or uri names, None where it names none."""
    named = literal(reference_text(item))
    if named is not None:
        return named.type
    declared = item.value.get("type") if isinstance(item.value, dict) else None
    return declared if declared in RESOURCE_TYPES else None


def reference_text(item: Item) -> str | None:
    """Return the URL of a Reference, canonical, uri or string."""
    text = item.value.get("reference") if isinstance(item.value, dict) else item.value
    return text if isinstance(text, str) else None


def resolved(item: Item, scope: Scope) -> Item | None:
    """Return what a reference points to within its container or its Bundle, None where that is elsewhere."""
    text = reference_text(item)
    if text is None:
        return None
    container = scope.root if scope.root is not None else scope.resource
    if text == "#":
        target = container
    elif text.startswith("#"):
        target = scope.contained(text[1:])
    else:
        target = _bundled(item, text, container, scope)
    return None if target is None else resource_item(target)


def _bundled(item: Item, text: str, container: Resource | None, scope: Scope) -> Resource | None:
    if container is None or container.get("resourceType") != "Bundle":
        return None
    if scope.bundle is None:
        scope.bundle = BundleEntries(container)
    holder = item.value if isinstance(item.value, dict) else scope.resource
    return scope.bundle.resolved(text, holder)


class BundleEntries:
    """The entries of a Bundle, to be found by what references say: gathered once, in time that grows with the Bundle.

    A relative reference stands below the base of the fullUrl of its own entry. What several entries may be meant by
    leads to none. https://hl7.org/fhir/R4/bundle.html#references
    """

    def __init__(self, bundle: Resource) -> None:
        self._by_url: dict[str, list[Resource]] = {}
        self._bases: dict[int, str | None] | None = None
        self._entries = _entries_of(bundle)
        spend(len(self._entries))
        for entry in self._entries:
            resource, url = entry["resource"], entry.get("fullUrl")
            if not isinstance(url, str):  # then its own type and id are all that it is called
                url = f"{resource.get('resourceType')}/{resource.get('id')}"
            self._by_url.setdefault(url, []).append(resource)

    def resolved(self, text: str, holder: object) -> Resource | None:
        """Return the resource that a reference leads to; `holder` is an object of the entry in which it stands."""
        named = literal(text)
        if named is None:
            return self._only(text)
        if named.base:
            return self._only(named.resource, named.version)
        base = self._base(holder)
        return None if base is None else self._only(f"{base}{named.resource}", named.version)

    def _only(self, url: str, version: str | None = None) -> Resource | None:
        resources = self._by_url.get(url, [])
        if version is not None:
            resources = [each for each in resources if _version(each) == version]
        return resources[0] if len(resources) == 1 else None

    def _base(self, holder: object) -> str | None:
        """Return what relative references in the holder's entry stand below; None where they have no meaning.

        That is nothing for what stands in no entry, and in one without a fullUrl.
        """
        if self._bases is None:
            self._bases = {}
            for entry in self._entries:
                base = _base_of(entry.get("fullUrl"))
                self._bases.update(dict.fromkeys(_objects(entry["resource"]), base))
            spend(len(self._bases))
        return self._bases.get(id(holder), "")


def _entries_of(bundle: Resource) -> list[dict[str, Any]]:
    entries = bundle.get("entry")
    listed = entries if isinstance(entries, list) else []
    return [each for each in listed if isinstance(each, dict) and isinstance(each.get("resource"), dict)]


def _base_of(url: object) -> str | None:
    if url is None:
        return ""
    named = literal(url)
    return named.base if named is not None and named.base and named.version is None else None


def _version(resource: Resource) -> object:
    meta = resource.get("meta")
    return meta.get("versionId") if isinstance(meta, dict) else None


def _objects(resource: Resource) -> list[int]:
    """Return what tells the objects within a resource, and itself, from all others while it is held."""
    objects: list[int] = []
    waiting: list[Any] = [resource]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            objects.append(id(node))
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return objects
