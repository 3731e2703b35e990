"""Loading a code system of SNOMED CT's size and form, and asking it: `make bench-terminology`.

    python -m bench.terminology [--concepts 350000] [--requests 500] [--folder FOLDER]

The content is made up: concepts with several parents, four texts each, and attributes in groups, written as RF2 files
and loaded from these. Each shape of request draws its values anew. Times are those of the library on one thread, which
is what a request costs beyond HTTP and the database's look at what there is.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import terminology
from fhir_server.vocabulary.building import Builder
from fhir_server.vocabulary.mapped import MappedCodeSystem
from fhir_server.vocabulary.readers import snomed
from fhir_server.vocabulary.readers.files import Release
from terminology import Coding, MemorySource
from terminology.operations.expand import ExpandRequest
from terminology.operations.lookup import LookupRequest
from terminology.operations.subsumes import SubsumesRequest
from terminology.operations.validate import ValidateRequest
from terminology.systems.implicit import SNOMED, implicit_value_set
from tests.vocabulary.snomed_files import Made, write

Json = dict[str, Any]

_ROOT = 138875005
_FIRST = 100_000_000
_SYLLABLES = [
    first + last for first in ("ba", "co", "du", "fe", "gi", "lo", "mu", "ne") for last in ("l", "rt", "s", "n")
]
_ATTRIBUTES = ("363698007", "116676008", "246075003")


def concepts(number: int, seed: int = 1) -> Iterator[Made]:
    """Yield a polyhierarchy with four texts and two attributes a concept."""
    choice = random.Random(seed)
    yield Made(str(_ROOT), "Root")
    for place in range(number - 1):
        code = _FIRST + place
        parents = {str(_FIRST + choice.randrange(max(0, place // 12 - 20), place // 12 + 1)) for _ in range(2)}
        parents.discard(str(code))
        words = [_word(choice) for _ in range(3)]
        relations = [
            (choice.choice(_ATTRIBUTES), str(_FIRST + choice.randrange(1000)), 1),
            (choice.choice(_ATTRIBUTES), str(_FIRST + choice.randrange(1000)), 1),
        ]
        synonyms = [" ".join(reversed(words)), f"{words[0]} {place}"] if place % 3 else [words[1]]
        yield Made(str(code), " ".join(words), sorted(parents) or [str(_ROOT)], synonyms, relations)


def _word(choice: random.Random) -> str:
    return "".join(choice.choice(_SYLLABLES) for _ in range(choice.randrange(2, 5)))


class Shapes:
    """The shapes of requests, each drawing its values."""

    def __init__(self, system: MappedCodeSystem, number: int) -> None:
        self._source = MemorySource(code_systems=[system])
        self._number = number
        self._choice = random.Random(7)

    def _code(self, most: int | None = None) -> str:
        return str(_FIRST + self._choice.randrange(min(self._number - 2, most or self._number)))

    def _value_set(self, *filters: tuple[str, str, str]) -> Json:
        include: Json = {"system": SNOMED}
        if filters:
            include["filter"] = [{"property": name, "op": op, "value": value} for name, op, value in filters]
        url = f"urn:bench:{self._choice.random()}"
        return {"resourceType": "ValueSet", "url": url, "status": "active", "compose": {"include": [include]}}

    def lookup(self) -> None:
        """Look a code up."""
        terminology.lookup(LookupRequest(Coding(SNOMED, code=self._code())), self._source)

    def subsumes(self) -> None:
        """Ask whether one code subsumes another."""
        one, other = Coding(SNOMED, code=self._code(20_000)), Coding(SNOMED, code=self._code())
        terminology.subsumes(SubsumesRequest(one, other), self._source)

    def validate_all(self) -> None:
        """Validate a code in the value set of all codes."""
        self._validate(implicit_value_set(f"{SNOMED}?fhir_vs") or {})

    def validate_is_a(self) -> None:
        """Validate a code in an implicit value set of a concept and what is below it."""
        self._validate(implicit_value_set(f"{SNOMED}?fhir_vs=isa/{self._code(20_000)}") or {})

    def _validate(self, value_set: Json) -> None:
        request = ValidateRequest([Coding(SNOMED, code=self._code())], resource=value_set)
        terminology.validate_in_value_set(request, self._source)

    def _expand(self, value_set: Json, text: str | None = None, offset: int = 0) -> None:
        request = ExpandRequest(resource=value_set)
        request.options.filter, request.options.offset, request.options.count = text, offset, 20
        terminology.expand(request, self._source)

    def expand_is_a(self) -> None:
        """Expand a page of what is below a large concept."""
        self._expand(self._value_set(("concept", "is-a", self._code(200))), offset=self._choice.randrange(5) * 20)

    def text_over_all(self) -> None:
        """Filter all codes by two beginnings of words."""
        self._expand(self._value_set(), " ".join(_word(self._choice)[:4] for _ in range(2)))

    def one_letter_over_all(self) -> None:
        """Filter all codes by one letter."""
        self._expand(self._value_set(), self._choice.choice("bcdfgl"))

    def is_a_with_text(self) -> None:
        """Filter what is below a large concept by the beginning of a word."""
        self._expand(self._value_set(("concept", "is-a", self._code(200))), _word(self._choice)[:4])

    def is_a_with_property(self) -> None:
        """Expand what is below a concept and has an attribute with a value, by a text."""
        value = (self._choice.choice(_ATTRIBUTES), "=", self._code(1000))
        self._expand(self._value_set(("concept", "is-a", self._code(200)), value), self._choice.choice("bcdf"))

    def constraint(self) -> None:
        """Expand an expression constraint with an attribute of a hierarchy."""
        text = f"< {self._code(200)} : {self._choice.choice(_ATTRIBUTES)} = << {self._code(300)}"
        self._expand(self._value_set(("constraint", "=", text)))


def shapes(made: Shapes) -> dict[str, Callable[[], None]]:
    """Return the shapes by their names."""
    names = [name for name in vars(Shapes) if not name.startswith("_")]
    return {name: getattr(made, name) for name in names}


def load(folder: Path, number: int) -> MappedCodeSystem:
    """Write the release, load it and print how long each took."""
    began = time.perf_counter()
    release = write(folder / "release", concepts(number))
    print(f"written in {time.perf_counter() - began:.1f} s")
    path = folder / "bench.vocabulary"
    began, cpu = time.perf_counter(), time.process_time()
    builder = Builder(path, lambda step, count: None)
    system = snomed.read([Release(release)], builder)
    builder.finish(system)
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    size = path.stat().st_size / 1e6
    rate = builder.count / used
    print(f"{builder.count} concepts loaded in {seconds:.1f} s ({used:.1f} s CPU, {rate:.0f}/s), {size:.0f} MB")
    return MappedCodeSystem(path)


def main() -> None:
    """Make, load and ask."""
    parser = argparse.ArgumentParser(description="Load and ask a code system of SNOMED CT's size.")
    parser.add_argument("--concepts", type=int, default=350_000)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        system = load(options.folder or Path(temporary), options.concepts)
        print(f"{'shape':24} {'p50 ms':>9} {'p95 ms':>9} {'CPU ms':>9} {'/s of CPU':>10}")
        for name, shape in shapes(Shapes(system, options.concepts)).items():
            _measure(name, shape, options.requests)


def _measure(name: str, shape: Callable[[], None], requests: int) -> None:
    shape()
    times, cpu = [], time.process_time()
    for _ in range(requests):
        began = time.perf_counter()
        shape()
        times.append((time.perf_counter() - began) * 1000)
    used = (time.process_time() - cpu) * 1000 / requests
    p95 = statistics.quantiles(times, n=20)[-1]
    print(f"{name:24} {statistics.median(times):9.2f} {p95:9.2f} {used:9.2f} {1000 / used:10.0f}", flush=True)


if __name__ == "__main__":
    main()
