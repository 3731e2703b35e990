"""$export: takes what is asked for and answers where its progress can be looked up.

https://hl7.org/fhir/uv/bulkdata/STU2/export.html#bulk-data-kick-off-request
"""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.engine.access import owner_of
from fhir_server.engine.bulk.members import members_of
from fhir_server.engine.bulk.parameters import ExportParameters, read_parameters
from fhir_server.engine.context import Context, Request, Response, now
from fhir_server.engine.interactions.read import read
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.engine.routes import Route
from fhir_server.engine.versions import new_id
from fhir_server.errors import BadRequest, Issue, TooManyRequests, operation_outcome
from fhir_server.r4 import values
from fhir_server.r4.definitions import Operation, OperationParameter
from fhir_server.store.accounts.bearer_tokens import meaning_document
from fhir_server.store.work.exports import Export, ExportStore, Part

_RETRY_SECONDS = "30"


def _parameter(name: str, kind: str, most: str = "1") -> OperationParameter:
    return OperationParameter(name, "in", 0, most, kind, None, (), ())


_PARAMETERS = (
    _parameter("_outputFormat", "string"),
    _parameter("_since", "instant"),
    _parameter("_until", "instant"),
    _parameter("_type", "string", "*"),
    _parameter("_typeFilter", "string", "*"),
    _parameter("_elements", "string", "*"),
    _parameter("includeAssociatedData", "string", "*"),
    _parameter("patient", "Reference", "*"),
)


def _definition(name: str, url: str, *resource: str, **levels: bool) -> Operation:
    flags = {"system": False, "type": False, "instance": False} | levels
    return Operation(
        name=name,
        code="export",
        url=f"http://hl7.org/fhir/uv/bulkdata/OperationDefinition/{url}",
        resource=resource,
        affectsState=False,
        parameter=_PARAMETERS,
        **flags,
    )


SYSTEM = _definition("BulkDataExport", "export", "Resource", system=True)
PATIENT = _definition("PatientLevelExport", "patient-export", "Patient", type=True)
GROUP = _definition("GroupLevelExport", "group-export", "Group", instance=True)


async def kick_off(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Answer 202 with the URL where the export's progress is told.

    Raises BadRequest, Forbidden, NotFound for a Group that the caller does not see, and TooManyRequests.
    """
    if request.place:
        raise BadRequest("$export cannot be part of a bundle: ask for it directly.", code="not-supported")
    if not context.respond_async:
        raise BadRequest("$export takes the header Prefer: respond-async, since its answer is made in the background.")
    if route.type == "Group":
        await read(context, Request("GET", f"Group/{route.id}"), "Group", route.id or "")
    parameters = await read_parameters(context, route, inputs)
    if parameters.group or parameters.patients:
        await members_of(context, parameters, now())  # refuses what it cannot tell
    export = _export(context, request, parameters)
    store = context.services.stores.exports
    await _require_room(context, store, export.owner)
    await store.add(export)
    issue = Issue(
        "informational", "The export has been taken; its progress is told at Content-Location.", (), "information"
    )
    headers = {"Content-Location": f"{context.base_url}/_async/{export.id}"}
    return Response(202, values.encode(operation_outcome([issue])), headers=headers)


def _export(context: Context, request: Request, parameters: ExportParameters) -> Export:
    access = context.access
    query = urlencode([pair for pair in request.query if pair[0] not in ("_format", "_pretty")])
    return Export(
        id=new_id(),
        owner=owner_of(access),
        url=f"{context.base_url}/{request.path}{f'?{query}' if query else ''}",
        base_url=context.base_url,
        parameters=msgspec.to_builtins(parameters),
        token=meaning_document(access.token) if isinstance(access, ScopedAccess) else None,
        parts=tuple(Part(name) for name in parameters.types),
        created=now(),
    )


async def _require_room(context: Context, store: ExportStore, owner: str) -> None:
    most = context.services.settings.max_exports
    if await store.count_unfinished(owner) >= most:
        error = TooManyRequests(f"{most} of your exports are running; wait for one to finish, or end one by DELETE.")
        error.headers["Retry-After"] = _RETRY_SECONDS
        raise error
