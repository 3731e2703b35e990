"""Value sets and code systems stored in this server, as far as searches by `:in`, `:not-in`, `:above` and `:below`
need them.

https://hl7.org/fhir/R4/search.html#modifiers
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_server.engine.context import Context
from fhir_server.errors import BadRequest
from fhir_server.r4 import values
from fhir_server.r4.references import local
from fhir_server.search.params import tokens
from fhir_server.search.query.conditions import Concepts, Condition, HasKey, either

_DEEPEST = 20
_MOST_CODES = 50_000
Json = Mapping[str, Any]


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
            raise BadRequest(f"The value set has more than {_MOST_CODES} codes.", code="too-costly")


async def settle_concepts(context: Context, asked: Concepts) -> Condition:
    """Return the condition on codes that stands for one on concepts; raises BadRequest for what this server does not
    know.
    """
    if asked.relation == "in":
        codes = await _value_set(context, asked.value, 0)
    else:
        system, _, code = asked.value.partition("|")
        tree = _Tree(await _code_system(context, system))
        found = tree.below(code) if asked.relation == "below" else tree.above(code)
        codes = Codes({(system, each) for each in found})
    conditions: list[Condition] = [tokens.in_codes(asked.name, sorted(codes.pairs))] if codes.pairs else []
    conditions += [tokens.in_system(asked.name, system, codes.systems[system]) for system in sorted(codes.systems)]
    return either(conditions)


# --- Value sets --------------------------------------------------------------------------------------------------


async def _value_set(context: Context, url: str, depth: int) -> Codes:
    if depth > _DEEPEST:
        raise BadRequest(f"The value set {url[:200]!r} refers to itself.", code="too-costly")
    found = await _canonical(context, "ValueSet", url)
    if found is None:
        raise BadRequest(f"The value set {url[:200]!r} is not known to this server.", code="not-found")
    compose = found.get("compose")
    if not compose:
        return Codes({(each.get("system", ""), each["code"]) for each in _contains(found.get("expansion", {}))})
    codes = Codes()
    for part in compose.get("include", ()):
        codes.add(await _included(context, part, depth))
    for part in compose.get("exclude", ()):
        codes = codes.without(await _included(context, part, depth))
    return codes


def _contains(expansion: Json) -> Iterator[Json]:
    for each in expansion.get("contains", ()):
        if "code" in each and not each.get("abstract"):
            yield each
        yield from _contains(each)


async def _included(context: Context, part: Json, depth: int) -> Codes:
    """Return what one include or exclude holds: what is in its system part and in all of its value sets."""
    found = await _of_system(context, part) if "system" in part else None
    for url in part.get("valueSet", ()):
        other = await _value_set(context, url, depth + 1)
        found = other if found is None else found.within(other)
    return found or Codes()


async def _of_system(context: Context, part: Json) -> Codes:
    system = part["system"]
    if "concept" in part:
        return Codes({(system, each["code"]) for each in part["concept"]})
    if "filter" not in part:
        return Codes(systems={system: frozenset()})
    tree = _Tree(await _code_system(context, system))
    kept = set(tree.concepts)
    for condition in part["filter"]:
        kept &= tree.filtered(condition)
    return Codes({(system, code) for code in kept})


# --- Code systems ------------------------------------------------------------------------------------------------


async def _code_system(context: Context, url: str) -> Json:
    found = await _canonical(context, "CodeSystem", url)
    if found is None:
        raise BadRequest(f"The code system {url[:200]!r} is not known to this server.", code="not-found")
    return found


class _Tree:
    """The concepts of a code system, and what is above and below each."""

    def __init__(self, code_system: Json) -> None:
        self.url = code_system.get("url", "")
        self.concepts: dict[str, Json] = {}
        self.parents: dict[str, set[str]] = {}
        self._read(code_system.get("concept", ()))

    def _read(self, concepts: Iterable[Json]) -> None:
        waiting: list[tuple[Json, str | None]] = [(each, None) for each in concepts]
        while waiting:
            concept, parent = waiting.pop()
            code = concept["code"]
            self.concepts[code] = concept
            parents = self.parents.setdefault(code, set())
            if parent is not None:
                parents.add(parent)
            for name, value in _properties(concept):
                if name in {"parent", "subsumedBy"}:
                    parents.add(value)
                elif name == "child":
                    self.parents.setdefault(value, set()).add(code)
            waiting += [(each, code) for each in concept.get("concept", ())]

    def above(self, code: str) -> set[str]:
        """Return the code and all above it."""
        return self._closed(self._known(code), self.parents)

    def below(self, code: str) -> set[str]:
        """Return the code and all below it."""
        children: dict[str, set[str]] = {}
        for child, parents in self.parents.items():
            for parent in parents:
                children.setdefault(parent, set()).add(child)
        return self._closed(self._known(code), children)

    def _known(self, code: str) -> str:
        if code not in self.concepts:
            raise BadRequest(f"The code {code[:80]!r} is not in {self.url[:200]}.", code="not-found")
        return code

    def _closed(self, code: str, steps: Mapping[str, set[str]]) -> set[str]:
        found, waiting = {code}, [code]
        while waiting:
            fresh = steps.get(waiting.pop(), set()) - found
            found |= fresh
            waiting += fresh
        return found

    def filtered(self, condition: Json) -> set[str]:
        """Return the codes that one filter of a value set keeps; raises BadRequest for one that is not understood."""
        name, operator, value = condition["property"], condition["op"], condition["value"]
        if operator in {"is-a", "descendent-of", "is-not-a"} and name in {"concept", "code"}:
            below = self.below(value)
            kept = {"is-a": below, "descendent-of": below - {value}, "is-not-a": set(self.concepts) - below}
            return kept[operator]
        if operator == "generalizes":
            return self.above(value)
        if operator in {"=", "in", "not-in"}:
            wanted = {value} if operator == "=" else {part.strip() for part in value.split(",")}
            matching = {code for code, concept in self.concepts.items() if wanted & self._values(code, concept, name)}
            return set(self.concepts) - matching if operator == "not-in" else matching
        if operator == "exists":
            having = {code for code, concept in self.concepts.items() if self._values(code, concept, name)}
            return having if value == "true" else set(self.concepts) - having
        raise BadRequest(f"The filter {name} {operator} of a value set is not supported.", code="not-supported")

    def _values(self, code: str, concept: Json, name: str) -> set[str]:
        if name in {"concept", "code"}:
            return {code}
        if name == "parent":
            return self.parents.get(code, set())
        return {value for each, value in _properties(concept) if each == name}


def _properties(concept: Json) -> Iterator[tuple[str, str]]:
    for each in concept.get("property", ()):
        for name, value in each.items():
            if name.startswith("value"):
                text = value.get("code", "") if isinstance(value, Mapping) else value
                yield each.get("code", ""), str(text).lower() if isinstance(text, bool) else str(text)


# --- Resources ---------------------------------------------------------------------------------------------------


async def _canonical(context: Context, resource_type: str, url: str) -> Json | None:
    """Return the resource with this canonical URL (its latest version where none is named), or this reference."""
    search, named = context.services.search, local(url)
    if named is not None and named.type == resource_type:
        rows = await search.read(await search.by_ids(resource_type, [named.id], None, 1, None), None)
        return values.decode(rows[0].json) if rows else None
    plain, _, version = url.partition("|")
    key = HasKey((f"url={plain}",))
    rows = await search.read(await search.by_keys(resource_type, key.keys, None, 100, None, ()), None)
    found = [values.decode(row.json) for row in rows]
    if version:
        found = [each for each in found if each.get("version") == version]
    return max(found, key=_recency, default=None)


def _recency(resource: Json) -> tuple[bool, str, str]:
    return resource.get("status") == "active", resource.get("version") or "", resource["meta"]["lastUpdated"]
