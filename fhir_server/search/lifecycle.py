"""The life of an added search parameter, as steps from one state to the next: pure, and the same for every worker.

`writing`: resources are indexed by it, but not yet all of them. `active`: it is searched. `withdrawn`: it is no longer
searched, and still written for those who do not know yet. `refused`: to index by it took too much; it is neither
written nor searched until its definition changes. Each change of the set has a number, the revision; a step
that needs every worker's consent waits until all of them go by the revision that asked for it. So a search never meets
a resource that lacks the keys of its parameters:

- every worker writes a parameter's keys before the pass that indexes what is stored begins, and the pass ends before
  anybody searches by it;
- nobody searches by a parameter any more when the first worker stops writing its keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from fhir_server.r4.definitions import SearchParameter
from fhir_server.search import custom

WRITING, ACTIVE, WITHDRAWN, REFUSED = "writing", "active", "withdrawn", "refused"


class Wish(msgspec.Struct, frozen=True):
    """A search parameter that is to be used, with those of a composite's components that are added ones themselves."""

    definition: SearchParameter
    components: tuple[SearchParameter, ...] = ()


class Entry(msgspec.Struct, frozen=True):
    """An added search parameter: how far it has come, and the revision that asked workers to write it or let it go."""

    wish: Wish
    phase: str
    since: int


class Pass(msgspec.Struct, frozen=True):
    """The indexing of every stored resource of some types, for all parameters that were written by a revision.

    `types` are those still to do, the first of them beyond the id `after`; the counts are of resources.
    """

    revision: int
    types: tuple[str, ...]
    after: str = ""
    total: int = 0
    done: int = 0
    failed: int = 0


class State(msgspec.Struct, frozen=True):
    """All added search parameters."""

    revision: int = 0
    entries: tuple[Entry, ...] = ()
    running: Pass | None = None
    failure: str = ""
    """What the last pass could not index."""
    edit: int = 0
    """Counts every change that is stored, progress included."""


def wishes(resources: Iterable[Mapping[str, Any]]) -> dict[str, Wish]:
    """Return what valid SearchParameter resources ask for, by URL."""
    by_url = {
        each.url: each
        for resource in resources
        if (each := custom.definition(resource)) and not custom.faults(resource)
    }
    definitions = {url: _with_components(each, by_url) for url, each in by_url.items()}
    return {url: each for url, each in definitions.items() if each is not None}


def _with_components(definition: SearchParameter, by_url: Mapping[str, SearchParameter]) -> Wish | None:
    """Return the wish; None where a component is no parameter that could be one."""
    added = []
    for component in definition.component:
        if custom.is_official(component.definition):
            continue
        component_definition = by_url.get(component.definition)
        if component_definition is None or component_definition.type == "composite":
            return None
        added.append(component_definition)
    return Wish(definition, tuple(added))


def wished(state: State, wishes_by_url: Mapping[str, Wish]) -> State:
    """Return the state that begins to follow what is wanted; the same one where it does."""
    kept = [entry for each in state.entries if (entry := _kept(each, wishes_by_url, state.revision + 1))]
    there = {entry.wish.definition.url for entry in kept}
    # A code that another parameter still has, under another URL, is free only when that one is gone.
    taken = {entry.wish.definition.code for entry in kept}
    added = [
        Entry(wish, WRITING, state.revision + 1)
        for url, wish in sorted(wishes_by_url.items())
        if url not in there and wish.definition.code not in taken
    ]
    entries = (*kept, *added)
    return state if entries == state.entries else replace(state, revision=state.revision + 1, entries=entries)


def _kept(entry: Entry, wishes_by_url: Mapping[str, Wish], revision: int) -> Entry | None:
    if entry.phase == WITHDRAWN or wishes_by_url.get(entry.wish.definition.url) == entry.wish:
        return entry
    return Entry(entry.wish, WITHDRAWN, revision) if entry.phase == ACTIVE else None


def agreed(state: State, revision: int) -> State:
    """Return what follows when every worker goes by the `revision`: withdrawn parameters go, a pass begins."""
    entries = tuple(entry for entry in state.entries if entry.phase != WITHDRAWN or entry.since > revision)
    if entries != state.entries:
        return replace(state, revision=state.revision + 1, entries=entries)
    if state.running is not None:
        return state
    ready = [entry for entry in entries if entry.phase == WRITING and entry.since <= revision]
    if not ready:
        return state
    types = sorted({name for entry in ready for name in custom.types(entry.wish.definition)})
    return replace(state, running=Pass(revision, tuple(types)))


def finished(state: State) -> State:
    """Return what follows when the pass is through: what it was for is searched, unless nothing could be indexed.

    A resource that could not be is told of, and not found by the added parameters; others do not wait for it.
    """
    run = state.running
    if run is None:
        return state
    missing = run.failed or (run.total and not run.done)
    text = f"Of {run.total} resources {run.done} were indexed, and {run.failed} could not be." if missing else ""
    if run.total and not run.done:
        return replace(state, running=None, failure=text)
    entries = tuple(
        Entry(entry.wish, ACTIVE, entry.since) if entry.phase == WRITING and entry.since <= run.revision else entry
        for entry in state.entries
    )
    return replace(state, revision=state.revision + 1, entries=entries, running=None, failure=text)


def refused(state: State, codes: Collection[str]) -> State:
    """Return what follows when to index by added parameters of these codes takes too much; the same state for none."""
    entries = tuple(
        Entry(entry.wish, REFUSED, state.revision + 1)
        if entry.wish.definition.code in codes and entry.phase in (WRITING, ACTIVE)
        else entry
        for entry in state.entries
    )
    return state if entries == state.entries else replace(state, revision=state.revision + 1, entries=entries)


def doubted(state: State, revision_seen: int) -> State:
    """Return what follows when a worker may have written without what came after `revision_seen`: a new pass."""
    revision = state.revision + 1
    entries = tuple(
        Entry(entry.wish, WRITING, revision)
        if entry.phase in (WRITING, ACTIVE) and entry.since > revision_seen
        else entry
        for entry in state.entries
    )
    return state if entries == state.entries else replace(state, revision=revision, entries=entries)
