"""What a bulk export is asked for: its parameters, checked. https://hl7.org/fhir/uv/bulkdata/STU2/export.html#query-parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import parse_qsl

import msgspec

from fhir_server.engine.context import Context, instant
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.engine.routes import Route
from fhir_server.engine.search.resolve_terminology import resolve_terminology
from fhir_server.errors import BadRequest, Forbidden
from fhir_server.r4.definitions import RESOURCE_TYPES, table
from fhir_server.r4.references import local
from fhir_server.search.query.ast import Query
from fhir_server.search.query.compartments import compartment_types
from fhir_server.search.query.parse import parse

FORMATS = frozenset({"application/fhir+ndjson", "application/ndjson", "ndjson"})

Level = Literal["system", "patient", "group"]

_UNSAID = frozenset({"AuditEvent"})
"""Types that are exported only where they are named: an export of everything would export who made it."""
_PROVENANCE = "RelevantProvenanceResources"
_BETWEEN_FILTERS = re.compile(r",(?=[A-Z][A-Za-z]+\?)")
_MOST_FILTERS = 100


class ExportParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of an export; `filters` are queries without their type, by type."""

    level: Level
    types: tuple[str, ...]
    since: datetime | None = None
    until: datetime | None = None
    filters: dict[str, tuple[str, ...]] = {}
    elements: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    """The only patients whose data is wanted; all where there are none."""
    group: str = ""
    provenance: bool = False
    """Whether Provenance is there only for what is exported beside it."""


async def read_parameters(context: Context, route: Route, inputs: Inputs) -> ExportParameters:
    """Return what an export asks for.

    Raises BadRequest for what it cannot ask, and Forbidden for types that the caller may not search.
    """
    level: Level = "system" if route.type is None else "patient" if route.type == "Patient" else "group"
    _require_format(inputs)
    provenance = _asks_provenance(inputs)
    types = _types(context, level, inputs, provenance=provenance)
    since, until = _instant(inputs, "_since"), _instant(inputs, "_until")
    if since is not None and until is not None and until < since:
        raise BadRequest(f"_until ({instant(until)}) lies before _since ({instant(since)}).", code="value")
    parameters = ExportParameters(
        level=level,
        types=types,
        since=since,
        until=until,
        filters=_filters(inputs, types),
        elements=_elements(inputs),
        patients=_patients(context, level, inputs),
        group=route.id or "",
        provenance=provenance,
    )
    for resource_type in parameters.filters:
        await filter_queries(context, parameters, resource_type)  # refuses what cannot be searched for, before the 202
    return parameters


async def filter_queries(context: Context, parameters: ExportParameters, resource_type: str) -> list[Query]:
    """Return the queries one of which a resource of the type must meet; none where all are wanted."""
    queries = []
    for text in parameters.filters.get(resource_type, ()):
        query = parse(
            (resource_type,),
            parse_qsl(text, keep_blank_values=True),
            strict=True,
            timezone=context.services.settings.default_timezone,
            base_url=context.base_url,
        )
        if query.results or query.includes or query.page:
            raise BadRequest(
                f"_typeFilter={resource_type}?{text[:200]} holds more than criteria: sorting, paging and includes have "
                "no meaning in an export.",
                code="not-supported",
            )
        queries.append(await resolve_terminology(context, query))
    return queries


def _require_format(inputs: Inputs) -> None:
    output_format = inputs.one("_outputFormat")
    if output_format is not None and output_format.partition(";")[0].strip() not in FORMATS:
        raise BadRequest(
            f"_outputFormat is {' or '.join(sorted(FORMATS))}, not {output_format[:80]!r}.", code="not-supported"
        )


def _listed(inputs: Inputs, name: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for text in inputs.all(name) for part in text.split(",")))


def _asks_provenance(inputs: Inputs) -> bool:
    names = _listed(inputs, "includeAssociatedData")
    for name in names:
        if name != _PROVENANCE:
            raise BadRequest(
                f"includeAssociatedData={name[:80]} is not supported; {_PROVENANCE} is.", code="not-supported"
            )
    return bool(names)


def _types(context: Context, level: Level, inputs: Inputs, *, provenance: bool) -> tuple[str, ...]:
    possible = RESOURCE_TYPES if level == "system" else compartment_types("Patient")
    named = _listed(inputs, "_type")
    for name in named:
        if name not in RESOURCE_TYPES:
            raise BadRequest(f"_type names {name[:80]!r}, which is not a resource type of FHIR R4.", code="value")
        if name not in possible:
            raise BadRequest(f"_type names {name}, which is in no patient's compartment.", code="value")
        context.access.require("search-type", name)
    if provenance:
        context.access.require("search-type", "Provenance")
        named += ["Provenance"] if named and "Provenance" not in named else []
    types = named or sorted(name for name in possible - _UNSAID if _may_search(context, name))
    if not types:
        raise Forbidden("The access token has no scope for searching any resource type.")
    return tuple(types)


def _may_search(context: Context, resource_type: str) -> bool:
    try:
        context.access.require("search-type", resource_type)
    except Forbidden:
        return False
    return True


def _instant(inputs: Inputs, name: str) -> datetime | None:
    text = inputs.one(name)
    if text is None:
        return None
    time = datetime.fromisoformat(text).astimezone(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def _filters(inputs: Inputs, types: Sequence[str]) -> dict[str, tuple[str, ...]]:
    texts = [part for text in inputs.all("_typeFilter") for part in _BETWEEN_FILTERS.split(text)]
    if len(texts) > _MOST_FILTERS:
        raise BadRequest(f"There are {len(texts)} type filters; at most {_MOST_FILTERS} are taken.", code="too-costly")
    filters: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, mark, query = text.strip().partition("?")
        if not mark or name not in types:
            raise BadRequest(
                f"_typeFilter={text[:200]!r} is not a query on one of the types that are exported, such as "
                "Observation?category=laboratory.",
                code="value",
            )
        filters[name] = (*filters.get(name, ()), query)
    return filters


def _elements(inputs: Inputs) -> tuple[str, ...]:
    names = _listed(inputs, "_elements")
    for name in names:
        first, _, rest = name.partition(".")
        if first in RESOURCE_TYPES:
            if not _is_element(rest, (first,)):
                raise BadRequest(f"_elements names {name[:80]!r}: {first} has no such element.", code="value")
        elif not _is_element(name, RESOURCE_TYPES):
            raise BadRequest(f"_elements names {name[:80]!r}, which no resource type has.", code="value")
    return tuple(names)


def _is_element(name: str, types: Iterable[str]) -> bool:
    return any(
        name in table(each).elements or any(element.startswith(name) for element in table(each).elements)
        for each in types
        if name
    )


def _patients(context: Context, level: Level, inputs: Inputs) -> tuple[str, ...]:
    references = inputs.all("patient")
    if references and level == "system":
        raise BadRequest("patient is a parameter of Patient/$export and Group/[id]/$export.", code="not-supported")
    ids = []
    for reference in references:
        text = str(reference.get("reference", ""))
        named = local(text, context.base_url)
        if named is None or named.type != "Patient" or named.version is not None:
            raise BadRequest(f"patient is a reference such as Patient/123, not {text[:80]!r}.", code="value")
        ids.append(named.id)
    return tuple(dict.fromkeys(ids))
