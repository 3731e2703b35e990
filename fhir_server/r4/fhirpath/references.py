"""What a reference within a resource points to, as far as the resource itself can tell.

https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

import re
from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.fhirpath.items import Item, Scope
from fhir_server.r4.fhirpath.navigation import resource_item
from fhir_server.work.budget import spend

Resource = dict[str, Any]
_TARGET = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?$", re.ASCII)
_BASE = re.compile(r"(https?://.+/|)[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}$", re.ASCII)


def target_type(item: Item) -> str | None:
    """Return the resource type that a Reference or uri names, None where it names none."""
    text = reference_text(item)
    match = None if text is None else _TARGET.search(text)
    if match is not None and match[1] in RESOURCE_TYPES:
        return match[1]
    named = item.value.get("type") if isinstance(item.value, dict) else None
    return named if named in RESOURCE_TYPES else None


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
        found = container
    else:
        found = scope.contained(text[1:]) if text.startswith("#") else _bundled(text, container)
    return None if found is None else resource_item(found)


def _bundled(text: str, bundle: Resource | None) -> Resource | None:
    if bundle is None or bundle.get("resourceType") != "Bundle":
        return None
    entries = bundle.get("entry", ())
    spend(len(entries))
    for entry in entries:
        resource, url = entry.get("resource"), entry.get("fullUrl")
        if isinstance(resource, dict) and (url == text or _names(text, resource, url)):
            return resource
    return None


def _names(text: str, resource: Resource, url: str | None) -> bool:
    # A relative reference is relative to the base of an entry's fullUrl, so their ends must agree.
    match = _BASE.match(text)
    if match is None or match[1]:
        return False
    return text == f"{resource.get('resourceType')}/{resource.get('id')}" and (url is None or url.endswith(f"/{text}"))
