"""$graphql: a GraphQL statement on one resource, or on the whole system.

https://hl7.org/fhir/R4/resource-operation-graphql.html
"""

from __future__ import annotations

import base64
from typing import Any

from graphql import OperationType

from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.disclosure import note_question
from fhir_server.engine.graphql.checking import check
from fhir_server.engine.graphql.execution import Execution
from fhir_server.engine.graphql.faults import Fault, report
from fhir_server.engine.graphql.places import Place
from fhir_server.engine.graphql.searches import Reader
from fhir_server.engine.graphql.statement import Statement, read
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.engine.query_parameters import FORM
from fhir_server.engine.routes import Route
from fhir_server.errors import BadRequest, FhirError
from fhir_server.r4 import values
from fhir_server.work.threads import sized

JSON = "application/json"
_PARTS = frozenset({"query", "variables", "operationName", "extensions"})


async def graphql(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Answer 200 with data, or with the status of what went wrong and the errors; in a bundle as a Binary."""
    try:
        data = await _data(context, request, route)
        status, answer = 200, {"data": data}
    except FhirError as error:
        status, answer = error.status, report(error)
    body = values.encode(answer)
    if not request.place:
        return Response(status, body, content_type=JSON)
    binary = {"resourceType": "Binary", "contentType": JSON, "data": base64.b64encode(body).decode()}
    return Response(status, values.encode(binary))


async def _data(context: Context, request: Request, route: Route) -> dict[str, Any]:
    text, name, variables = _inputs(request)
    if request.resource is not None:
        others = [("operationName", name)] if name else []
        others += [("variables", values.encode(variables).decode())] if variables else []
        note_question(request.path, [("query", text), *others])
    statement = await sized(len(text), read, text, name, variables)
    if statement.operation.operation is not OperationType.QUERY:
        raise Fault(
            "Only queries are carried out: resources are written by the RESTful interactions.",
            statement.operation,
            "not-supported",
        )
    root = None if route.type is None else Place(frozenset({route.type}))
    settings = context.services.settings
    depth, fields = settings.max_graphql_depth, settings.max_graphql_fields
    await sized(len(text), check, statement, root, max_depth=depth, max_fields=fields)
    return await _executed(context, statement, route)


async def _executed(context: Context, statement: Statement, route: Route) -> dict[str, Any]:
    reader = Reader(context)
    resource = None if route.type is None else await reader.read(route.type, route.id or "")
    return await Execution(statement, reader).run(resource)


def _inputs(request: Request) -> tuple[str, str | None, dict[str, Any]]:
    """Return the text, the operation's name and the variables, from the URL or the body."""
    unknown = [name for name, _ in request.query if name not in _PARTS | FORM]
    if unknown:
        parts = ", ".join(sorted(_PARTS))
        raise BadRequest(f"$graphql has no parameter {unknown[0][:80]!r}; it has {parts}.", code="not-supported")
    inputs: dict[str, Any] = {name: value for name, value in request.query if name in _PARTS}
    if isinstance(inputs.get("variables"), str):
        inputs["variables"] = values.decode(inputs["variables"].encode())
    if request.resource is not None:
        inputs |= _body(request.resource)
    text, name, variables = inputs.get("query"), inputs.get("operationName"), inputs.get("variables") or {}
    if not isinstance(text, str) or not text.strip():
        raise BadRequest("$graphql needs the parameter query.", code="required")
    if not isinstance(variables, dict) or not isinstance(name, str | None):
        raise BadRequest("variables is an object, and operationName a string.", code="value")
    return text, name or None, variables


def _body(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise BadRequest('The body of $graphql is a JSON object with "query", or the query itself.')
    if body.get("resourceType") != "Parameters":
        return body
    parameters = {
        each.get("name"): each.get("valueString") for each in body.get("parameter", ()) if isinstance(each, dict)
    }
    return {"query": parameters.get("query")}
