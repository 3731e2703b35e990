"""Filling a database without HTTP: resources as the store would keep them, written in bulk by several processes.

A million resources over HTTP take an hour; so they take minutes. The collections and their indexes must be there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pymongo import MongoClient
from pymongo.errors import BulkWriteError

from fhir_server.engine.versions import stamp
from fhir_server.r4 import values
from fhir_server.search.index.index import index
from fhir_server.store.database.encoding import encode
from fhir_server.store.resources.documents import Draft, to_document

_BATCH = 500
_TAKEN = 11000
_SHARE = 1_000
"""Records that a process writes before it takes others."""

Json = dict[str, Any]
Record = Callable[[int], list[Json]]
"""Returns the entries of a transaction that belongs to a number."""


def fill(database_url: str, record: Record, numbers: range, base_url: str, name: str = "fhir") -> None:
    """Store the records of all numbers; nobody is told of them, as of what is loaded."""
    shares = [numbers[first : first + _SHARE] for first in range(0, len(numbers), _SHARE)]
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        for outcome in [processes.submit(_fill_share, database_url, record, each, base_url, name) for each in shares]:
            outcome.result()


def _fill_share(database_url: str, record: Record, numbers: range, base_url: str, name: str) -> None:
    entries = (entry for number in numbers for entry in record(number))
    with MongoClient[Json](database_url) as client:
        while batch := list(islice(entries, _BATCH)):
            by_type: dict[str, list[Any]] = {}
            for draft in _drafts(batch, base_url):
                by_type.setdefault(draft.type, []).append(encode(to_document(draft, None)))
            for resource_type, documents in by_type.items():
                try:
                    client[name][resource_type].insert_many(documents, ordered=False)
                except BulkWriteError as error:
                    # What a run that was ended has left stays as it is.
                    if any(each["code"] != _TAKEN for each in error.details["writeErrors"]):
                        raise


def _drafts(entries: list[Json], base_url: str) -> Iterator[Draft]:
    for entry in entries:
        resource_type, _, resource_id = entry["request"]["url"].partition("/")
        now = datetime.now(UTC)
        updated = now.replace(microsecond=now.microsecond // 1000 * 1000)
        resource = stamp(values.decode(json.dumps(entry["resource"]).encode()), resource_id, 1, updated)
        yield Draft(
            type=resource_type,
            id=resource_id,
            version=1,
            updated=updated,
            method="PUT",
            json=values.encode(resource),
            resource=resource,
            index=index(resource, base_url=base_url),
            quiet=True,
        )
