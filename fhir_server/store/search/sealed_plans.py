"""Plans for an encrypted database: what is read of its key index by keys as they are written there.

What the index cannot be asked for in that way is read some other way: filters decide in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from fhir_server.search.index.blind_keys import BlindKeys
from fhir_server.search.planner.inside import Source, Start
from fhir_server.search.planner.query import Plan, TypePlan
from fhir_server.search.planner.scans import ALL, EVERYTHING_RANK, AccessPath, Equal, Falling, KeyRange, Scan
from fhir_server.store.encryption.database_cipher import DatabaseCipher

_EVERYTHING = AccessPath(EVERYTHING_RANK, (ALL,))


def sealed_plan(plan: Plan, cipher: DatabaseCipher) -> Plan:
    """Return a plan for the database; one that was returned by this stays as it is."""
    types = tuple(each if cipher.resources(each.collection) is None else _type(each, cipher) for each in plan.types)
    return replace(plan, types=types)


def _type(plan: TypePlan, cipher: DatabaseCipher) -> TypePlan:
    blind = cipher.ring.blind
    drives = [path for each in plan.drives if (path := _path(each, blind)) is not None]
    counted = plan.range_count
    in_order = counted is not None and all(
        _scan(each, blind) == each for each in (counted.span, *counted.others, *counted.doubtful)
    )
    return replace(
        plan,
        drives=tuple(drives) or (_EVERYTHING,),
        sources=tuple(source for each in plan.sources if (source := _source(each, cipher)) is not None),
        orders=() if any(each.texts for each in plan.sort) else plan.orders,
        range_count=counted if in_order else None,
        exact=plan.exact and bool(drives),
    )


def _path(path: AccessPath, blind: BlindKeys) -> AccessPath | None:
    scans = _scans(path.scans, blind)
    return None if scans is None else replace(path, scans=scans)


def _source(source: Source, cipher: DatabaseCipher) -> Source | None:
    starts: list[Start] = []
    for start in source.starts:
        scan = _scan(start.scan, cipher.ring.blind)
        if scan is None:
            return None
        starts.append(replace(start, scan=scan))
    return Source(tuple(starts))


def _scans(scans: Sequence[Scan], blind: BlindKeys) -> tuple[Scan, ...] | None:
    written = [*map(partial(_scan, blind=blind), scans)]
    stated = tuple(scan for scan in written if scan is not None)
    return stated if len(stated) == len(written) else None


def _scan(scan: Scan, blind: BlindKeys) -> Scan | None:
    """Return what reads the same documents; None where no stretch of the index holds them."""
    match scan:
        case Equal(keys):
            return Equal(tuple(map(blind.key, keys)))
        case KeyRange(low, high) | Falling(low, high):
            span = blind.span(low, high)
            return None if span is None else replace(scan, low=span[0], high=span[1])
    return scan
