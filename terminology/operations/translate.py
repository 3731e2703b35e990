"""Translating codes by concept maps. https://hl7.org/fhir/R4/conceptmap-operation-translate.html"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from terminology.content.provider import Source
from terminology.model.codings import Coding
from terminology.model.concept_maps import (
    INVERSE,
    NO_MATCH,
    RELATIONSHIPS,
    ConceptMap,
    Dependency,
    Group,
    Mapping,
    read_concept_map,
)
from terminology.model.concepts import Json
from terminology.model.issues import TerminologyError, invalid
from terminology.model.options import Options
from terminology.model.versions import canonical, latest, matches, split
from terminology.operations.context import Context, Limits
from terminology.operations.selection import Member, Selector

_DEEPEST = 10


@dataclass(slots=True)
class TranslateRequest:
    """The codings to translate, and by which maps: the one named, or all between the systems and value sets.

    `reverse` asks for the codes that the maps translate to the codings; so does `from_target`, whose answers name the
    code given as the concept and what maps to it as the source, as R5 has it.
    """

    codings: list[Coding]
    url: str | None = None
    version: str | None = None
    resource: Json | None = None
    source_scope: str | None = None
    target_scope: str | None = None
    target_system: str | None = None
    reverse: bool = False
    from_target: bool = False
    dependencies: list[Dependency] = field(default_factory=list)
    options: Options = field(default_factory=Options)
    resources: list[Json] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Match:
    """A translation; `source` is set where it was asked from the target."""

    equivalence: str
    concept: Coding | None
    origin_map: str
    source: Coding | None = None
    comment: str | None = None
    products: tuple[Dependency, ...] = ()

    @property
    def relationship(self) -> str:
        """The equivalence in R5's words."""
        return RELATIONSHIPS.get(self.equivalence, "related-to")


@dataclass(slots=True)
class Translation:
    """The matches; `result` is whether one of them is more than that there is none."""

    matches: list[Match]
    message: str | None = None

    @property
    def result(self) -> bool:
        """Whether the code could be translated."""
        return any(each.concept is not None and each.equivalence not in NO_MATCH for each in self.matches)


def translate(request: TranslateRequest, source: Source, limits: Limits | None = None) -> Translation:
    """Return the translations of codes; none is a result.

    Raises TerminologyError: `not-found` for a concept map that is named and not known, `required` without a code.
    """
    if not request.codings:
        raise invalid("A code to translate is needed: code and system, a coding or a codeableConcept", code="required")
    for coding in request.codings:
        if not coding.code or not coding.system:
            raise invalid("A code to translate needs its system", code="required")
    context = Context.of(source, request.options, request.resources, limits)
    translations = list(dict.fromkeys(_Translator(request, context).matches()))
    if translations:
        return Translation(translations)
    names = ", ".join(each.described() for each in request.codings)
    return Translation([], f"No translation was found for {names}")


