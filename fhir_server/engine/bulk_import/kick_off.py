"""$import: takes what is asked for and answers where its progress can be looked up.

https://github.com/smart-on-fhir/bulk-import/blob/master/import-pnp.md
"""

from __future__ import annotations

from typing import Any

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.engine.access import owner_of
from fhir_server.engine.bulk_import.parameters import read_parameters
from fhir_server.engine.context import Context, Request, Response, now
from fhir_server.engine.disclosure import note_question
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.engine.routes import Route
from fhir_server.engine.versions import new_id
from fhir_server.errors import BadRequest, Issue, TooManyRequests, operation_outcome
from fhir_server.own_urls import own_url
from fhir_server.r4 import values
from fhir_server.r4.definitions import Operation
from fhir_server.store.accounts.bearer_tokens import meaning_document
from fhir_server.store.work.bulk_imports import BulkImport

_RETRY_SECONDS = "30"
_PARAMETERS = (
    ("input", 1, "*", None),
    ("inputFormat", 0, "1", "code"),
    ("inputSource", 0, "1", "uri"),
    ("mode", 0, "1", "code"),
    ("storageDetail", 0, "1", None),
)
_PARTS = {
    "input": (("type", 0, "1", "code"), ("url", 1, "1", "url")),
    "storageDetail": (("type", 1, "1", "code"),),
}

DEFINITION = Operation(
    name="Import",
    code="import",
    url="",
    resource=("Resource",),
    system=True,
    type=False,
    instance=False,
    affectsState=True,
    parameter=(),  # read by `parameters`, since they have parts
)


def resource() -> dict[str, Any]:
    """Return the OperationDefinition, which is published beside the hospital's own definitions."""
    return {
        "resourceType": "OperationDefinition",
        "id": "import",
        "url": own_url("OperationDefinition", DEFINITION.code),
        "name": "Import",
        "title": "Bulk import",
        "status": "active",
        "kind": "operation",
        "description": "Stores lines of resources in the background, each once, and reports those that are refused. "
        "Services and operators may ask for it, with Prefer: respond-async.",
        "affectsState": True,
        "code": DEFINITION.code,
        "resource": ["Resource"],
        "system": True,
        "type": False,
        "instance": False,
        "parameter": [
            *(_described(*each) | _parts(each[0]) for each in _PARAMETERS),
            {"name": "return", "use": "out", "min": 1, "max": "1", "type": "OperationOutcome"},
        ],
    }


def _described(name: str, least: int, most: str, kind: str | None) -> dict[str, Any]:
    return {"name": name, "use": "in", "min": least, "max": most} | ({"type": kind} if kind else {})


def _parts(name: str) -> dict[str, Any]:
    return {"part": [_described(*each) for each in _PARTS[name]]} if name in _PARTS else {}


async def kick_off(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Answer 202 with the URL where the import's progress is told.

    Raises BadRequest, Forbidden where the caller is no service or operator, and TooManyRequests.
    """
    if request.place:
        raise BadRequest("$import cannot be part of a bundle: ask for it directly.", code="not-supported")
    if not context.respond_async:
        raise BadRequest("$import takes the header Prefer: respond-async, since its answer is made in the background.")
    context.access.require("import", "*")
    parameters = read_parameters(context, request.resource)
    store = context.services.stores.bulk_imports
    owner = owner_of(context.access)
    most = context.services.settings.max_exports
    if await store.count_unfinished(owner) >= most:
        error = TooManyRequests(f"{most} of your imports are running; wait for one to finish, or end one by DELETE.")
        error.headers["Retry-After"] = _RETRY_SECONDS
        raise error
    work = BulkImport(
        id=new_id(),
        owner=owner,
        url=f"{context.base_url}/$import",
        base_url=context.base_url,
        token=meaning_document(context.access.token) if isinstance(context.access, ScopedAccess) else None,
        inputs=parameters.inputs,
        source=parameters.source,
        by_identifier=parameters.by_identifier,
        created=now(),
    )
    await store.add(work)
    note_question("$import", [("input", each.url) for each in parameters.inputs])
    issue = Issue(
        "informational", "The import has been taken; its progress is told at Content-Location.", (), "information"
    )
    headers = {"Content-Location": f"{context.base_url}/_async/{work.id}"}
    return Response(202, values.encode(operation_outcome([issue])), headers=headers)
