"""From URL parameters to a query. https://hl7.org/fhir/R4/search.html"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from fhir_server.errors import BadRequest
from fhir_server.search.params import words
from fhir_server.search.params.reading import Scope
from fhir_server.search.query.ast import Criterion, Ignored, Query
from fhir_server.search.query.conditions import Condition
from fhir_server.search.query.controls import Controls, read_control
from fhir_server.search.query.criteria import UnknownParameter, condition
from fhir_server.search.query.filtering import filter_condition

WRITING = frozenset({"_format", "_pretty", "_page"})
"""Parameters that are no part of what is asked: how the answer is written, and which page of it."""


def parse(
    types: Sequence[str],
    params: Sequence[tuple[str, str]],
    *,
    strict: bool,
    timezone: str = "UTC",
    base_url: str = "",
    now: datetime | None = None,
) -> Query:
    """Return the query that decoded URL parameters ask of the types.

    Parameters that a type does not have, and those without a value, are in `Query.ignored`, or raise BadRequest where
    `strict`. A modifier that is not allowed and a value that cannot be read raise BadRequest always. `timezone` is the
    IANA zone of times without an offset, the same that `index` was given.
    """
    scope = Scope(timezone, now or datetime.now(UTC), base_url.rstrip("/"))
    controls = Controls(tuple(types))
    criteria: list[Criterion] = []
    results: list[tuple[str, str]] = []
    ignored: list[Ignored] = []
    for name, value in params:
        try:
            if value == "":
                raise UnknownParameter(f"{name[:80]!r} has no value.")
            if read_control(controls, name, value):
                if name not in WRITING:
                    results.append((name, value))
            else:
                criteria.append(Criterion(name, value, _conditions(types, name, value, scope)))
        except UnknownParameter as error:
            if strict:
                raise BadRequest(str(error), code="not-supported") from error
            ignored.append(Ignored(name, value, str(error)))
    _drop_without_effect(controls, results, ignored, strict=strict)
    return Query(
        types=tuple(types),
        criteria=tuple(criteria),
        includes=tuple(controls.includes),
        ignored=tuple(ignored),
        words=_words(criteria),
        results=tuple(results),
        **controls.fields,
    )


def _drop_without_effect(
    controls: Controls, results: list[tuple[str, str]], ignored: list[Ignored], *, strict: bool
) -> None:
    """Take out `_containedType` where no contained resources are searched; raises BadRequest where `strict`."""
    if "contained_type" in controls.fields and controls.fields.get("contained", "false") == "false":
        reason = "_containedType has no effect without _contained=true or both."
        if strict:
            raise BadRequest(reason, code="not-supported")
        ignored.append(Ignored("_containedType", controls.fields.pop("contained_type"), reason))
        results[:] = [pair for pair in results if pair[0] != "_containedType"]


def _words(criteria: Sequence[Criterion]) -> tuple[tuple[str, ...], ...]:
    pairs = [(each.name, each.value) for each in criteria if each.name in words.NAMES]
    return tuple(dict.fromkeys(keys for name, text in pairs for keys in words.keys_of(name, text)))


def _conditions(types: Sequence[str], name: str, value: str, scope: Scope) -> dict[str, Condition]:
    read = _filter if name == "_filter" else condition
    if not types:
        # Nothing is stored that could be searched; the question is checked all the same.
        for resource_type in _UNALIKE:
            read(resource_type, name, value, scope)
    return {resource_type: read(resource_type, name, value, scope) for resource_type in types}


_UNALIKE = ("Patient", "Binary")
"""Types that have no search parameters in common but those of all types."""


def _filter(resource_type: str, name: str, value: str, scope: Scope) -> Condition:
    return filter_condition(resource_type, value, scope)
