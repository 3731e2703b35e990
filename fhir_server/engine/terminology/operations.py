"""The operations of CodeSystem, ValueSet and ConceptMap that read only: each a reader, a function and a writer of the
library, run on what the caller sees.

https://hl7.org/fhir/R4/terminology-service.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

import terminology
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.interactions.read import read
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.engine.routes import Route
from fhir_server.engine.terminology import definitions, sent
from fhir_server.engine.terminology.content import ContentKey, mentioned, needed_by, spend_visits, with_content
from fhir_server.engine.terminology.faults import refusing
from fhir_server.engine.terminology.remote import Routed
from fhir_server.engine.terminology.sent_parameters import Json, read_parameters
from fhir_server.errors import BadRequest
from fhir_server.r4 import values
from fhir_server.r4.definitions import Operation
from fhir_server.work.budget import spend
from terminology import Limits, Source
from terminology.content.references import Reference
from terminology.parameters import requests, results
from terminology.parameters.batch import batch_validate
from terminology.parameters.reader import ParametersReader

_STEPS = 500
_MOST_VISITS = 1_000_000
"""Codes and value sets that the library may look at; the time that a request may take mostly ends it before."""

Work = Callable[["Question", Source], Json]
Run = Callable[[Context, Request, Route, Inputs], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Question:
    """What an operation is asked: `subject` is the stored resource of its URL, at instance level."""

    parameters: Json
    subject: Json | None
    accept_language: str | None
    limits: Limits

    def reader(self) -> ParametersReader:
        """Return a reader that nothing has been read from."""
        return ParametersReader(self.parameters)

    @property
    def own(self) -> list[Json]:
        """The subject among the resources that hide others of its url and version."""
        return [] if self.subject is None else [self.subject]


def _answering(operation: Operation, work: Work, *named_by: str) -> Run:
    """Return what answers an operation with what the library makes of it.

    `named_by` are the inputs that name what the URL names at instance level.
    """

    async def run(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
        question = await _question(context, request, route, operation, named_by)
        brought = [part["resource"] for part in question.parameters["parameter"] if "resource" in part]
        brought += question.own
        expected = [*mentioned(question.parameters), *_composed(brought)]
        try:
            with refusing():
                answer = await with_content(
                    context, lambda source: work(question, source), expected, brought, elsewhere=True
                )
        except Routed as routed:
            named = f"{route.type}/${operation.code}"
            answer = await context.services.remote.ask(routed, named, _whole(question, operation))
        return Response(200, values.encode(answer))

    return run


def _whole(question: Question, operation: Operation) -> Json:
    """Return the parameters with what the URL names among them, for a server that has it not."""
    subject = question.subject
    if subject is None:
        return question.parameters
    if subject["resourceType"] == "ValueSet":
        named: list[Json] = [{"name": "valueSet", "resource": subject}]
    else:
        name = "url" if operation.code == "validate-code" else "system"
        named = [{"name": name, "valueUri": subject["url"]}]
    return {**question.parameters, "parameter": [*question.parameters["parameter"], *named]}


async def _question(
    context: Context, request: Request, route: Route, operation: Operation, named_by: Iterable[str]
) -> Question:
    spend(_STEPS)
    parameters = read_parameters(context, request, operation)
    parameters = await sent.with_kept(context, parameters)
    subject = await _subject(context, route, parameters, named_by)
    limits = Limits(context.services.settings.max_expansion_codes, _MOST_VISITS, spend_visits)
    return Question(parameters, subject, request.accept_language, limits)


async def _subject(context: Context, route: Route, parameters: Json, named_by: Iterable[str]) -> Json | None:
    if route.id is None:
        return None
    for part in parameters["parameter"]:
        if part["name"] in named_by:
            raise BadRequest(
                f"The URL names the {route.type} already; leave {part['name']} out.", expression=part["name"]
            )
    resource_type = route.type or ""
    context.access.require("read", resource_type)
    response = await read(context, Request("GET", f"{resource_type}/{route.id}"), resource_type, route.id)
    subject: Json = values.decode(response.json or b"{}")
    # What has no url is nobody else's: its place on this server names it.
    return {"url": f"{context.base_url}/{resource_type}/{route.id}", **subject}


def _composed(brought: Iterable[Json]) -> Iterator[ContentKey]:
    """Yield what value sets that came with the request will ask for first."""
    for resource in brought:
        compose = resource.get("compose")
        if isinstance(compose, dict):
            yield from _of_compose(compose)


def _of_compose(compose: Json) -> Iterator[ContentKey]:
    # What came with a request may have any form; it is checked when it is read.
    for name in ("include", "exclude"):
        parts = compose.get(name)
        for part in parts if isinstance(parts, list) else ():
            system = part.get("system") if isinstance(part, dict) else None
            if isinstance(system, str):
                yield from needed_by(Reference("CodeSystem", system))


# --- Value sets --------------------------------------------------------------------------------------------------


def _expand(question: Question, source: Source) -> Json:
    request = requests.read_expand(question.reader(), question.accept_language)
    request.resource = request.resource or question.subject
    return results.write_expansion(terminology.expand(request, source, question.limits))


def _validate_in_value_set(question: Question, source: Source) -> Json:
    request = requests.read_validate(question.reader(), question.accept_language)
    request.resource = request.resource or question.subject
    return results.write_validation(terminology.validate_in_value_set(request, source, question.limits))


def _batch_validate_code(question: Question, source: Source) -> Json:
    return batch_validate(question.parameters, source, question.limits, question.accept_language)


expand = _answering(definitions.EXPAND, _expand, "url", "valueSet", "valueSetVersion")
validate_in_value_set = _answering(
    definitions.VALIDATE_CODE_IN_VALUE_SET, _validate_in_value_set, "url", "valueSet", "valueSetVersion"
)
batch_validate_code = _answering(definitions.BATCH_VALIDATE_CODE, _batch_validate_code)


# --- Code systems ------------------------------------------------------------------------------------------------


def _validate_in_code_system(question: Question, source: Source) -> Json:
    request = requests.read_validate(_in_system(question), question.accept_language, of_code_system=True)
    request.resource = request.resource or question.subject
    return results.write_validation(terminology.validate_in_code_system(request, source, question.limits))


def _lookup(question: Question, source: Source) -> Json:
    return results.write_lookup(
        terminology.lookup(requests.read_lookup(question.reader(), question.accept_language), source)
    )


def _subsumes(question: Question, source: Source) -> Json:
    request = requests.read_subsumes(_in_system(question))
    request.resources = [*request.resources, *question.own]
    return results.write_subsumption(terminology.subsumes(request, source))


def _find_matches(question: Question, source: Source) -> Json:
    request = requests.read_find_matches(_in_system(question))
    request.resources = [*request.resources, *question.own]
    return results.write_code_matches(terminology.find_matches(request, source, question.limits))


def _in_system(question: Question) -> ParametersReader:
    """Return a reader of the parameters, with the code system of the URL among them."""
    subject = question.subject
    if subject is None:
        return question.reader()
    named = [{"name": "system", "valueUri": subject["url"]}, {"name": "url", "valueUri": subject["url"]}]
    if subject.get("version"):
        named.append({"name": "version", "valueString": subject["version"]})
    return ParametersReader({"parameter": [*question.parameters["parameter"], *named]})


validate_in_code_system = _answering(
    definitions.VALIDATE_CODE_IN_CODE_SYSTEM, _validate_in_code_system, "url", "codeSystem", "version", "system"
)
lookup = _answering(definitions.LOOKUP, _lookup)
subsumes = _answering(definitions.SUBSUMES, _subsumes, "system", "version")
find_matches = _answering(definitions.FIND_MATCHES, _find_matches, "system", "version")


# --- Concept maps ------------------------------------------------------------------------------------------------


def _translate(question: Question, source: Source) -> Json:
    request = requests.read_translate(question.reader())
    request.resource = request.resource or question.subject
    return results.write_translation(terminology.translate(request, source, question.limits))


translate = _answering(definitions.TRANSLATE, _translate, "url", "conceptMap", "conceptMapVersion")
