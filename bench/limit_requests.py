"""The limit program's side of each workload."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

from bench.client import Target
from bench.corpus import patient

Requests = Iterator[tuple[bytes, int]]
# As many as `bench.limit` prepares; that module is not imported because it connects to its database.
_DOCUMENTS, _GROUPS = 2000, 50


def read(target: Target) -> Requests:
    """Find one document by id."""
    return ((target.request("GET", f"read/{number}"), 1) for number in _cycle(_DOCUMENTS))


def search(target: Target) -> Requests:
    """Find one document by key."""
    return ((target.request("GET", f"search/{number}"), 1) for number in _cycle(_DOCUMENTS))


def page(target: Target) -> Requests:
    """Find twenty sorted documents."""
    return ((target.request("GET", f"page/{number}"), 1) for number in _cycle(_GROUPS))


def insert(target: Target) -> Requests:
    """Insert a document of a patient's size."""
    body = json.dumps(patient(1, "limit")).encode()
    return ((target.request("POST", "insert", body), 1) for _ in itertools.count())


def replace(target: Target) -> Requests:
    """Replace a document by one of a patient's size."""
    body = json.dumps(patient(1, "limit")).encode()
    return ((target.request("PUT", f"replace/{number}", body), 1) for number in _cycle(_DOCUMENTS))


def bulk(target: Target, bundles: list[tuple[bytes, int]]) -> Requests:
    """Insert the bytes of bundles, one document an entry."""
    for body, entries in itertools.cycle(bundles):
        yield target.request("POST", f"bulk/{entries}", body), entries


def _cycle(count: int) -> Iterator[int]:
    return itertools.cycle(range(count))