class _Translator:
    def __init__(self, request: TranslateRequest, context: Context) -> None:
        self._request = request
        self._context = context
        self._selector = Selector(context)
        self._backwards = request.reverse or request.from_target
        self._own = None if request.resource is None else read_concept_map(request.resource)

    def matches(self) -> Iterator[Match]:
        """Return the matches of all codings in all maps."""
        for coding in self._request.codings:
            if not self._is_in_scope(coding):
                continue
            for concept_map in self._maps(coding):
                yield from self._matches_in(concept_map, coding, 0)

    def _is_in_scope(self, coding: Coding) -> bool:
        scope = self._request.target_scope if self._backwards else self._request.source_scope
        return scope is None or self._in_value_set(scope, coding) is not False

    def _in_value_set(self, reference: str, coding: Coding) -> bool | None:
        value_set = self._context.value_set(self._context.pinned(reference))
        if value_set is None:
            return None
        return self._selector.contains(value_set, Member(coding.system or "", None, coding.code or ""))

    def _maps(self, coding: Coding) -> Iterable[ConceptMap]:
        request = self._request
        if self._own is not None:
            return [self._own]
        if request.url:
            return [self._named(request.url, request.version)]
        systems = (coding.system, request.target_system)
        maps = self._context.source.concept_maps(*(reversed(systems) if self._backwards else systems))
        return [each for each in maps if self._fits(each)]

    def _fits(self, concept_map: ConceptMap) -> bool:
        scopes = (
            (self._request.source_scope, concept_map.source_scope),
            (self._request.target_scope, concept_map.target_scope),
        )
        return all(
            version is None or stated is None or split(version)[0] == split(stated)[0] for version, stated in scopes
        )

    def _named(self, url: str, version: str | None) -> ConceptMap:
        url, _, stated = url.partition("|")
        stated_version = version or stated or None
        available = self._context.source.concept_map_versions(url)
        fitting = [each for each in available if stated_version is None or matches(stated_version, each)]
        concept_map = self._context.source.concept_map(url, latest(fitting)) if fitting else None
        if concept_map is None:
            raise invalid(f"The concept map {canonical(url, stated_version)} is not known", code="not-found")
        return concept_map

    def _matches_in(self, concept_map: ConceptMap, coding: Coding, depth: int) -> Iterator[Match]:
        self._context.step(len(concept_map.groups) + 1)
        for group in concept_map.groups:
            side, version = (group.target, group.target_version) if self._backwards else _source_of(group)
            other = group.source if self._backwards else group.target
            if side != coding.system or not _same_version(version, coding.version):
                continue
            if self._request.target_system not in (None, other):
                continue
            mapped = list(self._from_group(group, concept_map, coding))
            if not mapped and not self._backwards:
                mapped = list(self._unmapped(group, concept_map, coding, depth))
            yield from mapped

    def _from_group(self, group: Group, concept_map: ConceptMap, coding: Coding) -> Iterator[Match]:
        code = coding.code or ""
        for mapping in group.from_target(code) if self._backwards else group.from_source(code):
            self._context.step(2 + len(mapping.depends_on) * len(self._request.dependencies))
            if self._applies(mapping):
                match = self._match(mapping, group, concept_map)
                if match.concept is None or self._is_wanted(match.source or match.concept):
                    yield match

    def _applies(self, mapping: Mapping) -> bool:
        return all(
            any(
                (each.name, each.value) == (stated.name, stated.value) and stated.system in (None, each.system)
                for stated in self._request.dependencies
            )
            for each in mapping.depends_on
        )

    def _is_wanted(self, concept: Coding) -> bool:
        scope = self._request.source_scope if self._backwards else self._request.target_scope
        return scope is None or self._in_value_set(scope, concept) is not False

    def _match(self, mapping: Mapping, group: Group, concept_map: ConceptMap) -> Match:
        source = Coding(group.source, group.source_version, mapping.code, mapping.display)
        target = Coding(group.target, group.target_version, mapping.target, mapping.target_display)
        match = Match(
            mapping.equivalence,
            target if mapping.target else None,
            concept_map.canonical,
            comment=mapping.comment,
            products=mapping.products,
        )
        if self._request.from_target:
            return replace(match, source=source)
        if self._request.reverse:
            return replace(match, concept=source, equivalence=INVERSE.get(match.equivalence, match.equivalence))
        return match

    def _unmapped(self, group: Group, concept_map: ConceptMap, coding: Coding, depth: int) -> Iterator[Match]:
        rule = group.unmapped
        if rule is None:
            return
        if rule.mode == "other-map" and rule.other_map and depth < _DEEPEST:
            try:
                other = self._named(rule.other_map, None)
            except TerminologyError:
                return
            yield from self._matches_in(other, coding, depth + 1)
        elif rule.mode in ("provided", "fixed"):
            provided = rule.mode == "provided"
            code = coding.code if provided else rule.code
            target = Coding(group.target, group.target_version, code, coding.display if provided else rule.display)
            if code and self._is_wanted(target):
                yield Match("equivalent" if provided else rule.equivalence, target, concept_map.canonical)


def _source_of(group: Group) -> tuple[str | None, str | None]:
    return group.source, group.source_version


def _same_version(stated: str | None, sent: str | None) -> bool:
    return stated is None or sent is None or matches(stated, sent) or matches(sent, stated)
