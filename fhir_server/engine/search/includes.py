"""Resources beside the matches: `_include` and `_revinclude`. https://hl7.org/fhir/R4/search.html#revinclude

References are read off the index keys of what has been found, so nothing is parsed; each round asks once for each type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fhir_server.engine.context import Context
from fhir_server.r4.references import local
from fhir_server.search.index.keys import CANONICAL, CANONICAL_MARK
from fhir_server.search.query.ast import Include
from fhir_server.search.query.criteria import chain_targets, is_canonical, key_names
from fhir_server.search.registry import Parameter, Parameters, parameters
from fhir_server.store.search.pages import Snapshot
from fhir_server.store.search.search import Row
from fhir_server.work.budget import spend, together
from fhir_server.work.threads import sized

Place = tuple[str, str]
"""A resource's type and id."""

_ROUNDS = 20


async def included(
    context: Context, includes: Sequence[Include], matches: Sequence[Row], limit: int, at: Snapshot
) -> list[Row]:
    """Return at most `limit` resources that the includes add to the matches of a page, without those that the caller
    may not see.

    `:iterate` goes on from what was included until nothing is new.
    """
    rows_by_place: dict[Place, Row] = {}
    seen: set[Place] = {(row.type, row.id) for row in matches}
    start: Sequence[Row] = matches
    current = includes
    for _ in range(_ROUNDS):
        fresh = await _round(context, current, start, seen, limit - len(rows_by_place), at)
        if not fresh:
            break
        rows_by_place.update(((row.type, row.id), row) for row in fresh)
        seen.update((row.type, row.id) for row in fresh)
        start, current = fresh, [each for each in includes if each.iterate]
        if not current or len(rows_by_place) >= limit:
            break
    return list(rows_by_place.values())[:limit]


_KEY_BYTES = 10
"""What looking at an index key is like, in bytes of JSON to parse."""


def _ids(includes: Sequence[Include], rows: Sequence[Row], seen: set[Place]) -> dict[str, set[str]]:
    """Return the ids of what the rows refer to, by type, beyond what was seen."""
    ids: dict[str, set[str]] = {}
    for resource_type, resource_id in _referred(includes, rows):
        if (resource_type, resource_id) not in seen:
            ids.setdefault(resource_type, set()).add(resource_id)
    return ids


def _keys_of(includes: Sequence[Include], rows: Sequence[Row], existing: Iterable[str]) -> dict[str, list[str]]:
    """Return, by type, the keys of what refers to the rows, and of what they refer to by a canonical URL."""
    return _joined(_referring(includes, rows, existing), _canonical_targets(includes, rows))


async def _round(  # noqa: PLR0917 - what is wanted, and of what
    context: Context, includes: Sequence[Include], rows: Sequence[Row], seen: set[Place], limit: int, at: Snapshot
) -> list[Row]:
    """Return what the includes lead to from these rows in one step, beyond what was seen."""
    forward = sum(not each.reverse for each in includes) * sum(len(row.keys) for row in rows)
    ids = await sized(_KEY_BYTES * forward, _ids, includes, rows, seen)
    existing = await context.services.search.types() if any(each.reverse for each in includes) else frozenset()
    backward = len(existing) * len(includes) * len(rows)
    keys = await sized(_KEY_BYTES * (forward + backward), _keys_of, includes, rows, existing)
    search, where = context.services.search, context.access.visible
    reads = [search.by_ids(name, sorted(values), where(name), limit, at) for name, values in sorted(ids.items())]
    hidden = {name: [place[1] for place in seen if place[0] == name] for name in keys}
    reads += [
        search.by_keys(name, values, where(name), limit, at, hidden[name]) for name, values in sorted(keys.items())
    ]
    fresh = {(row.type, row.id): row for rows in await together(*reads) for row in rows}
    return [row for place, row in fresh.items() if place not in seen][:limit]


# --- Forward -----------------------------------------------------------------------------------------------------


