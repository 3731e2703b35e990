"""A search, understood: criteria with what each asks of every type searched, and how the results are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from fhir_server.search.query.conditions import Condition, every

Total: TypeAlias = Literal["none", "estimate", "accurate"]
Summary: TypeAlias = Literal["true", "text", "data", "count", "false"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One search parameter as it stood in the URL, and its condition for each type searched."""

    name: str
    value: str
    conditions: Mapping[str, Condition]


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of `_sort`: `path` is the parameter, or a chain of reference parameters that ends in one."""

    path: tuple[str, ...]
    descending: bool
    kind: str
    """The search parameter type that the values have."""
    text: str


@dataclass(frozen=True, slots=True)
class Include:
    """One `_include` or `_revinclude`: `source` refers by `parameter` (`*`: any) to `target` (None: any type)."""

    source: str
    parameter: str
    target: str | None
    reverse: bool
    iterate: bool
    text: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A parameter that lenient handling leaves out, and why."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Query:
    """A search of one or more resource types.

    Give it to `query.compile_query` for the database, to `match.matches` for a decision in memory, to `url.to_url` for
    a link.
    """

    types: tuple[str, ...]
    criteria: tuple[Criterion, ...] = ()
    sort: tuple[SortKey, ...] = ()
    count: int | None = None
    total: Total | None = None
    summary: Summary | None = None
    elements: tuple[str, ...] = ()
    includes: tuple[Include, ...] = ()
    contained: Literal["false", "true", "both"] = "false"
    contained_type: Literal["container", "contained"] = "container"
    explain: bool = False
    page: str | None = None
    """The opaque value of a paging link, not looked into here."""
    ignored: tuple[Ignored, ...] = ()
    within: Mapping[str, Condition] = field(default_factory=dict)
    """A compartment: what each type must meet beside the criteria."""
    words: tuple[tuple[str, ...], ...] = ()
    """The keys of each word that a text search asks for: how many of them a resource has is its score."""
    results: tuple[tuple[str, str], ...] = ()
    """The result parameters (`_sort`, `_count` and their like) as they stood in the URL."""

    @property
    def unconditional(self) -> bool:
        """Whether there is no criterion, so that everything matches."""
        return not self.criteria

    def condition(self, resource_type: str) -> Condition:
        """Return what all criteria, and the compartment, ask of a resource of the type."""
        conditions = [criterion.conditions[resource_type] for criterion in self.criteria]
        return every([self.within[resource_type], *conditions] if resource_type in self.within else conditions)
