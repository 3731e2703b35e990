"""What a terminology operation is asked: the Parameters resource that a request comes to, however it was sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.engine.context import Context, Request
from fhir_server.engine.operations.inputs import (
    only_resource,
    read_url,
    require_declared,
    require_valid,
    value_property,
)
from fhir_server.engine.query_parameters import FORM
from fhir_server.errors import BadRequest, TooLarge
from fhir_server.r4.definitions import Operation, OperationParameter

Json = dict[str, Any]

MOST_INPUTS = 2000
"""Parameters of a request, and of each validation of a batch."""
MOST_CODINGS = 1000
"""Codings of a concept that is asked about: each is looked for by itself."""


def read_parameters(context: Context, request: Request, operation: Operation) -> Json:
    """Return the inputs as Parameters; raises BadRequest for one that is unknown, faulty, or stands twice.

    A resource in the body is the one input that it can be, as `POST ValueSet/$expand` with a ValueSet.
    """
    declared = {each.name: each for each in operation.parameter if each.use == "in"}
    in_url = [pair for pair in request.query if pair[0] not in FORM]
    depth = context.services.settings.max_depth
    parameters = [
        {"name": name, value_property(declared[name].type or ""): value}
        for name, value in read_url(declared, in_url, depth)
    ]
    parameters += _in_body(request.resource, operation, depth)
    _require_single(parameters, declared)
    return {"resourceType": "Parameters", "parameter": parameters}


def _in_body(body: Any, operation: Operation, depth: int) -> Iterator[Json]:
    declared = {each.name: each for each in operation.parameter if each.use == "in"}
    if body is None:
        return
    if not isinstance(body, dict):
        raise BadRequest(f"The body of ${operation.code} is a Parameters resource.")
    if body.get("resourceType") != "Parameters":
        yield {"name": only_resource(operation, declared, body), "resource": body}
        return
    yield from _parts(body, declared, depth, "Parameters")


def _parts(body: Json, declared: dict[str, OperationParameter] | None, depth: int, at: str) -> Iterator[Json]:
    """Yield the parameters of a body, and see that those within them (`profile`, `validation`) are well formed, too.

    `declared` is None for those of a validation in a batch, which is answered by itself, whatever it asks.
    """
    parts = body.get("parameter", [])
    if not isinstance(parts, list):
        raise BadRequest("The parameters are a list.", expression=f"{at}.parameter", code="structure")
    if len(parts) > MOST_INPUTS:
        raise TooLarge(
            f"A request has {MOST_INPUTS} parameters at most.", code="too-costly", expression=f"{at}.parameter"
        )
    for position, part in enumerate(parts):
        place = f"{at}.parameter[{position}]"
        if not isinstance(part, dict) or not isinstance(part.get("name"), str):
            raise BadRequest("A parameter needs a name.", expression=f"{place}.name")
        if declared is not None:
            require_declared(declared, part["name"], place)
        if "resource" in part:
            _require_resource(part, declared, depth, place)
        else:
            _require_few_codings(part.get("valueCodeableConcept"), f"{place}.valueCodeableConcept.coding")
            require_valid([part], depth)
        yield part


def _require_few_codings(concept: Any, at: str) -> None:
    codings = concept.get("coding") if isinstance(concept, dict) else None
    if isinstance(codings, list) and len(codings) > MOST_CODINGS:
        raise TooLarge(f"A concept has {MOST_CODINGS} codings at most.", code="too-costly", expression=at)


def _require_resource(part: Json, declared: dict[str, OperationParameter] | None, depth: int, place: str) -> None:
    name, resource, at = part["name"][:80], part["resource"], f"{place}.resource"
    if not isinstance(resource, dict):
        raise BadRequest(f"The parameter {name!r} holds a resource.", expression=at)
    if name not in _WITHIN:
        return
    if resource.get("resourceType") != "Parameters":
        raise BadRequest(f"The parameter {name!r} holds Parameters.", expression=at)
    list(_parts(resource, None if name == "validation" else declared, depth, at))


_WITHIN = frozenset({"profile", "validation"})


def _require_single(parameters: list[Json], declared: dict[str, OperationParameter]) -> None:
    seen: dict[str, Json] = {}
    for part in parameters:
        name = part["name"]
        if declared[name].max != "*" and seen.setdefault(name, part) != part:
            raise BadRequest(f"The parameter {name} appears twice, with different values.", expression=name)
