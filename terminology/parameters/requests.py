"""Requests from Parameters resources. Each reader raises TerminologyError for a value that is none of its parameter's.

`unread` of what is returned beside the request names the parameters that the operation has not: the caller decides
whether they are refused.
"""

from __future__ import annotations

from terminology.model.codings import Coding, read_coding
from terminology.model.concept_maps import Dependency
from terminology.model.concepts import Json, Property
from terminology.model.issues import invalid
from terminology.operations.expand import ExpandRequest
from terminology.operations.find_matches import FindMatchesRequest
from terminology.operations.lookup import LookupRequest
from terminology.operations.subsumes import SubsumesRequest
from terminology.operations.translate import TranslateRequest
from terminology.operations.validate import CODE, CODEABLE_CONCEPT, CODING, NO_CODE, ValidateRequest
from terminology.parameters.reader import ParametersReader

_RESOURCE = "tx-resource"


def read_expand(parameters: ParametersReader, accept_language: str | None = None) -> ExpandRequest:
    """Return the request of ValueSet/$expand."""
    if parameters.text("context", "contextDirection"):
        raise invalid("The parameter context is not supported", code="not-supported", at="context")
    return ExpandRequest(
        resource=parameters.resource("valueSet", "ValueSet"),
        url=parameters.text("url"),
        version=parameters.text("valueSetVersion"),
        options=parameters.options(accept_language=accept_language),
        resources=parameters.resources(_RESOURCE),
    )


def read_validate(
    parameters: ParametersReader, accept_language: str | None = None, *, of_code_system: bool = False
) -> ValidateRequest:
    """Return the request of ValueSet/$validate-code, or of CodeSystem/$validate-code.

    Raises TerminologyError where there is no code to validate.
    """
    options = parameters.options(validating=True, accept_language=accept_language)
    codings, concept = parameters.codings("coding", "codeableConcept")
    path = CODEABLE_CONCEPT if concept is not None else CODING
    url = parameters.text("url")
    if codings or concept is not None:
        options.infer_system = False
        parameters.text("code", "system", "display")
    else:
        path, codings = CODE, _code(parameters, url if of_code_system else None, bool(options.infer_system))
    names = ("version",) if of_code_system else ("valueSetVersion",)
    return ValidateRequest(
        codings=codings,
        path=path,
        concept=concept,
        url=url,
        version=parameters.text(*names),
        resource=parameters.resource(*(("codeSystem", "CodeSystem") if of_code_system else ("valueSet", "ValueSet"))),
        options=options,
        resources=parameters.resources(_RESOURCE),
    )


def _code(parameters: ParametersReader, url: str | None, infer_system: bool) -> list[Coding]:
    code = parameters.text("code")
    system = url or parameters.text("system")
    version = parameters.text("systemVersion") if url is None else parameters.text("version")
    display = parameters.text("display")
    if not code or not (system or infer_system):
        raise invalid(NO_CODE)
    return [Coding(system, version, code, display)]


def read_lookup(parameters: ParametersReader, accept_language: str | None = None) -> LookupRequest:
    """Return the request of CodeSystem/$lookup."""
    coding = parameters.element("coding", "Coding")
    stated = Coding(*(parameters.text(name) for name in ("system", "version", "code")))
    return LookupRequest(
        read_coding(coding) if coding is not None else stated,
        parameters.options(accept_language=accept_language),
        parameters.resources(_RESOURCE),
    )


def read_subsumes(parameters: ParametersReader) -> SubsumesRequest:
    """Return the request of CodeSystem/$subsumes."""
    system, version = parameters.text("system"), parameters.text("version")
    pair: list[Coding] = []
    for name in ("A", "B"):
        element = parameters.element(f"coding{name}", "Coding")
        code = Coding(system, version, parameters.text(f"code{name}"))
        pair.append(read_coding(element) if element is not None else code)
    return SubsumesRequest(pair[0], pair[1], parameters.options(), parameters.resources(_RESOURCE))


def read_translate(parameters: ParametersReader) -> TranslateRequest:
    """Return the request of ConceptMap/$translate, with the names of R4 or of R5."""
    from_target = bool(parameters.text("targetCode")) or any(
        parameters.element(name, kind) for name, kind in (("targetCoding", "Coding"), _TARGET_CONCEPT)
    )
    target_system = parameters.text("targetSystem", "targetsystem")
    source_system = parameters.text("sourceSystem", "system")
    version = parameters.text("targetVersion" if from_target else "sourceVersion", "version")
    if from_target:
        codings = parameters.codings("targetCoding", "targetCodeableConcept")[0]
        codings = codings or [Coding(target_system, version, parameters.text("targetCode"))]
    else:
        codings = _source_codings(parameters, source_system, version)
    return TranslateRequest(
        codings=codings,
        url=parameters.text("url"),
        version=parameters.text("conceptMapVersion"),
        resource=parameters.resource("conceptMap", "ConceptMap"),
        source_scope=parameters.text("sourceScope", "source"),
        target_scope=parameters.text("targetScope", "target"),
        target_system=source_system if from_target else target_system,
        reverse=parameters.boolean("reverse") and not from_target,
        from_target=from_target,
        dependencies=[_dependency(each) for each in parameters.parts("dependency")],
        options=parameters.options(),
        resources=parameters.resources(_RESOURCE),
    )


_TARGET_CONCEPT = ("targetCodeableConcept", "CodeableConcept")


def _source_codings(parameters: ParametersReader, system: str | None, version: str | None) -> list[Coding]:
    for names in (("sourceCoding", "sourceCodeableConcept"), ("coding", "codeableConcept")):
        codings, _ = parameters.codings(*names)
        if codings:
            return codings
    code = parameters.text("sourceCode", "code")
    return [Coding(system, version, code)] if code else []


def _dependency(parts: ParametersReader) -> Dependency:
    concept = parts.element("concept", "CodeableConcept") or {}
    coding: Json = next(iter(concept.get("coding", [])), {})
    name = parts.text("element", "attribute") or ""
    typed = parts.value("value")
    value = typed[1] if typed else coding.get("code", "")
    if isinstance(value, dict):
        coding, value = value, value.get("code", "")
    return Dependency(name, coding.get("system"), str(value))


def read_find_matches(parameters: ParametersReader) -> FindMatchesRequest:
    """Return the request of CodeSystem/$find-matches."""
    properties: list[Property] = []
    for each in parameters.parts("property"):
        code, typed = each.text("code"), each.value("value")
        if not code or typed is None:
            raise invalid("Each property needs a code and a value", at="property")
        properties.append(Property(code, *typed))
    if parameters.boolean("compositional"):
        raise invalid("Compositional matches are not supported", code="not-supported", at="compositional")
    exact = parameters.text("exact") is None or parameters.boolean("exact")
    options = parameters.options()
    return FindMatchesRequest(
        parameters.text("system"),
        parameters.text("version"),
        properties,
        exact,
        options,
        parameters.resources(_RESOURCE),
    )
