"""What a resource writes into the search index: `index(resource)` is merged into its stored document.

`keys` are facts as strings, for the one index that serves all parameters; `ranges` the exact bounds of dates and of
other values that are ranges, the tuples of composites, and the entries of contained resources; `shape` the sorted
names of the parameters that have a value, for `:missing`. docs/decisions/0010-one-search-index.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.r4.fhirpath import FhirPathError, Item, TooCostly
from fhir_server.r4.reports import reporter_of
from fhir_server.r4.subscriber import subscriber_of
from fhir_server.r4.topics import topic_url_of
from fhir_server.search import contained_chains
from fhir_server.search.index import embedded
from fhir_server.search.index.entry import Entry
from fhir_server.search.index.index_plan import IndexPlan, index_plan, note_overrun
from fhir_server.search.index.keys import EVERY, clean, contained_key, unsorted_key
from fhir_server.search.params import references, words
from fhir_server.search.shared import SHARED_KEY, SHARED_UNLESS_A_PATIENTS, is_shared

INDEX_VERSION = 2
"""The version of the index, kept with each stored resource: one more wherever a change to the code makes a resource
write other entries, and a background job then indexes what is older anew. Search parameters of users do not count.
"""
REPORTER = "_reportedBy"
"""The name under which the index keeps who reported the version, where that was a patient or somebody for one."""

TOPIC = "_topic"
"""The name under which the index keeps the URL of a SubscriptionTopic, which R4 stores as Basic."""
SUBSCRIBER = "_subscriber"
"""The name under which the index keeps whose a Subscription is."""


def index(resource: dict[str, Any], *, timezone: str = "UTC", base_url: str = "") -> dict[str, Any]:
    """Return the index entry of a resource, to be stored with it.

    `timezone` is the zone of times that carry no offset: the same that `parse` is given. References below `base_url`
    count as relative ones.
    """
    entry = Entry(resource, timezone, base_url)
    document = _written(entry, index_plan(resource["resourceType"]))
    words.index(resource, entry)
    _access(entry)
    if references.is_canonical_resource(resource["resourceType"]):
        references.index_canonical_urls(resource, entry)
    if resource["resourceType"] == "Bundle":
        document["shape"] = _with_embedded(entry, document["shape"])
    if "contained" in resource:
        _contained(entry)
    document["keys"] = list(dict.fromkeys(entry.keys))
    if entry.ranges:
        document["ranges"] = entry.ranges
    return document


def _access(entry: Entry) -> None:
    """Write the facts that decide who may see or change a resource, and that R4 has no search parameters for."""
    resource, kind = entry.resource, entry.resource["resourceType"]
    if kind == "Binary" and "securityContext" in resource:
        references.index("_securityContext", [Item("Reference", resource["securityContext"])], entry)
    if kind in SHARED_UNLESS_A_PATIENTS and is_shared(resource, entry.base_url):
        entry.keys.append(SHARED_KEY)
    if kind == "Subscription" and (owner := subscriber_of(resource)):
        entry.keys.append(f"{SUBSCRIBER}={clean(owner)}")
    if kind == "Basic" and (url := topic_url_of(resource)):
        entry.keys.append(f"{TOPIC}={clean(url)}")
    reporter = reporter_of(resource)
    if reporter is not None:
        entry.keys.append(f"{REPORTER}={clean(reporter)}")


def _written(entry: Entry, plan: IndexPlan) -> dict[str, Any]:
    """Write the facts of all parameters; return the entry's shape."""
    entry.keys.append(EVERY)
    resource = entry.resource
    present: set[str] = set()
    for path, names in plan.paths:
        try:
            items = path(resource)
        except TooCostly:
            note_overrun(resource["resourceType"], (name for name, _, _ in names))
            continue
        except FhirPathError:
            # A resource that an expression cannot be evaluated on has no value for the parameter.
            continue
        if items and any(map(_has_value, items)):
            for name, write, prefix in names:
                present.add(name)
                before = len(entry.keys)
                write(name, items, entry)
                if prefix and not any(key.startswith(prefix) for key in entry.keys[before:]):
                    entry.keys.append(unsorted_key(name))
    for path, name, write in plan.composites:
        before = len(entry.keys)
        try:
            write(name, path(resource), entry)
        except TooCostly:
            note_overrun(resource["resourceType"], (name,))
        if len(entry.keys) > before:
            present.add(name)
    present.update(name for name, parts in plan.unions if not present.isdisjoint(parts))
    return {"shape": ",".join(sorted(present))}


def _has_value(item: Item) -> bool:
    value = item[1]
    if value.__class__ is dict:
        return any(name not in ("extension", "id") for name in value)
    return value is not None


def _with_embedded(entry: Entry, shape: str) -> str:
    """Write the facts of the document's Composition or the message's header; return the shape with these."""
    resource = embedded.first_resource(entry.resource)
    if resource is None:
        return shape
    present = set(shape.split(","))
    for parameter in index_plan("Bundle").parameters.values():
        if embedded.is_embedded(parameter) and resource["resourceType"] in parameter.target:
            inner = Entry(resource, entry.timezone, entry.base_url)
            document = _written(inner, index_plan(resource["resourceType"]))
            words.index(resource, inner)
            if "contained" in resource:
                _contained(inner)
            present.update(embedded.add(parameter.code, entry, inner, document["shape"]))
    return ",".join(sorted(present))


def _contained(entry: Entry) -> None:
    """Write the entries of the contained resources, each as a tuple of its own below a key of its type."""
    written: list[tuple[Entry, dict[str, Any]]] = []
    for resource in entry.resource["contained"]:
        if isinstance(resource, Mapping) and "resourceType" in resource:
            own = Entry(dict(resource), entry.timezone, entry.base_url)
            written.append((own, _written(own, index_plan(resource["resourceType"]))))
    by_id = {own.resource["id"]: own for own, _ in written if isinstance(own.resource.get("id"), str)}
    marks = contained_chains.marks(entry.contained_references, by_id)
    for own, document in written:
        resource_id = own.resource.get("id", "")
        if by_id.get(resource_id) is own:
            contained_chains.mark(entry, own, marks.get(resource_id, ()))
        words.index(own.resource, own)
        stored = {**document, "_id": resource_id, "keys": list(dict.fromkeys(own.keys)), "ranges": own.ranges}
        name = contained_key(own.resource["resourceType"])
        entry.keys.append(name)
        entry.ranges.setdefault(name, []).append(stored)
