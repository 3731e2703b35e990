"""Many validations in one request: ValueSet/$batch-validate-code.

https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/requirements.html
"""

from __future__ import annotations

from terminology.content.provider import Source
from terminology.model.concepts import Json
from terminology.model.issues import TerminologyError
from terminology.operations.context import Limits
from terminology.operations.validate import validate_in_code_system, validate_in_value_set
from terminology.parameters.outcomes import write_outcome
from terminology.parameters.reader import ParametersReader
from terminology.parameters.requests import read_validate
from terminology.parameters.results import write_validation

_ITEM = "validation"


def batch_validate(
    parameters: Json, source: Source, limits: Limits | None = None, accept_language: str | None = None
) -> Json:
    """Return a Parameters with the result of each `validation` in order: Parameters, or the OperationOutcome of one
    that is at fault. What stands beside them holds for all, unless one says otherwise.
    """
    every = parameters.get("parameter", [])
    shared = [each for each in every if each.get("name") != _ITEM]
    items = [each.get("resource", {}) for each in every if each.get("name") == _ITEM]
    answers = [_validate(shared, item.get("parameter", []), source, limits, accept_language) for item in items]
    return {"resourceType": "Parameters", "parameter": [{"name": _ITEM, "resource": each} for each in answers]}


def _validate(
    shared: list[Json], own: list[Json], source: Source, limits: Limits | None, accept_language: str | None
) -> Json:
    names = {each.get("name") for each in own} - {"tx-resource"}
    parameters = [each for each in shared if each.get("name") not in names] + own
    reader = ParametersReader({"parameter": parameters})
    names = {each.get("name") for each in parameters}
    of_code_system = not names & {"url", "valueSet"}
    validate = validate_in_code_system if of_code_system else validate_in_value_set
    try:
        request = read_validate(reader, accept_language, of_code_system=of_code_system)
        return write_validation(validate(request, source, limits))
    except TerminologyError as error:
        return write_outcome(error.issues)
