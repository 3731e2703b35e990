"""Answers of the library to the requests of the ecosystem tests, as a server would give them."""

from __future__ import annotations

from typing import Any

import terminology
from terminology.content.memory import MemorySource
from terminology.model.issues import TerminologyError
from terminology.parameters import outcomes, requests, results
from terminology.parameters.batch import batch_validate
from terminology.parameters.reader import ParametersReader
from tests.terminology.ecosystem import Case
from tests.terminology.r4_content import R4

Json = dict[str, Any]


def answer(case: Case) -> tuple[str, Json]:
    """Return the status class and the body that a server would send."""
    sent = [*case.parameters["parameter"], *({"name": "tx-resource", "resource": each} for each in case.setup)]
    parameters = {"resourceType": "Parameters", "parameter": sent}
    try:
        return "2xx", _answer(case.operation, parameters, case.accept_language)
    except TerminologyError as error:
        return "4xx", outcomes.write_outcome(error.issues)


def _answer(operation: str, parameters: Json, language: str | None) -> Json:
    source = MemorySource(R4)
    reader = ParametersReader(parameters)
    match operation:
        case "expand":
            return results.write_expansion(terminology.expand(requests.read_expand(reader, language), source))
        case "validate-code":
            request = requests.read_validate(reader, language)
            return results.write_validation(terminology.validate_in_value_set(request, source))
        case "cs-validate-code":
            request = requests.read_validate(reader, language, of_code_system=True)
            return results.write_validation(terminology.validate_in_code_system(request, source))
        case "lookup":
            return results.write_lookup(terminology.lookup(requests.read_lookup(reader, language), source))
        case "translate":
            return results.write_translation(terminology.translate(requests.read_translate(reader), source))
        case "batch-validate":
            return batch_validate(parameters, source)
    raise NotImplementedError(operation)
