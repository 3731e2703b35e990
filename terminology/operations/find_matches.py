"""Finding codes by their properties. https://hl7.org/fhir/R4/codesystem-operation-find-matches.html"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from terminology.content.provider import CodeSystem, ConceptSet, Filter, Selection, Source
from terminology.model.concepts import CodeSystemInfo, Concept, Json, Property
from terminology.model.issues import TerminologyError, invalid, issue
from terminology.model.options import Options
from terminology.operations.context import Context, Limits

_MOST = 100
_MOST_LOOKED_AT = 10_000
_STEPS_A_PROPERTY = 20
_TEXTS = {"display", "designation", "definition"}


@dataclass(slots=True)
class FindMatchesRequest:
    """The properties that a code shall have; with `exact` all of them, else as many as can be."""

    system: str | None
    version: str | None
    properties: list[Property]
    exact: bool = True
    options: Options = field(default_factory=Options)
    resources: list[Json] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CodeMatch:
    """A code, and the properties wanted that it has not."""

    info: CodeSystemInfo
    concept: Concept
    unmatched: tuple[Property, ...] = ()


def find_matches(request: FindMatchesRequest, source: Source, limits: Limits | None = None) -> list[CodeMatch]:
    """Return the codes with the properties, best first, at most 100.

    Raises TerminologyError: `not-found` for an unknown code system, `not-supported` for a property it has not.
    """
    context = Context.of(source, request.options, request.resources, limits)
    if not request.system or not request.properties:
        raise invalid("A system, and at least one property to find codes by, are needed", code="required")
    system = context.code_system(request.system, request.version)
    if system is None:
        version = context.resolve_version(request.system, request.version)
        raise TerminologyError(context.unknown_code_system(request.system, version))
    if request.exact:
        page = _having(system, request.properties).page(0, _MOST)
        return [CodeMatch(system.info, each) for each in page]
    return _nearest(system, request.properties, context)


def _having(system: CodeSystem, properties: list[Property]) -> ConceptSet:
    texts = [each.text for each in properties if each.code in _TEXTS]
    conditions = tuple(_condition(system, each) for each in properties if each.code not in _TEXTS)
    return system.select(Selection(conditions, " ".join(texts) or None))


def _condition(system: CodeSystem, sought: Property) -> Filter:
    condition = Filter(sought.code, "=", sought.text)
    if not system.understands(condition):
        values = (sought.code, "=", sought.text)
        raise TerminologyError(issue("error", "not-supported", "vs-invalid", "FILTER_NOT_UNDERSTOOD", *values))
    return condition


def _nearest(system: CodeSystem, properties: list[Property], context: Context) -> list[CodeMatch]:
    places_by_code: dict[str, tuple[Concept, set[int]]] = {}
    for place, sought in enumerate(properties):
        context.step(_STEPS_A_PROPERTY)
        for concept in islice(_having(system, [sought]).page(), _MOST_LOOKED_AT):
            context.step()
            places_by_code.setdefault(concept.code, (concept, set()))[1].add(place)
    ranked = sorted(places_by_code.values(), key=lambda each: -len(each[1]))
    return [
        CodeMatch(system.info, concept, tuple(each for place, each in enumerate(properties) if place not in matched))
        for concept, matched in ranked[:_MOST]
    ]
