"""Searching by value sets and by the hierarchy of code systems: `:in`, `:not-in`, `:above`, `:below`.

What a value set has in it is the library's to say, part by part; this makes of it what the index can be asked: codes,
and whole systems but for some codes. https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from fhir_server.engine.context import Context
from fhir_server.engine.interactions.read import defined
from fhir_server.engine.terminology.content import ContentKey, by_url, needed_by, with_content
from fhir_server.engine.terminology.remote import Routed
from fhir_server.errors import BadRequest, Issue
from fhir_server.r4 import values
from fhir_server.r4.references import local
from fhir_server.search.params import tokens
from fhir_server.search.query.conditions import Concepts, Condition, either
from fhir_server.work.budget import spend
from terminology import CodeSystem, Filter, Options, Selection, Selector, Source, TerminologyError, ValueSet
from terminology import Context as Terms
from terminology.content.references import Reference
from terminology.model.concepts import Concept
from terminology.model.value_sets import Include, read_value_set
from terminology.model.versions import split
from terminology.operations.context import unresolved_value_set
from terminology.operations.selection import expansion_entries

Json = dict[str, Any]
_MOST_CODES = 50_000
_STEPS = 50
_LISTED = 1000
"""Codes of a whole code system up to which a search asks for each of them, and not for any code of the system."""


@dataclass(slots=True)
class Codes:
    """What a value set holds: codes with their systems, and whole systems but for some of their codes."""

    pairs: set[tuple[str, str]] = field(default_factory=set)
    systems: dict[str, frozenset[str]] = field(default_factory=dict)
    """The codes that are left out of each system of which all others are held."""

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return pair in self.pairs or (pair[0] in self.systems and pair[1] not in self.systems[pair[0]])

    def without(self, other: Codes) -> Codes:
        """Return what is here and not in the other."""
        pairs = {pair for pair in self.pairs if pair not in other}
        systems: dict[str, frozenset[str]] = {}
        for system, left_out in self.systems.items():
            if system in other.systems:
                # Of a system that the other holds too, what the other leaves out remains.
                pairs |= {(system, code) for code in other.systems[system] - left_out if (system, code) not in other}
            else:
                systems[system] = left_out | {code for name, code in other.pairs if name == system}
        return Codes(pairs, systems)

    def within(self, other: Codes) -> Codes:
        """Return what is in both."""
        pairs = {pair for pair in self.pairs if pair in other} | {pair for pair in other.pairs if pair in self}
        systems = {name: self.systems[name] | other.systems[name] for name in self.systems.keys() & other.systems}
        return Codes(pairs, systems)

    def add(self, other: Codes) -> None:
        """Take in what the other holds; raises BadRequest where that becomes too much to search by."""
        for system, left_out in other.systems.items():
            self.systems[system] = self.systems.get(system, left_out) & left_out
        self.pairs |= other.pairs
        for system, left_out in self.systems.items():
            self.systems[system] = frozenset(code for code in left_out if (system, code) not in self.pairs)
        if len(self.pairs) + sum(map(len, self.systems.values())) > _MOST_CODES:
            raise _too_many()


def _too_many() -> BadRequest:
    return BadRequest(f"The value set has more than {_MOST_CODES} codes.", code="too-costly")


async def resolve_concepts(context: Context, concepts: Concepts) -> Condition:
    """Return the condition on codes that stands for one on concepts; raises BadRequest for what this server, or the
    caller, does not know.
    """
    try:
        codes = await (
            _in_value_set(context, concepts.value) if concepts.relation == "in" else _related(context, concepts)
        )
    except TerminologyError as error:
        raise BadRequest(issues=[Issue(each.code, each.text) for each in error.issues]) from error
    conditions: list[Condition] = [tokens.in_codes(concepts.name, sorted(codes.pairs))] if codes.pairs else []
    conditions += [tokens.in_system(concepts.name, system, codes.systems[system]) for system in sorted(codes.systems)]
    return either(conditions)


# --- Value sets --------------------------------------------------------------------------------------------------


async def _in_value_set(context: Context, reference: str) -> Codes:
    named = local(reference)
    if named is not None and named.type == "ValueSet":
        value_set = await _by_id(context, named.id)
        return await _local_or_remote(
            context,
            lambda source: _Members(source).of(value_set),
            [],
            {"name": "valueSet", "resource": value_set.resource},
        )

    def work(source: Source) -> Codes:
        members = _Members(source)
        value_set = members.terms.value_set(reference)
        if value_set is None:
            raise unresolved_value_set(reference)
        return members.of(value_set)

    parameter = {"name": "url", "valueUri": reference}
    return await _local_or_remote(context, work, [by_url("ValueSet", split(reference)[0])], parameter)


async def _local_or_remote(
    context: Context, work: Callable[[Source], Codes], needed: Iterable[ContentKey], parameter: Json
) -> Codes:
    """Return the codes of a value set, expanded by another server where that has a code system of it."""
    try:
        return await with_content(context, work, needed, elsewhere=True)
    except Routed as routed:
        count = {"name": "count", "valueInteger": _MOST_CODES + 1}
        parameters = {"resourceType": "Parameters", "parameter": [parameter, count]}
        answer = await context.services.remote.ask(routed, "ValueSet/$expand", parameters)
    pairs = {
        (each["system"], each["code"])
        for each in expansion_entries(answer.get("expansion") or {})
        if isinstance(each.get("system"), str) and isinstance(each.get("code"), str) and not each.get("abstract")
    }
    if len(pairs) > _MOST_CODES:
        raise _too_many()
    return Codes(pairs)


async def _by_id(context: Context, resource_id: str) -> ValueSet:
    search, where = context.services.search, context.access.visible("ValueSet", "read")
    rows = await search.read(await search.by_ids("ValueSet", [resource_id], where, 1, None), None)
    if not rows:
        version = await defined(context, "ValueSet", resource_id)
        if version is not None:
            return read_value_set(values.decode(version.json))
        raise BadRequest(f"ValueSet/{resource_id} is not known to this server.", code="not-found")
    return read_value_set(values.decode(rows[0].json))


class _Members:
    """What the value sets of one source have in them."""

    def __init__(self, source: Source) -> None:
        self.terms = Terms.of(source, Options())
        self._selector = Selector(self.terms)
        self._codes: dict[int, tuple[ValueSet, Codes]] = {}

    def of(self, value_set: ValueSet) -> Codes:
        """Return what a value set has in it; raises TerminologyError where that cannot be told."""
        # The value set is kept beside the answer, so that its identity is not used again.
        if id(value_set) not in self._codes:
            self._codes[id(value_set)] = (value_set, self._read(value_set))
        return self._codes[id(value_set)][1]

    def _read(self, value_set: ValueSet) -> Codes:
        spend(_STEPS)
        with self.terms.including(value_set):
            self._selector.check_definition(value_set)
            if not value_set.composed:
                entries = [each for each in expansion_entries(value_set.expansion or {}) if not each.get("abstract")]
                return Codes({(each.get("system", ""), each["code"]) for each in entries if "code" in each})
            codes = Codes()
            for part in value_set.includes:
                codes.add(self._part(part, value_set, active=value_set.active_only))
            for part in value_set.excludes:
                codes = codes.without(self._part(part, value_set, active=False))
            return codes

    def _part(self, part: Include, value_set: ValueSet, *, active: bool) -> Codes:
        """Return what one include or exclude has: what is in its system part and in all of its value sets."""
        codes = None if part.system is None else self._of_system(part.system, part, value_set, active=active)
        for reference in part.value_sets:
            other = self._selector.imported(reference, value_set)
            if other is None:
                raise unresolved_value_set(reference)
            members = self.of(other)
            codes = members if codes is None else codes.within(members)
        return codes or Codes()

    def _of_system(self, url: str, part: Include, value_set: ValueSet, *, active: bool) -> Codes:
        system = self.terms.code_system(url, part.version)
        if part.concepts is not None and system is None:
            return Codes({(url, each.code) for each in part.concepts})
        if part.whole and (system is None or not active) and not _is_listed(system):
            return Codes(systems={url: frozenset()})
        if system is None:
            raise TerminologyError(self.terms.unknown_code_system(url, part.version, expanding=True))
        if part.concepts is not None:
            concepts: Iterable[Concept] = filter(None, (system.concept(each.code) for each in part.concepts))
            concepts = (each for each in concepts if self._selector.admits(part, system, each, value_set))
        else:
            concepts = self._selector.concept_set(part, system, value_set).page(0, _MOST_CODES + 1)
        return Codes(_pairs(url, (each for each in concepts if not (active and each.inactive))))


def _is_listed(system: CodeSystem | None) -> bool:
    """Whether a whole code system is so small that each of its codes can be asked for."""
    if system is None or not system.info.closed or system.info.content != "complete":
        return False
    count = system.select(Selection()).count()
    return count is not None and count <= _LISTED


def _pairs(url: str, concepts: Iterable[Concept]) -> set[tuple[str, str]]:
    pairs: set[tuple[str, str]] = set()
    for concept in concepts:
        spend(1)
        pairs.add((url, concept.code))
        if len(pairs) > _MOST_CODES:
            raise _too_many()
    return pairs


# --- Code systems ------------------------------------------------------------------------------------------------


async def _related(context: Context, concepts: Concepts) -> Codes:
    """Return a code and those above or below it."""
    url, _, code = concepts.value.partition("|")

    def work(source: Source) -> Codes:
        terms = Terms.of(source, Options())
        system = terms.code_system(url)
        if system is None:
            raise TerminologyError(terms.unknown_code_system(url, None))
        concept = system.concept(code)
        if concept is None:
            raise BadRequest(f"The code {code[:80]!r} is not in {url[:200]}.", code="not-found")
        op = "is-a" if concepts.relation == "below" else "generalizes"
        related = system.select(Selection((Filter("concept", op, concept.code),)))
        return Codes({(url, concept.code)} | _pairs(url, related.page(0, _MOST_CODES + 1)))

    op = "is-a" if concepts.relation == "below" else "generalizes"
    include = {"system": url, "filter": [{"property": "concept", "op": op, "value": code}]}
    related = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [include]}}
    named = {"name": "valueSet", "resource": related}
    return await _local_or_remote(context, work, needed_by(Reference("CodeSystem", url)), named)
