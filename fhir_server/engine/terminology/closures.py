"""$closure: keeps for a client which of the concepts that it has met are below others.

https://hl7.org/fhir/R4/conceptmap-operation-closure.html
"""

from __future__ import annotations

from fhir_server.engine.access import owner_of
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.engine.routes import Route
from fhir_server.engine.terminology import definitions, sent
from fhir_server.engine.terminology.content import mentioned, with_content
from fhir_server.engine.terminology.faults import refusing
from fhir_server.engine.terminology.sent_parameters import Json, read_parameters
from fhir_server.errors import BadRequest, Conflict, NotFound
from fhir_server.r4 import values
from fhir_server.store.terminology.closures import ClosureTables, Code, Entry, Table
from fhir_server.work.budget import spend
from terminology import ClosureEntry, Coding, LayeredSource, Limits, MemorySource, Source, extend_closure
from terminology.model.codings import read_coding
from terminology.parameters.reader import ParametersReader
from terminology.parameters.results import write_closure

_TRIES = 20
_LONGEST_NAME = 200
_STEPS_A_PAIR = 4
MOST_CONCEPTS = 1000
"""Concepts that one request may add."""


async def closure(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Begin a table by its name alone; add concepts to one, or tell what it has since a version: a ConceptMap.

    Raises NotFound for a table that was not begun, BadRequest, and TerminologyFault for a concept that is not known.
    """
    if context.session is not None or context.pending is not None:
        raise BadRequest(
            "$closure keeps a table of its own, so it cannot be part of a transaction.", code="not-supported"
        )
    parameters = await sent.with_kept(context, read_parameters(context, request, definitions.CLOSURE))
    with refusing():
        reader = ParametersReader(parameters)
        name, since = reader.text("name") or "", reader.text("version")
        added = [read_coding(each) for each in reader.elements("concept", "Coding")]
        brought = reader.resources("tx-resource")
    if not name or len(name) > _LONGEST_NAME:
        raise BadRequest(f"The parameter name has 1 to {_LONGEST_NAME} characters.", code="required")
    if len(added) > MOST_CONCEPTS:
        raise BadRequest(f"A request adds {MOST_CONCEPTS} concepts at most.", code="too-costly", expression="concept")
    tables, owner = context.services.stores.closures, owner_of(context.access)
    if since is not None:
        return await _replayed(tables, owner, name, since, added)
    if not added:
        await tables.begin(owner, name)
        return _answer(name, 0, [])
    for _ in range(_TRIES):
        table = await _table(tables, owner, name)
        extended, entries = await _extended(context, table, added, parameters, brought)
        if await tables.replace(owner, name, extended):
            return _answer(name, extended.version, entries)
    raise Conflict(f"The closure table {name[:80]!r} is changed by others all the time; try again.")


async def _replayed(tables: ClosureTables, owner: str, name: str, since: str, added: list[Coding]) -> Response:
    if added:
        raise BadRequest("version asks what was added since, so no concept stands beside it.", expression="version")
    if not since.isdecimal() or not since.isascii() or len(since) > 9:
        raise BadRequest("version is one that an answer of $closure had.", expression="version", code="value")
    table = await _table(tables, owner, name)
    entries = [_entry(table, each) for each in table.entries if each.since > int(since)]
    return _answer(name, table.version, entries)


async def _table(tables: ClosureTables, owner: str, name: str) -> Table:
    table = await tables.read(owner, name)
    if table is None:
        raise NotFound(f"There is no closure table {name[:80]!r} of yours; create it by sending its name alone.")
    return table


async def _extended(
    context: Context, table: Table, added: list[Coding], parameters: Json, brought: list[Json]
) -> tuple[Table, list[ClosureEntry]]:
    """Return what follows the table when concepts are added, and what that adds."""
    former = [_coding(each) for each in table.codes]

    def work(source: Source) -> list[ClosureEntry]:
        layered = LayeredSource(MemorySource(brought), source) if brought else source
        entries: list[ClosureEntry] = []
        limits = Limits(spend=lambda pairs: spend(_STEPS_A_PAIR * pairs))
        for place, coding in enumerate(added):
            entries += extend_closure([*former, *added[:place]], [coding], layered, limits)
        return entries

    with refusing():
        entries = await with_content(context, work, mentioned(parameters), brought)
    codes = list(table.codes)
    places = {(system, code): place for place, (system, _, code, _) in enumerate(codes)}
    met = [*added, *(coding for entry in entries for coding in (entry.concept, entry.ancestor))]
    for coding in met:
        key = (coding.system or "", coding.code or "")
        if key not in places:
            places[key] = len(codes)
            codes.append((key[0], coding.version, key[1], coding.display))
    version = table.version + 1
    more = [Entry(_place(places, each.concept), _place(places, each.ancestor), version) for each in entries]
    return Table(version, table.edit, codes, [*table.entries, *more]), entries


def _place(places: dict[tuple[str, str], int], coding: Coding) -> int:
    return places[coding.system or "", coding.code or ""]


def _entry(table: Table, entry: Entry) -> ClosureEntry:
    return ClosureEntry(_coding(table.codes[entry.concept]), _coding(table.codes[entry.ancestor]))


def _coding(code: Code) -> Coding:
    return Coding(*code)


def _answer(name: str, version: int, entries: list[ClosureEntry]) -> Response:
    return Response(200, values.encode(write_closure(name, str(version), entries)))
