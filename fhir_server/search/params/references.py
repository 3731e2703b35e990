"""Reference parameters: by type and id, by URL, by canonical, by identifier.
https://hl7.org/fhir/R4/search.html#reference

Keys: `subject=Patient/1`; an absolute URL, or a canonical with its version and without, as it is; `subject:identifier`
as a token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.fhirpath import Item
from fhir_server.search.conditions import Condition, HasKey, Hierarchy
from fhir_server.search.entry import Entry
from fhir_server.search.keys import clean
from fhir_server.search.params import tokens, uris

_RELATIVE = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


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
            keys.append(f"{name}={clean(value)}")
            url, bar, _ = value.partition("|")
            if bar:
                keys.append(f"{name}={clean(url)}")


def _write(name: str, reference: str, entry: Entry) -> None:
    if reference.startswith("#"):
        return
    if entry.base_url and reference.startswith(f"{entry.base_url}/"):
        reference = reference[len(entry.base_url) + 1 :]
    unversioned, versioned, _ = reference.partition("/_history/")
    entry.keys.append(f"{name}={clean(unversioned)}")
    if versioned:
        entry.keys.append(f"{name}={clean(reference)}")


def condition(name: str, value: str, targets: Sequence[str], base_url: str) -> Condition:
    """Return what a reference value asks: an id of any of the target types, `Type/id`, or a URL.

    An absolute URL below `base_url`, the server's own, means the same as the relative one.
    """
    if base_url and value.startswith(f"{base_url}/"):
        value = value[len(base_url) + 1 :]
    if _ID.fullmatch(value):
        return HasKey(tuple(f"{name}={target}/{value}" for target in targets))
    return HasKey((f"{name}={clean(value)}",))


def hierarchy(name: str, relation: str, value: str, targets: Sequence[str], base_url: str) -> Condition:
    """Return what `:above` and `:below` ask: a resource's place among its kind, or of a canonical URL the part of its
    path.
    """
    if base_url and value.startswith(f"{base_url}/"):
        value = value[len(base_url) + 1 :]
    if "://" in value:
        return uris.condition(name, relation, value)
    found = [f"{target}/{value}" for target in targets] if _ID.fullmatch(value) else [value]
    if not all(map(is_relative, found)):
        raise ValueError(f"{relation} takes Type/id, an id or a URL")
    return Hierarchy(name, "above" if relation == "above" else "below", tuple(found))


def is_relative(reference: str) -> bool:
    """Return whether the text is `Type/id` with a resource type of R4, perhaps with a version behind it."""
    match = _RELATIVE.match(reference)
    return match is not None and match[1] in RESOURCE_TYPES
