"""The operations ($name): one module for each, and the registry from which routes and capabilities read what there is.

https://hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.disclosure import note_question
from fhir_server.engine.operations.inputs import Inputs, read_inputs
from fhir_server.engine.operations.registry import find, require_method
from fhir_server.engine.query_parameters import FORM
from fhir_server.engine.routes import Route
from fhir_server.r4 import values
from fhir_server.work.threads import sized

__all__ = ["run"]


async def run(context: Context, request: Request, route: Route) -> Response:
    """Carry out the operation that the route names; raises NotFound, NotSupported, MethodNotAllowed or BadRequest."""
    operation = find(route)
    require_method(operation, request.method)
    if isinstance(request.resource, dict) and request.resource.get("resourceType") == "Parameters":
        note_question(request.path, [*request.query, *_pairs(request.resource)])
    if operation.reads_request:
        return await operation.run(context, request, route, Inputs({}))
    controls = FORM | {"_page"} if operation.paged else FORM
    depth = context.services.settings.max_depth
    inputs = await sized(request.size, read_inputs, operation.published, request, controls=controls, max_depth=depth)
    return await operation.run(context, request, route, inputs)


def _pairs(parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Tell the parameters of a body, but no resources: those are not what is asked for."""
    parts = parameters.get("parameter")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict):
            for name, value in part.items():
                if name.startswith("value"):
                    yield str(part.get("name")), value if isinstance(value, str) else values.encode(value).decode()
