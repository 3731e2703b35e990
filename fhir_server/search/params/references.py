"""Reference parameters: by type and id, by URL, by canonical, by identifier.
https://hl7.org/fhir/R4/search.html#reference

Keys: `subject=Patient/1`; an absolute URL, a canonical with its version and without, or what is none of these, as it
is; `subject:identifier` as a token. `questionnaire@url|version` (or `@url`, where the reference names no version) meets
`_canonical=url|version` of the resource that it leads to; a reference without a version leads to every version.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fhir_server.r4.definitions import table
from fhir_server.r4.fhirpath import Item
from fhir_server.r4.ids import is_id
from fhir_server.r4.references import literal, local
from fhir_server.search.index.entry import Entry
from fhir_server.search.index.keys import CANONICAL, CANONICAL_MARK, clean
from fhir_server.search.params import tokens, uris
from fhir_server.search.query.conditions import Condition, HasKey, Hierarchy


def index(name: str, items: list[Item], entry: Entry) -> None:
    """Write the keys of a reference parameter."""
    keys = entry.keys
    for item in items:
        value = item.value
        if value.__class__ is dict and "resourceType" in value:
            # The first resource of a document or message is itself what `composition` and `message` refer to.
            if "id" in value:
                keys.append(f"{name}={value['resourceType']}/{value['id']}")
        elif value.__class__ is dict:
            reference = value.get("reference")
            if reference is not None:
                _write(name, reference, entry)
            identifier = value.get("identifier")
            if identifier:
                tokens.index(f"{name}:identifier", [Item("Identifier", identifier)], entry)
        elif value.__class__ is str:
            _write_canonical(name, value, entry)


def _write_canonical(name: str, value: str, entry: Entry) -> None:
    if value.startswith("#"):
        entry.contained_references.append((name, value[1:]))
        return
    keys = [value, value.partition("|")[0]]
    resolved = value.partition("#")[0]
    if entry.base_url and value.startswith(f"{entry.base_url}/"):
        # What is written as a location and not as a canonical URL leads there.
        resolved = resolved[len(entry.base_url) + 1 :]
        keys.append(resolved)
    entry.keys.extend(f"{name}={clean(key)}" for key in dict.fromkeys(keys))
    entry.keys.append(f"{name}{CANONICAL_MARK}{clean(resolved)}")


def index_canonical_urls(resource: Mapping[str, Any], entry: Entry) -> None:
    """Write what canonical references lead to this resource by: its URL with the version and without, and its place."""
    url, version = resource.get("url"), resource.get("version")
    names = [f"{resource['resourceType']}/{resource['id']}"] if "id" in resource else []
    if isinstance(url, str):
        names.append(url)
        if isinstance(version, str):
            names.append(f"{url}|{version}")
    entry.keys.extend(f"{CANONICAL}{clean(each)}" for each in names)


@lru_cache(maxsize=256)
def is_canonical_resource(resource_type: str) -> bool:
    """Return whether resources of the type can have a canonical URL."""
    element = table(resource_type).elements.get("url")
    return element is not None and element.type == "uri" and not element.many


def _write(name: str, reference: str, entry: Entry) -> None:
    if reference.startswith("#"):
        entry.contained_references.append((name, reference[1:]))
        return
    entry.keys.extend(f"{name}={clean(each)}" for each in _texts(reference, entry.base_url))


def _texts(reference: str, base_url: str) -> tuple[str, ...]:
    """Return what a reference is found by: of a literal one the resource, and the version where it names one."""
    target = literal(reference, base_url)
    if target is None:
        return (reference,)
    if target.version is None:
        return (target.resource,)
    return (target.resource, f"{target.resource}/_history/{target.version}")


def condition(name: str, value: str, targets: Sequence[str], base_url: str) -> Condition:
    """Return what a reference value asks: an id of any of the target types, `Type/id`, or a URL.

    An absolute URL below `base_url`, the server's own, means the same as the relative one.
    """
    if is_id(value):
        return HasKey(tuple(f"{name}={target}/{value}" for target in targets))
    return HasKey((f"{name}={clean(_texts(value, base_url)[-1])}",))


def hierarchy(name: str, relation: str, value: str, targets: Sequence[str], base_url: str) -> Condition:
    """Return what `:above` and `:below` ask: a resource's place among its kind, or of a canonical URL the part of its
    path.
    """
    named = local(value, base_url)
    if named is None and "://" in value:
        return uris.condition(name, relation, value)
    places = [f"{target}/{value}" for target in targets] if is_id(value) else [named.resource] if named else []
    if not places:
        raise ValueError(f"{relation} takes Type/id, an id or a URL")
    return Hierarchy(name, "above" if relation == "above" else "below", tuple(places))


def named_in(keys: Iterable[str], resource_type: str, names: Container[str] | None = None) -> set[str]:
    """Return the ids of the resources of a type on this server that index keys refer to.

    Only keys of the parameters in `names` count, where it is given.
    """
    ids = set()
    for key in keys:
        name, sign, text = key.partition("=")
        if sign and (names is None or name in names) and text.startswith(f"{resource_type}/"):
            named = local(text)
            if named is not None:
                ids.add(named.id)
    return ids
