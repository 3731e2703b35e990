"""What a reference points to: a contained resource, an entry of the bundle around, or what is stored."""

from __future__ import annotations

from typing import Any

from fhir_server.r4.profiles.items import Item
from fhir_server.r4.profiles.run import Json, Run
from fhir_server.r4.references import literal


def target_of(item: Item, run: Run) -> Json | None:
    """Return the resource that a Reference (or canonical, or uri) points to; None where it is not to be found."""
    text = item.value.get("reference") if isinstance(item.value, dict) else item.value
    if not isinstance(text, str) or not text:
        return None
    if text.startswith("#"):
        return _contained(run.scope.root, text[1:])
    return _in_bundle(run.bundle, text, run.full_url) or run.resolve(text)


def target_type(item: Item, target: Json | None) -> str | None:
    """Return the type that a reference points to, by what it points to or else by its own words."""
    if target is not None:
        return str(target.get("resourceType"))
    value = item.value
    if not isinstance(value, dict):
        return None
    named = literal(value.get("reference"))
    stated = value.get("type")
    return named.type if named else stated if isinstance(stated, str) else None


def _contained(root: Json, id_: str) -> Json | None:
    if not id_:
        return root
    resources = root.get("contained")
    members = resources if isinstance(resources, list) else []
    return next((each for each in members if isinstance(each, dict) and each.get("id") == id_), None)


def entries_of(bundle: Json) -> list[Json]:
    """Return the entries of a Bundle that are objects."""
    entries = bundle.get("entry")
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []


def _in_bundle(bundle: Json | None, reference: str, full_url: str | None) -> Json | None:
    """Return the entry's resource by its fullUrl, or by type and id below the base of the one that refers.

    https://hl7.org/fhir/R4/bundle.html#references
    """
    if bundle is None:
        return None
    named = literal(reference)
    urls = {reference}
    base = _base_of(full_url)
    if named is not None and not named.base and base:
        urls = {base + named.resource}
    for entry in entries_of(bundle):
        url, resource = entry.get("fullUrl"), entry.get("resource")
        if isinstance(resource, dict) and (url in urls or (url is None and _is_named(resource, reference))):
            return resource
    return None


def _is_named(resource: Json, reference: str) -> bool:
    return f"{resource.get('resourceType')}/{resource.get('id')}" == reference


def _base_of(full_url: str | None) -> str | None:
    named = literal(full_url)
    return named.base if named is not None and named.base else None


def reference_text(value: Any) -> str:
    """Return a reference as faults show it."""
    return str(value.get("reference"))[:200] if isinstance(value, dict) else str(value)[:200]
