"""Criteria of conditional interactions: which resources they find, and the key that keeps parallel callers apart.

https://hl7.org/fhir/R4/http.html#cond-update
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fhir_server.engine.context import Context
from fhir_server.engine.disclosure import note_question
from fhir_server.engine.search.heft import heft
from fhir_server.engine.search.resolve_terminology import resolve_terminology
from fhir_server.errors import BadRequest, Issue, PreconditionFailed
from fhir_server.search.planner.query import compile_query
from fhir_server.search.planner.scans import few_have
from fhir_server.search.query.ast import Query
from fhir_server.search.query.match import unmet, unmet_by
from fhir_server.search.query.parse import WRITING, parse
from fhir_server.search.query.url import to_url
from fhir_server.store.resources.matches import MOST_MATCHES, KeyCriteria
from fhir_server.store.resources.resources import Draft, Version
from fhir_server.work.threads import sized


async def criteria(context: Context, resource_type: str, query: str, resource: Any = None) -> Query:
    """Return the query tree of a conditional interaction's criteria: `name=value&...`, with `Type?` or this server's
    `base/Type?` before it or not.

    A plus sign that was not escaped is read as a space, unless `resource`, the body that the criteria are about, meets
    them with the plus alone. Raises BadRequest where they are empty or name an unknown parameter: a condition that is
    ignored matches everything.
    """
    context.access.require("search-type", resource_type)
    pairs = parse_qsl(_without_path(context, resource_type, query), keep_blank_values=True)
    note_question(resource_type, pairs)
    return await sized(heft(pairs), _criteria, context, resource_type, pairs, resource)


def _criteria(context: Context, resource_type: str, pairs: list[tuple[str, str]], resource: Any) -> Query:
    if isinstance(resource, dict):
        pairs = [_as_meant(context, resource_type, pair, resource) for pair in pairs]
    parsed = _parsed(context, resource_type, pairs)
    if parsed.unconditional:
        raise BadRequest(f"A conditional {resource_type} interaction needs search criteria.", code="required")
    controls = [name for name, _ in (*parsed.results, *pairs) if name in WRITING or (name, _) in parsed.results]
    if controls or parsed.includes:
        # Who says _count=1 beside _multiple=true would not expect that all matches are deleted.
        what = controls[0][:80] if controls else parsed.includes[0].text[:80]
        raise BadRequest(f"The criteria of a conditional interaction only select; {what} is not allowed there.")
    return parsed


def _parsed(context: Context, resource_type: str, pairs: list[tuple[str, str]]) -> Query:
    timezone = context.services.settings.default_timezone
    return parse((resource_type,), pairs, strict=True, timezone=timezone, base_url=context.base_url)


def _without_path(context: Context, resource_type: str, query: str) -> str:
    """Return the criteria alone; raises BadRequest where they are those of another type or server."""
    path, mark, rest = query.partition("?")
    if not mark or "=" in path:
        return query
    if path.removeprefix(f"{context.base_url}/").strip("/") not in ("", resource_type):
        raise BadRequest(f"The criteria {path[:100]}? are not about {resource_type} of this server.", code="value")
    return rest


def _as_meant(context: Context, resource_type: str, pair: tuple[str, str], resource: Any) -> tuple[str, str]:
    name, value = pair
    if " " not in value:
        return pair
    with_plus = (name, value.replace(" ", "+"))
    better = unmet_criteria(context, _parsed(context, resource_type, [pair]), resource) and not unmet_criteria(
        context, _parsed(context, resource_type, [with_plus]), resource
    )
    return with_plus if better else pair


def unmet_criteria(context: Context, query: Query, resource: dict[str, Any]) -> list[str]:
    """Return the names of the criteria that a resource does not meet, as far as it alone decides."""
    timezone = context.services.settings.default_timezone
    return unmet(query, resource, timezone=timezone, base_url=context.base_url)


async def warnings(context: Context, query: Query, resource: dict[str, Any], size: int) -> tuple[Issue, ...]:
    """Return what to tell a caller whose resource of that size does not meet the criteria that it was stored under."""
    return _issues_of(await sized(size, unmet_criteria, context, query, resource))


def warnings_of(query: Query, draft: Draft) -> tuple[Issue, ...]:
    """Return the same of a draft, whose index decides."""
    entry = {**draft.index, "_id": draft.id, "updated": draft.updated}
    return _issues_of(unmet_by(query, draft.type, entry))


def _issues_of(unmet_names: list[str]) -> tuple[Issue, ...]:
    names = ", ".join(dict.fromkeys(name[:80] for name in unmet_names))
    if not names:
        return ()
    text = f"The stored resource does not meet its own criteria ({names}): the same request will not find it again."
    return (Issue("business-rule", text, (), "warning"),)


def condition_key(context: Context, resource_type: str, query: Query) -> str:
    """Return the key under which only one resource may be created: a hash of the criteria, however they were spelt.

    What the caller may see is a part of it, since for another caller the same criteria find something else.
    """
    seen = context.access.visible(resource_type)
    text = f"{resource_type}?{to_url(query)}" + (f" {seen}" if seen is not None else "")
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class Matches:
    """The resources that criteria find: at most two."""

    query: Query
    versions: Sequence[Version] = ()
    confirmed: bool = False
    """Whether a majority has them, so that they may be acknowledged."""

    @property
    def one(self) -> Version | None:
        """The one that there is, or None; raises PreconditionFailed where there are several."""
        if len(self.versions) > 1:
            raise PreconditionFailed(f"{to_url(self.query)} finds several resources.", code="multiple-matches")
        return self.versions[0] if self.versions else None


async def find_one(context: Context, query: Query) -> Version | None:
    """Return the one resource that meets the criteria, or None; raises PreconditionFailed where there are several."""
    return (await find_matches(context, query)).one


async def find_matches(context: Context, query: Query) -> Matches:
    """Return what meets the criteria."""
    [matches] = await find_each(context, [query])
    return matches


_TOGETHER = 200
"""Criteria that one command asks about."""


async def find_each(context: Context, queries: Sequence[Query]) -> list[Matches]:
    """Return what meets each of the criteria: by one command for those of a type that keys decide which few have."""
    matches_by_number: dict[int, Matches] = {}
    by_type: dict[str, list[tuple[int, KeyCriteria]]] = defaultdict(list)
    for position, query in enumerate(queries):
        condition = query.condition(query.types[0])
        if keys := few_have(condition):
            by_type[query.types[0]].append((position, KeyCriteria(keys, condition)))
    for resource_type, numbered in by_type.items():
        for start in range(0, len(numbered), _TOGETHER):
            some = numbered[start : start + _TOGETHER]
            versions = await _by_keys(context, resource_type, [criteria for _, criteria in some])
            for (position, _), each in zip(some, versions, strict=True):
                if each is not None:
                    matches_by_number[position] = Matches(queries[position], each, confirmed=context.session is None)
    for position, query in enumerate(queries):
        if position not in matches_by_number:
            matches_by_number[position] = Matches(query, await _searched(context, query))
    return [matches_by_number[position] for position in range(len(queries))]


async def _by_keys(context: Context, resource_type: str, criteria: Sequence[KeyCriteria]) -> list[list[Version] | None]:
    where = context.access.visible(resource_type)
    return await context.services.resources.matches(resource_type, criteria, where=where, session=context.session)


async def _searched(context: Context, query: Query) -> list[Version]:
    ids = await find_all(context, query, MOST_MATCHES)
    resources = context.services.resources
    matches = [await resources.read(query.types[0], each, session=context.session) for each in ids]
    return [version for version in matches if version is not None and not version.deleted]


async def find_all(context: Context, query: Query, limit: int) -> list[str]:
    """Return the ids of at most `limit` resources that meet the criteria and that the caller may see."""
    resolved = await resolve_terminology(context, query)
    plan = await sized(heft(parse_qsl(to_url(query))), compile_query, resolved, access=context.access.visible)
    return await context.services.search.ids(plan, limit, session=context.session)
