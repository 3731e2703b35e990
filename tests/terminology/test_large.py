"""Content that is too large to walk: what an operation may ask of it, and what not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

import terminology
from terminology import (
    Coding,
    ExpandRequest,
    Filter,
    Limits,
    LookupRequest,
    MemorySource,
    Options,
    Selection,
    SubsumesRequest,
    TerminologyError,
    ValidateRequest,
)
from terminology.model.concepts import CodeSystemInfo, Concept, Designation

URL = "http://example.org/numbers"
LARGEST = 10**9


@dataclass
class Numbers:
    """A billion codes: each number is below itself without its last digit."""

    read: int = 0
    info: CodeSystemInfo = field(default_factory=lambda: CodeSystemInfo(URL, "1", language="en"))

    def concept(self, code: str) -> Concept | None:
        if not code.isdigit() or code.startswith("0") or int(code) >= LARGEST:
            return None
        self.read += 1
        return Concept(code, f"Number {code}", designations=(Designation(f"Number {code}", "en", preferred=True),))

    def children(self, code: str | None) -> Sequence[str]:
        return [f"{code or ''}{digit}" for digit in range(10) if code or digit]

    def parents(self, code: str) -> Sequence[str]:
        return [code[:-1]] if len(code) > 1 else []

    def subsumes(self, ancestor: str, code: str) -> bool:
        return code.startswith(ancestor)

    def understands(self, condition: Filter) -> bool:
        return (condition.property, condition.op) == ("concept", "is-a")

    def select(self, selection: Selection) -> Below:
        return Below(self, selection.filters[0].value if selection.filters else "1")


@dataclass
class Below:
    """The numbers below one, in an order that has a formula."""

    system: Numbers
    root: str

    def __contains__(self, code: str) -> bool:
        return code.startswith(self.root)

    def count(self) -> int | None:
        return sum(10**digits for digits in range(10 - len(self.root)))

    def page(self, offset: int = 0, limit: int | None = None) -> Iterator[Concept]:
        index = offset
        while limit is None or index < offset + limit:
            digits = len(str(9 * index + 1)) - 1
            first = (10**digits - 1) // 9
            code = self.root + (str(index - first).zfill(digits) if digits else "")
            result = self.system.concept(code)
            if result is None:
                return
            yield result
            index += 1


def below(*roots: str, **compose: Any) -> dict[str, Any]:
    filters = [[{"property": "concept", "op": "is-a", "value": root}] for root in roots]
    return {
        "resourceType": "ValueSet",
        "compose": {"include": [{"system": URL, "filter": each} for each in filters], **compose},
    }


def test_questions_about_one_code_read_few() -> None:
    """Lookup, validation in a filter and in an exclude, and subsumption read the codes in question."""
    numbers = Numbers()
    source = MemorySource(code_systems=[numbers])
    terminology.lookup(LookupRequest(Coding(URL, None, "12345678")), source)
    excluding = below("1", exclude=below("13")["compose"]["include"])
    for code, valid in (("12345678", True), ("13579", False), ("2", False), ("0", False)):
        request = ValidateRequest([Coding(URL, None, code)], resource=excluding)
        assert terminology.validate_in_value_set(request, source).valid == valid
    pair = SubsumesRequest(Coding(URL, None, "1"), Coding(URL, None, "123"))
    assert terminology.subsumes(pair, source) == "subsumes"
    assert numbers.read < 50


def test_a_page_reads_what_is_on_it() -> None:
    """Wherever it begins; the total is the code system's own."""
    numbers = Numbers()
    source = MemorySource(code_systems=[numbers])
    request = ExpandRequest(resource=below("1"), options=Options(count=10, offset=50_000_000))
    page = terminology.expand(request, source)
    assert page.total == 111_111_111
    assert len(page.contains) == 10
    assert numbers.read <= 20


def test_a_page_of_several_includes_reads_as_far_as_it_goes() -> None:
    """Its total is not told where counting takes too long."""
    numbers = Numbers()
    source = MemorySource(code_systems=[numbers])
    request = ExpandRequest(resource=below("1", "2"), options=Options(count=10, offset=100))
    page = terminology.expand(request, source, Limits(visited=5_000))
    assert (page.total, len(page.contains)) == (None, 10)
    assert numbers.read <= 6_000


def test_all_of_it_is_too_costly_at_once() -> None:
    """Whether the code system tells its size or not."""
    numbers = Numbers()
    source = MemorySource(code_systems=[numbers])
    for value_set in (below("1"), below("1", "2")):
        with pytest.raises(TerminologyError) as error:
            terminology.expand(ExpandRequest(resource=value_set), source)
        assert error.value.code == "too-costly"
    assert numbers.read <= 2_100
