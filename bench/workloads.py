"""The workloads: for each its requests, those of the limit program beside it, and the share of the limit to reach."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench import limit_requests
from bench.client import Target
from bench.corpus import CODES, SYLLABLES, SYSTEM, Corpus, numbers, patient

Requests = Iterator[tuple[bytes, int]]


@dataclass(frozen=True)
class Workload:
    """Requests against a FHIR base; `limit` gives those for the limit program, `mark` the ratio of the two to reach."""

    name: str
    requests: Callable[[], Requests]
    statuses: frozenset[int]
    limit: Callable[[Target], Requests]
    mark: float
    concurrencies: tuple[int, ...] | None = None
    """Where it has its own; else those of the run."""
    searches: bool = False
    """Whether the answers are pages, of which an empty one would be suspicious."""


def workloads(target: Target, corpus: Corpus, aged: list[str], bundles: list[tuple[bytes, int]]) -> list[Workload]:
    """Return all workloads on what has been loaded."""
    ok, created = frozenset({200}), frozenset({201})
    get = _Get(target)
    readings = [f"Observation?subject=Patient/{name}&code=http://loinc.org|{CODES[0]}" for name in corpus.observed]
    newest = [f"{query}&_sort=-date&_count=20" for query in readings]
    included = [f"{query}&_include=Observation:subject" for query in newest]
    reads = [f"Patient/{name}" for name in corpus.patients]
    histories = [f"Patient/{name}/_history" for name in aged]
    limit = limit_requests
    return [
        Workload("read", get.each(reads), ok, limit.read, 0.70),
        Workload("create", lambda: _creates(target, corpus.run), created, limit.insert, 0.80),
        Workload("update", lambda: _updates(target, corpus), ok, limit.replace, 0.70),
        Workload("conditional create", lambda: _conditional(target, corpus.run), created, limit.insert, 0.60),
        Workload("search by identifier", get.each(_by_identifier(corpus)), ok, limit.search, 0.65, searches=True),
        Workload("search by family prefix", get.each(_by_family()), ok, limit.page, 0.45, searches=True),
        Workload("search by birthdate range", get.each(_by_birthdate()), ok, limit.page, 0.45, searches=True),
        Workload("Observation, sorted", get.each(newest), ok, limit.page, 0.45, searches=True),
        Workload("Observation, _include", get.each(included), ok, limit.page, 0.35, searches=True),
        Workload("history", get.each(histories), ok, limit.page, 0.50, searches=True),
        Workload("transaction bundles", lambda: _bundles(target, bundles), ok, _limit_of(bundles), 0.20, (1,)),
        Workload("transaction bundles, 4", lambda: _bundles(target, bundles), ok, _limit_of(bundles), 0.28, (4,)),
    ]


@dataclass(frozen=True)
class _Get:
    target: Target

    def each(self, paths: list[str]) -> Callable[[], Requests]:
        """Return what gives a GET of each path, shuffled, over and over."""
        encoded = [(self.target.request("GET", path.replace("|", "%7C")), 1) for path in paths]
        random.Random(1).shuffle(encoded)
        return lambda: itertools.cycle(encoded)


def _creates(target: Target, run: str) -> Requests:
    for number in numbers():
        yield target.request("POST", "Patient", json.dumps(patient(number, f"{run}-c")).encode()), 1


def _conditional(target: Target, run: str) -> Requests:
    for number in numbers():
        body = json.dumps(patient(number, f"{run}-n")).encode()
        condition = f"identifier={SYSTEM}%7C{run}-n-{number}"
        yield target.request("POST", "Patient", body, If_None_Exist=condition), 1


def _updates(target: Target, corpus: Corpus) -> Requests:
    # Twenty patients are left alone: theirs is the history of five versions.
    names = corpus.patients[:-20]
    for version, (number, name) in zip(numbers(), itertools.cycle(enumerate(names)), strict=False):
        changed = patient(number, corpus.run) | {"id": name, "multipleBirthInteger": version}
        yield target.request("PUT", f"Patient/{name}", json.dumps(changed).encode()), 1


def _bundles(target: Target, bundles: list[tuple[bytes, int]]) -> Requests:
    for body, entries in itertools.cycle(bundles):
        yield target.request("POST", "", body), entries


def _limit_of(bundles: list[tuple[bytes, int]]) -> Callable[[Target], Requests]:
    return lambda target: limit_requests.bulk(target, bundles)


def _by_identifier(corpus: Corpus) -> list[str]:
    return [f"Patient?identifier={SYSTEM}|{corpus.run}-{number}" for number in range(len(corpus.patients))]


def _by_family() -> list[str]:
    return [f"Patient?family={prefix}&_count=20" for prefix in SYLLABLES]


def _by_birthdate() -> list[str]:
    return [f"Patient?birthdate=ge{year}-01-01&birthdate=lt{year + 3}-07-01&_count=20" for year in range(1931, 2016)]
