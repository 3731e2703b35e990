"""The search parameters of each resource type: the official ones, and those added while the server runs.

An added one is first only written into the index (`indexed_parameters`), and searched (`parameters`) when every
resource has been indexed by it.

Many parameters say the same about the same element. To keep the index lean, one that is a union of others (`combo-
code` of `code` and `component-code`), or another restricted to one target type (`patient` of `subject`), writes no
keys of its own: it is searched through theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from fhir_server.r4.definitions import RESOURCE_TYPES, SearchParameter, search_parameters, table

UNINDEXED = frozenset({"_id", "_lastUpdated", "_text", "_content", "_query", "_filter"})
"""Parameters answered otherwise than by keys of their own."""


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a composite: what kind of parameter it is, and its expression on the composite's element."""

    parameter: Parameter
    expression: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter of one resource type; `branches` are the paths of its expression that concern that type."""

    code: str
    type: str
    branches: tuple[str, ...]
    target: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()
    url: str = ""
    phonetic: bool = False
    parts: tuple[str, ...] = ()
    """Parameters that together are this one; empty where it has keys of its own."""
    only: str | None = None
    """The one target type, where this is the parameter in `parts` restricted to it."""

    @property
    def expression(self) -> str:
        """The expression on the resource type."""
        return " | ".join(self.branches)


Parameters = Mapping[str, Parameter]

_custom: dict[str, SearchParameter] = {}
_searched: set[str] = set()
_cached: dict[tuple[str, bool], Parameters] = {}


def register(searched: Iterable[SearchParameter], indexed: Iterable[SearchParameter] = ()) -> None:
    """Replace the parameters beyond the official ones: those that are searched, and those that are only indexed yet."""
    searched, indexed = tuple(searched), tuple(indexed)
    _custom.clear()
    _custom.update((parameter.url, parameter) for parameter in (*indexed, *searched))
    _searched.clear()
    _searched.update(parameter.url for parameter in searched)
    _cached.clear()
    _by_url.cache_clear()


@lru_cache(maxsize=1)
def _by_url() -> Mapping[str, SearchParameter]:
    return {parameter.url: parameter for parameter in (*search_parameters(), *_custom.values())}


def parameters(resource_type: str) -> Parameters:
    """Return the search parameters of a resource type by their code, those of all types included.

    The same object until `register` changes the set.
    """
    return _cached_parameters(resource_type, searched=True)


def indexed_parameters(resource_type: str) -> Parameters:
    """Return the parameters that a resource of the type is indexed by: also those that are not yet searched."""
    return _cached_parameters(resource_type, searched=False)


@lru_cache(maxsize=256)
def official_parameters(resource_type: str) -> Parameters:
    """Return the official search parameters of a resource type by their code."""
    by_code = _of_type(search_parameters(), resource_type)
    return {code: _shared(parameter, by_code) for code, parameter in sorted(by_code.items())}


def _cached_parameters(resource_type: str, *, searched: bool) -> Parameters:
    cached = _cached.get((resource_type, searched))
    if cached is None:
        cached = _cached[resource_type, searched] = _collect(resource_type, searched=searched)
    return cached


def _collect(resource_type: str, *, searched: bool) -> Parameters:
    official = official_parameters(resource_type)
    custom = [each for each in _custom.values() if not searched or each.url in _searched]
    # Added ones share keys with official ones alone: those come and go with no other parameter.
    added = {code: _shared(each, official) for code, each in _of_type(custom, resource_type).items()}
    return dict(sorted({**added, **official}.items()))


def _of_type(published: Iterable[SearchParameter], resource_type: str) -> dict[str, Parameter]:
    bases = _bases(resource_type)
    by_code: dict[str, Parameter] = {}
    for each in published:
        if any(base in bases for base in each.base):
            by_code.setdefault(each.code, _parameter(each, resource_type))
    return by_code


@lru_cache(maxsize=256)
def _bases(resource_type: str) -> frozenset[str]:
    base = table(resource_type).base
    return frozenset({resource_type}) | (_bases(base) if base is not None else frozenset())


_CROSSED = frozenset({"http://hl7.org/fhir/SearchParameter/DocumentReference-relationship"})
"""Published composites that name the parameters of their components in the wrong order: the code is no reference."""


_UNTYPED = "Bundle.entry[0].resource"
"""The published path of Bundle's `composition` and of its `message`, which says of neither that it is one."""


