"""$purge: an operator removes a version, a resource or a patient for good. It is this server's own operation."""

from __future__ import annotations

from typing import Any

from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.engine.routes import Route
from fhir_server.errors import BadRequest, Issue, operation_outcome
from fhir_server.own_urls import own_url
from fhir_server.r4 import values
from fhir_server.r4.definitions import Operation

_RESOURCE = {
    "resourceType": "OperationDefinition",
    "id": "purge",
    "name": "Purge",
    "title": "Remove for good",
    "status": "active",
    "kind": "operation",
    "description": "Removes a resource with all its versions, or one earlier version of it; of a Patient all that is "
    "the patient's. Only an operator may ask for it, and it cannot be taken back.",
    "affectsState": True,
    "code": "purge",
    "resource": ["Resource"],
    "system": False,
    "type": False,
    "instance": True,
    "parameter": [{"name": "return", "use": "out", "min": 1, "max": "1", "type": "OperationOutcome"}],
}

DEFINITION = Operation(
    name="Purge",
    code="purge",
    url="",
    resource=("Resource",),
    system=False,
    type=False,
    instance=True,
    affectsState=True,
    parameter=(),
)


def url() -> str:
    """Return the canonical URL of the operation."""
    return own_url("OperationDefinition", DEFINITION.code)


def resource() -> dict[str, Any]:
    """Return the OperationDefinition, which is published beside the hospital's own definitions."""
    return {**_RESOURCE, "url": url()}


async def run(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Remove what the URL names; answers with an OperationOutcome that says so."""
    from fhir_server.engine.purge import Target, purge, version_number  # it uses the engine, which uses this

    context.access.require("purge", route.type)
    if context.session is not None or context.pending is not None:
        raise BadRequest("$purge cannot be taken back, so it cannot be part of a transaction.", code="not-supported")
    path = request.path.removesuffix("/$purge")
    target = Target(route.type or "", route.id or "", version_number(path, route.version))
    await purge(context, target)
    issue = Issue("informational", f"{target} has been purged.", (), "information")
    return Response(200, values.encode(operation_outcome([issue])))
