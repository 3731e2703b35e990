"""Sort keys in the database: as an order in which the key index can be read, and as values of collected documents.

The lowest value of several counts in an ascending sort, the highest in a descending one.
https://hl7.org/fhir/R4/search.html#_sort
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.search.ast import SortKey
from fhir_server.search.joins import Filter
from fhir_server.search.scans import Absent, Scan, UpdatedWalk, Walk

_FAMILIES = {"string": "=", "token": "=", "reference": "=", "uri": "=", "number": "<", "quantity": "<", "date": "<"}


@dataclass(frozen=True, slots=True)
class SortField:
    """One sort key: the expression of a document's value, null where there is none, after `stages`."""

    expression: Any
    descending: bool
    stages: tuple[Filter, ...] = ()


def sorted_scans(keys: tuple[SortKey, ...]) -> tuple[Scan, ...]:
    """Return scans that read all documents in this order; none where the index has no such order."""
    if len(keys) != 1 or len(keys[0].path) > 1:
        return ()
    key, name = keys[0], keys[0].path[0]
    if key.kind == "_lastUpdated":
        return (UpdatedWalk(None, None, key.descending),)
    if key.kind == "date" and key.descending:
        return Walk(f"{name}>", f"{name}?"), Absent(name)
    if key.kind not in _FAMILIES or key.descending:
        return ()
    low, high = _family(key.kind, name)
    return Walk(low, high), Absent(name)


def _family(kind: str, name: str) -> tuple[str, str]:
    operator = _FAMILIES[kind]
    return f"{name}{operator}", f"{name}{chr(ord(operator) + 1)}"


def sort_field(key: SortKey) -> SortField:
    """Return how the sort key's value is found in a collected document."""
    name = key.path[-1]
    extreme = "$max" if key.descending else "$min"
    if key.kind == "_id":
        return SortField("$_id", key.descending)
    if key.kind == "_lastUpdated":
        return SortField("$updated", key.descending)
    if key.kind == "date":
        return SortField({extreme: f"$ranges.{name}.{'h' if key.descending else 'l'}"}, key.descending)
    low, high = _family(key.kind, name)
    between = {"$and": [{"$gte": ["$$this", low]}, {"$lt": ["$$this", high]}]}
    return SortField({extreme: {"$filter": {"input": "$keys", "as": "this", "cond": between}}}, key.descending)
