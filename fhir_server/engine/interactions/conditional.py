"""Criteria of conditional interactions: which resources they find, and the key that keeps parallel callers apart.

https://hl7.org/fhir/R4/http.html#cond-update
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qsl

from fhir_server.engine.context import Context
from fhir_server.engine.disclosure import note_question
from fhir_server.engine.search.heft import heft
from fhir_server.engine.search.resolve_terminology import settle
from fhir_server.errors import BadRequest, Issue, PreconditionFailed
from fhir_server.search.planner.query import compile_query
from fhir_server.search.query.ast import Query
from fhir_server.search.query.match import unmet
from fhir_server.search.query.parse import WRITING, parse
from fhir_server.search.query.url import to_url
from fhir_server.store.resources.resources import Version
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
        raise BadRequest(f"The criteria of a conditional interaction only select; {what} has no place there.")
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
    unmet_names = await sized(size, unmet_criteria, context, query, resource)
    names = ", ".join(dict.fromkeys(name[:80] for name in unmet_names))
    if not names:
        return ()
    text = f"The stored resource does not meet its own criteria ({names}): the same request will not find it again."
    return (Issue("business-rule", text, (), "warning"),)


def condition_key(context: Context, resource_type: str, query: Query) -> str:
    """Return the key under which only one resource may be created: a hash of the criteria, however they were spelt.

    What the caller may see is a part of it, since for another caller the same criteria find something else.
    """
    seen = context.access.where(resource_type)
    text = f"{resource_type}?{to_url(query)}" + (f" {seen}" if seen is not None else "")
    return hashlib.sha256(text.encode()).hexdigest()[:40]


async def find_one(context: Context, query: Query) -> Version | None:
    """Return the one resource that meets the criteria, or None; raises PreconditionFailed where there are several."""
    ids = await find_all(context, query, 2)
    if len(ids) > 1:
        raise PreconditionFailed(f"{to_url(query)} finds several resources.", code="multiple-matches")
    if not ids:
        return None
    found = await context.services.resources.read(query.types[0], ids[0], session=context.session)
    return None if found is None or found.deleted else found


async def find_all(context: Context, query: Query, limit: int) -> list[str]:
    """Return the ids of at most `limit` resources that meet the criteria and that the caller may see."""
    settled = await settle(context, query)
    plan = await sized(heft(parse_qsl(to_url(query))), compile_query, settled, access=context.access.visible)
    return await context.services.search.ids(plan, limit, session=context.session)