def _referred(includes: Iterable[Include], rows: Sequence[Row]) -> Iterable[Place]:
    for include in includes:
        if include.reverse:
            continue
        for row in rows:
            if include.source in ("*", row.type):
                yield from _targets(include, row)


def _targets(include: Include, row: Row) -> Iterable[Place]:
    named = _named(row.type, include.parameter)
    spend(len(row.keys))
    for key in row.keys:
        name, _, text = key.partition("=")
        if name in named:
            target = local(text)
            if target is None or include.target not in (None, target.type):
                continue
            if any(parameter.only in (None, target.type) for parameter in named[name]):
                yield target.type, target.id


def _names(resource_type: str, code: str) -> list[tuple[str, Parameter]]:
    """Return the index names of a reference parameter, or of all of them, and the parameter itself."""
    by_code = parameters(resource_type)
    kept = _kept_names.get((resource_type, code))
    if kept is None or kept[0] is not by_code:
        kept = _kept_names[resource_type, code] = (by_code, _names_in(by_code, resource_type, code))
    return kept[1]


_kept_names: dict[tuple[str, str], tuple[Parameters, list[tuple[str, Parameter]]]] = {}
"""What was found already, beside the parameters that it rests on; there are no more than parameters."""


def _named(resource_type: str, code: str) -> dict[str, list[Parameter]]:
    """Return the same by index name."""
    by_name: dict[str, list[Parameter]] = {}
    for name, parameter in _names(resource_type, code):
        by_name.setdefault(name, []).append(parameter)
    return by_name


def _names_in(by_code: Parameters, resource_type: str, code: str) -> list[tuple[str, Parameter]]:
    chosen = [each for each in by_code.values() if each.type == "reference" and code in ("*", each.code)]
    return [(name, each) for each in chosen for name in key_names(resource_type, each)]


def _canonical_targets(includes: Iterable[Include], rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return, for each type that canonical references of the rows may lead to, the keys of what they lead to."""
    keys_by_type: dict[str, dict[str, None]] = {}
    for include in includes:
        for row in rows:
            if not include.reverse and include.source in ("*", row.type):
                for name, parameter in _names(row.type, include.parameter):
                    urls = _after(f"{name}{CANONICAL_MARK}", row)
                    for target in chain_targets(parameter, include.target) if urls else ():
                        keys_by_type.setdefault(target, {}).update(dict.fromkeys(f"{CANONICAL}{url}" for url in urls))
    return {target: list(keys) for target, keys in keys_by_type.items()}


def _after(prefix: str, row: Row) -> list[str]:
    return [key[len(prefix) :] for key in row.keys if key.startswith(prefix)]


def _joined(*several: Mapping[str, list[str]]) -> dict[str, list[str]]:
    keys_by_type: dict[str, list[str]] = {}
    for each in several:
        for name, keys in each.items():
            keys_by_type.setdefault(name, []).extend(keys)
    return {name: keys for name, keys in keys_by_type.items() if keys}


# --- Reverse -----------------------------------------------------------------------------------------------------


def _referring(includes: Iterable[Include], rows: Sequence[Row], existing: Iterable[str]) -> dict[str, list[str]]:
    """Return, for each type that may refer to the rows, the keys that it would do so by."""
    keys_by_type: dict[str, dict[str, None]] = {}
    for include in includes:
        if include.reverse:
            for source in existing if include.source == "*" else (include.source,):
                keys = keys_by_type.setdefault(source, {})
                for name, parameter in _names(source, include.parameter):
                    keys.update(dict.fromkeys(_keys(name, parameter, include.target, rows)))
    return {source: list(keys) for source, keys in keys_by_type.items()}


def _keys(name: str, parameter: Parameter, target: str | None, rows: Sequence[Row]) -> Iterable[str]:
    canonical = is_canonical(parameter)
    spend(len(rows))
    for row in rows:
        if parameter.only in (None, row.type) and target in (None, row.type):
            if canonical:
                yield from (f"{name}{CANONICAL_MARK}{url}" for url in _after(CANONICAL, row))
            else:
                yield f"{name}={row.type}/{row.id}"
