"""Looking a code up. https://hl7.org/fhir/R4/codesystem-operation-lookup.html"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from terminology.content.provider import CodeSystem, Source
from terminology.model.codings import Coding
from terminology.model.concepts import CodeSystemInfo, Concept, Designation, Json, Property
from terminology.model.designations import Designations
from terminology.model.issues import TerminologyError, invalid, issue
from terminology.model.options import Options
from terminology.operations.context import Context

_NEIGHBOURS = 1000
_OF_THE_RESULT = {"code", "system", "name", "version", "display"}


@dataclass(slots=True)
class LookupRequest:
    """The code to look up; `options.properties` are those wanted, all where there are none."""

    coding: Coding
    options: Options = field(default_factory=Options)
    resources: list[Json] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LookupProperty:
    """A property of a concept, with the display of the concept that it names."""

    property: Property
    description: str | None = None


@dataclass(slots=True)
class Lookup:
    """What is known of a code."""

    info: CodeSystemInfo
    concept: Concept
    display: str | None
    definition: str | None
    designations: list[Designation] = field(default_factory=list)
    properties: list[LookupProperty] = field(default_factory=list)


def lookup(request: LookupRequest, source: Source) -> Lookup:
    """Return what a code system says of a code.

    Raises TerminologyError: `not-found` for an unknown code system, version or code, `required` without a code or a
    system.
    """
    context = Context.of(source, request.options, request.resources)
    system, concept = find_concept(request.coding, context)
    context.check_supplements()
    names = set(request.options.properties)
    every = not names or "*" in names
    shown = Designations.of(concept).preferred(request.options.languages)
    result = Lookup(system.info, concept, shown.value if shown else concept.display, None)
    if every or "definition" in names:
        result.definition = concept.definition
    if every or "designation" in names or any(each.startswith("lang.") for each in names):
        result.designations = [each for each in concept.designations if _is_wanted(each, names)]
    result.properties = [
        each for each in _properties(system, concept) if every or each.property.code in names - _OF_THE_RESULT
    ]
    return result


def _is_wanted(designation: Designation, names: set[str]) -> bool:
    languages = {each.removeprefix("lang.") for each in names if each.startswith("lang.")}
    return not languages or designation.language in languages


def find_concept(coding: Coding, context: Context) -> tuple[CodeSystem, Concept]:
    """Return a code system and the concept of a coding; raise TerminologyError where one is missing."""
    if not coding.system or not coding.code:
        raise invalid("A code and its system are needed: a coding, or both code and system", code="required")
    system = context.code_system(coding.system, coding.version)
    if system is None:
        version = context.resolve_version(coding.system, coding.version)
        raise TerminologyError(context.unknown_code_system(coding.system, version))
    concept = system.concept(coding.code)
    if concept is None:
        name = "Unknown_Code_in_Version" if system.info.version else "Unknown_Code_in"
        values = (coding.code, system.info.url, system.info.version)
        raise TerminologyError(issue("error", "not-found", "invalid-code", name, *values))
    return system, concept


def _properties(system: CodeSystem, concept: Concept) -> Iterator[LookupProperty]:
    stated = {each.code for each in concept.properties}
    for each in concept.properties:
        yield LookupProperty(each, _description(system, each))
    if "inactive" not in stated:
        yield LookupProperty(Property("inactive", "boolean", concept.inactive))
    for name, codes in (("parent", system.parents(concept.code)), ("child", system.children(concept.code))):
        for code in codes[:_NEIGHBOURS] if name not in stated else ():
            relation = Property(name, "code", code)
            yield LookupProperty(relation, _description(system, relation))


def _description(system: CodeSystem, relation: Property) -> str | None:
    if relation.type != "code" or relation.code not in ("parent", "child"):
        return None
    other = system.concept(str(relation.value))
    return other.display if other else None
