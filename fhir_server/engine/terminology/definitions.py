"""The terminology operations as they are published, with the inputs that the terminology ecosystem has added to them.

https://hl7.org/fhir/R4/terminology-service.html, https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/requirements.html
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fhir_server.r4 import definitions
from fhir_server.r4.definitions import Operation, OperationParameter

_PUBLISHED = "http://hl7.org/fhir/OperationDefinition/"


def _input(name: str, kind: str | None, most: str = "1") -> OperationParameter:
    return OperationParameter(name, "in", 0, most, kind, None, (), ())


EXCHANGE = (
    _input("tx-resource", "Resource", "*"),
    _input("cache-id", "id"),
    # They identify a request, or ask for no more than is always done: nothing is answered from a cache of answers.
    _input("uuid", "uuid"),
    _input("no-cache", "boolean"),
    _input("diagnostics", "boolean"),
    _input("profile", "Resource"),
)
"""What steers the exchange of all operations."""

_VERSIONS = tuple(
    _input(name, "canonical", "*")
    for name in (
        "system-version",
        "check-system-version",
        "force-system-version",
        "default-valueset-version",
        "check-valueset-version",
        "force-valueset-version",
    )
)
_CHOICES = (
    _input("displayLanguage", "string"),
    _input("useSupplement", "canonical", "*"),
    _input("includeDesignations", "boolean"),
    _input("designation", "string", "*"),
    _input("property", "string", "*"),
    _input("includeDefinition", "boolean"),
    _input("activeOnly", "boolean"),
    _input("excludeNested", "boolean"),
    _input("excludeNotForUI", "boolean"),
    _input("excludePostCoordinated", "boolean"),
    _input("versionsMatch", "boolean"),
    _input("lenient-display-validation", "boolean"),
    _input("valueset-membership-only", "boolean"),
    _input("inferSystem", "boolean"),
    _input("abstract", "boolean"),
    _input("filter", "string"),
    _input("offset", "integer"),
    _input("count", "integer"),
)
"""What `terminology.Options` knows."""

SHARED = (*EXCHANGE, *_VERSIONS, *_CHOICES)

_TRANSLATION = (
    *(_input(name, "string") for name in ("sourceCode", "targetCode", "sourceVersion", "targetVersion")),
    *(_input(name, "uri") for name in ("sourceSystem", "targetSystem", "sourceScope", "targetScope")),
    *(_input(name, "Coding") for name in ("sourceCoding", "targetCoding")),
    *(_input(name, "CodeableConcept") for name in ("sourceCodeableConcept", "targetCodeableConcept")),
)
"""The names that R5 gives the inputs of $translate."""

_NOT_TAKEN = {"context", "contextDirection", "date"}
"""Inputs of R4 that are refused by name: a value set is found by its url only, and content has versions but no days on
which it holds.
"""


def _with(name: str, added: Iterable[OperationParameter]) -> Operation:
    published = next(definition for definition in definitions.operations() if definition.url == _PUBLISHED + name)
    own = [each for each in published.parameter if each.use == "out" or each.name not in _NOT_TAKEN]
    names = {each.name for each in own if each.use == "in"}
    more = [each for each in added if each.name not in names]
    return msgspec.structs.replace(published, parameter=(*own, *more))


EXPAND = _with("ValueSet-expand", SHARED)
VALIDATE_CODE_IN_VALUE_SET = _with("ValueSet-validate-code", SHARED)
VALIDATE_CODE_IN_CODE_SYSTEM = _with("CodeSystem-validate-code", (_input("system", "uri"), *SHARED))
LOOKUP = _with("CodeSystem-lookup", SHARED)
SUBSUMES = _with("CodeSystem-subsumes", (*EXCHANGE, *_VERSIONS))
FIND_MATCHES = _with("CodeSystem-find-matches", (*EXCHANGE, *_VERSIONS))
TRANSLATE = _with("ConceptMap-translate", (*_TRANSLATION, *SHARED))
CLOSURE = _with("ConceptMap-closure", EXCHANGE)
VERSIONS = _with("CapabilityStatement-versions", ())

BATCH_VALIDATE_CODE = Operation(
    name="BatchValidateCode",
    code="batch-validate-code",
    url="https://hms.example.org/fhir/OperationDefinition/batch-validate-code",
    resource=("ValueSet", "CodeSystem"),
    system=False,
    type=True,
    instance=False,
    affectsState=False,
    parameter=(
        _input("validation", "Parameters", "*"),
        *(each for each in VALIDATE_CODE_IN_VALUE_SET.parameter if each.use == "in"),
        *(each for each in VALIDATE_CODE_IN_CODE_SYSTEM.parameter if each.name in {"codeSystem", "version"}),
    ),
)
