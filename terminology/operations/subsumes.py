"""Whether one code means all that another does. https://hl7.org/fhir/R4/codesystem-operation-subsumes.html"""

from __future__ import annotations

from dataclasses import dataclass, field

from terminology.content.provider import CodeSystem, Source
from terminology.model.codings import Coding
from terminology.model.concepts import Json
from terminology.model.issues import invalid
from terminology.model.options import Options
from terminology.operations.context import Context
from terminology.operations.lookup import find_concept

EQUIVALENT, SUBSUMES, SUBSUMED_BY, NOT_SUBSUMED = "equivalent", "subsumes", "subsumed-by", "not-subsumed"


@dataclass(slots=True)
class SubsumesRequest:
    """The codes to compare, of one system."""

    first: Coding
    second: Coding
    options: Options = field(default_factory=Options)
    resources: list[Json] = field(default_factory=list)


def subsumes(request: SubsumesRequest, source: Source) -> str:
    """Return `equivalent`, `subsumes` (the first is above the second), `subsumed-by` or `not-subsumed`.

    Raises TerminologyError: `not-found` for an unknown code system or code, `invalid` for codes of two systems.
    """
    context = Context.of(source, request.options, request.resources)
    if request.first.system != request.second.system:
        raise invalid("The codes to compare are of two code systems, between which there is no subsumption")
    version = request.first.version or request.second.version
    if (request.second.version or version) != version:
        raise invalid("The codes to compare are of two versions of their code system")
    pair = [Coding(each.system, version, each.code) for each in (request.first, request.second)]
    system, first = find_concept(pair[0], context)
    _, second = find_concept(pair[1], context)
    return relation(system, first.code, second.code)


def relation(system: CodeSystem, first: str, second: str) -> str:
    """Return how two codes, as the system writes them, stand to each other; a hierarchy that means anything else but
    is-a says nothing of it.
    """
    if first == second:
        return EQUIVALENT
    if system.info.hierarchy_meaning not in (None, "is-a"):
        return NOT_SUBSUMED
    if system.subsumes(first, second):
        return SUBSUMES
    return SUBSUMED_BY if system.subsumes(second, first) else NOT_SUBSUMED
