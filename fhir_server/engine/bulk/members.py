"""Whose data an export at the level of patients or of a Group is about. https://hl7.org/fhir/R4/group.html"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from fhir_server.engine.bulk.parameters import ExportParameters
from fhir_server.engine.context import Context
from fhir_server.engine.search.resolve_terminology import resolve_terminology
from fhir_server.errors import BadRequest, NotFound, NotSupported
from fhir_server.r4 import values
from fhir_server.r4.references import local
from fhir_server.search.params.dates import date_range
from fhir_server.search.query.conditions import HasId
from fhir_server.search.query.parse import parse
from fhir_server.store.resources.as_of import Selection, slice_after

_MEMBER_FILTER = "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/member-filter"
_QUERY = "application/x-fhir-query"
_MOST_GROUPS = 100
_SLICE = 1000


@dataclass(frozen=True, slots=True)
class Members:
    """Ids of patients; `new` are those who came into the Group after `_since`, whose whole record is wanted."""

    ids: frozenset[str]
    new: frozenset[str] = frozenset()


async def members_of(context: Context, parameters: ExportParameters, moment: datetime) -> Members | None:
    """Return whose data is wanted, as of a moment; None where it is everybody's.

    Raises NotFound for a Group that the caller does not see, or that has been erased meanwhile.
    """
    if not parameters.group:
        return Members(frozenset(parameters.patients)) if parameters.patients else None
    ids = await _of_group(context, parameters.group, moment)
    earlier = ids if parameters.since is None else await _earlier(context, parameters.group, parameters.since)
    if parameters.patients:
        strangers = sorted(set(parameters.patients) - ids)
        if strangers:
            raise BadRequest(f"Patient/{strangers[0]} is not a member of Group/{parameters.group}.", code="value")
        ids &= set(parameters.patients)
    return Members(frozenset(ids), frozenset(ids - earlier))


async def _earlier(context: Context, group: str, since: datetime) -> set[str]:
    """Return the members that a Group had at an earlier time: nobody where it was not there."""
    try:
        return await _of_group(context, group, since)
    except NotFound:
        return set()


async def _of_group(context: Context, group: str, moment: datetime) -> set[str]:
    """Return the patients in a Group, and in those that are its members, at the moment."""
    seen: set[str] = set()
    ids: set[str] = set()
    waiting = [group]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if len(seen) > _MOST_GROUPS:
            raise BadRequest(f"Group/{group} holds more than {_MOST_GROUPS} Groups.", code="too-costly")
        resource = await _group(context, name, moment, required=name == group)
        for reference in _references(resource, moment):
            named = local(reference, context.base_url)
            if named is not None and named.type == "Patient":
                ids.add(named.id)
            elif named is not None and named.type == "Group":
                waiting.append(named.id)
        for query in _member_filters(resource):
            ids |= await _meeting(context, query, moment)
    return ids


async def _group(context: Context, group: str, moment: datetime, *, required: bool) -> Mapping[str, Any]:
    selection = Selection("Group", HasId((group,)), access=lambda name: context.access.visible(name, "read"))
    groups = await slice_after(context.services.resources, selection, moment, "", 1)
    if not groups.resources:
        if required:
            raise NotFound(f"Group/{group} does not exist.")
        return {}
    resource: Mapping[str, Any] = values.decode(groups.resources[0].version.json)
    return resource


def _references(group: Mapping[str, Any], moment: datetime) -> Iterator[str]:
    """Yield the references of those who belong to the Group at the moment."""
    for member in group.get("member", ()):
        end = (member.get("period") or {}).get("end")
        if member.get("inactive") is True or (end is not None and date_range(end, "UTC")[1] <= moment):
            continue
        reference = (member.get("entity") or {}).get("reference")
        if isinstance(reference, str):
            yield reference


def _member_filters(group: Mapping[str, Any]) -> Iterator[str]:
    """Yield the queries that say who belongs to a Group that is described instead of listed."""
    queries = [
        extension.get("valueExpression") or {}
        for extension in [*group.get("extension", ()), *group.get("modifierExtension", ())]
        if extension.get("url") == _MEMBER_FILTER
    ]
    for expression in queries:
        if expression.get("language") != _QUERY or not str(expression.get("expression", "")).startswith("Patient?"):
            raise NotSupported(f"A member filter is a query on Patient, in the language {_QUERY}.")
        yield str(expression["expression"]).partition("?")[2]
    if group.get("actual") is False and group.get("characteristic") and not queries:
        raise NotSupported(
            f"Group/{group.get('id')} is described by characteristics; who they mean must be said by the extension "
            f"{_MEMBER_FILTER}."
        )


async def _meeting(context: Context, text: str, moment: datetime) -> set[str]:
    """Return the patients that met a query at the moment, and that the caller sees."""
    query = parse(
        ("Patient",),
        parse_qsl(text, keep_blank_values=True),
        strict=True,
        timezone=context.services.settings.default_timezone,
        base_url=context.base_url,
    )
    condition = (await resolve_terminology(context, query)).condition("Patient")
    selection = Selection("Patient", condition, context.access.visible)
    ids: set[str] = set()
    after: str | None = ""
    while after is not None:
        part = await slice_after(context.services.resources, selection, moment, after, _SLICE)
        ids.update(match.version.id for match in part.resources)
        after = part.last
    return ids