def _parameter(published: SearchParameter, resource_type: str) -> Parameter:
    order = -1 if published.url in _CROSSED else 1
    components = tuple(
        Component(_parameter(_by_url()[definition], resource_type), component.expression)
        for component, definition in zip(
            published.component, [each.definition for each in published.component][::order], strict=True
        )
        if definition in _by_url()
    )
    targets = tuple(name for name in published.target if name in RESOURCE_TYPES)
    return Parameter(
        code=published.code,
        type=published.type,
        branches=branches(_typed(published, targets), resource_type),
        target=targets,
        components=components,
        url=published.url,
        phonetic=published.xpathUsage == "phonetic",
    )


def _typed(published: SearchParameter, targets: tuple[str, ...]) -> str:
    if published.expression != _UNTYPED:
        return published.expression
    return " | ".join(f"{_UNTYPED}.ofType({target})" for target in targets)


# --- Expressions -------------------------------------------------------------------------------------------------

_ROOT = re.compile(r"[\s(]*([A-Z][A-Za-z]+)\b")


def branches(expression: str, resource_type: str) -> tuple[str, ...]:
    """Return the paths of a union that concern the resource type."""
    return tuple(branch for branch in split_union(expression) if _concerns(branch, resource_type))


def split_union(expression: str) -> list[str]:
    """Return the members of a union, split where no parenthesis is open."""
    members, depth, start = [], 0, 0
    for position, character in enumerate(expression):
        depth += (character == "(") - (character == ")")
        if character == "|" and depth == 0:
            members.append(expression[start:position].strip())
            start = position + 1
    members.append(expression[start:].strip())
    return [branch for branch in members if branch]


def _concerns(branch: str, resource_type: str) -> bool:
    match = _ROOT.match(branch)
    return match is None or match[1] in _bases(resource_type) or match[1] not in _types()


@lru_cache(maxsize=1)
def _types() -> frozenset[str]:
    return RESOURCE_TYPES | {"Resource", "DomainResource"}


# --- Sharing -----------------------------------------------------------------------------------------------------

_RESTRICTED = re.compile(r"(.+)\.where\(resolve\(\) is ([A-Za-z]+)\)")


def _shared(parameter: Parameter, others: Mapping[str, Parameter]) -> Parameter:
    if parameter.phonetic or parameter.code in UNINDEXED:
        return parameter
    restricted = [_RESTRICTED.fullmatch(branch) for branch in parameter.branches]
    if parameter.type == "reference" and len(restricted) == 1 and restricted[0]:
        whole = _covering(parameter, (restricted[0][1],), others)
        return replace(parameter, parts=whole, only=restricted[0][2]) if len(whole) == 1 else parameter
    if len(parameter.branches) > 1:
        return replace(parameter, parts=_covering(parameter, parameter.branches, others))
    return parameter


def _covering(parameter: Parameter, paths: tuple[str, ...], others: Mapping[str, Parameter]) -> tuple[str, ...]:
    """Return other parameters whose paths are together just these; none where there are no such."""
    paths_left = set(paths)
    codes: list[str] = []
    for other in sorted(others.values(), key=lambda each: -len(each.branches)):
        if paths_left and _alike(parameter, other) and set(other.branches) <= paths_left:
            codes.append(other.code)
            paths_left -= set(other.branches)
    return () if paths_left else tuple(codes)


def _alike(parameter: Parameter, other: Parameter) -> bool:
    return (
        other.code != parameter.code
        and other.type == parameter.type
        and not other.phonetic
        and other.code not in UNINDEXED
        and [component.expression for component in other.components]
        == [component.expression for component in parameter.components]
    )
