"""$viewdefinition-run: the rows of a view, at once. https://sql-on-fhir.org/ig/OperationDefinition-ViewDefinitionRun.html"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from fhir_server.engine.bulk.members import members_of
from fhir_server.engine.bulk.parameters import ExportParameters
from fhir_server.engine.bulk.selections import selection_of
from fhir_server.engine.context import Context, Request, Response, now
from fhir_server.engine.disclosure import note_question, note_resource
from fhir_server.engine.operations.inputs import Inputs, read_inputs
from fhir_server.engine.routes import Route
from fhir_server.engine.views import formats
from fhir_server.engine.views.definition import RUN
from fhir_server.errors import BadRequest, Issue, Unprocessable
from fhir_server.r4 import values
from fhir_server.r4.references import local
from fhir_server.r4.validation import validate
from fhir_server.r4.views import Row, View, ViewError, compile_view
from fhir_server.search.query.compartments import compartment_types
from fhir_server.store.resources.as_of import slice_after
from fhir_server.store.resources.resources import Version
from fhir_server.work.threads import apart, sized

_SLICE = 200
_CONTROLS = frozenset({"_pretty"})


async def run(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Answer with the rows of a view over what the caller sees, or over the resources that are sent.

    Raises BadRequest for inputs that cannot be, Unprocessable for a view that is wrong or that a resource does not
    fit, and for more rows than one answer holds.
    """
    depth = context.services.settings.max_depth
    inputs = await sized(request.size, read_inputs, RUN, request, controls=_CONTROLS, max_depth=depth)
    media_type = formats.chosen(inputs.one("_format"), request.accept)
    header = inputs.one("header")
    if header is not None and media_type != formats.CSV:
        raise BadRequest("header is about CSV; this answer is none.", code="invalid")
    view = await sized(request.size, _view, inputs.one("viewResource"))
    limit = inputs.one("_limit")
    rows = await _rows(context, view, inputs, view.most_rows if limit is None else min(limit, view.most_rows))
    if limit is not None and len(rows) > limit:
        del rows[limit:]
    elif len(rows) > view.most_rows:
        raise Unprocessable(
            f"The view has more than {view.most_rows} rows: ask for fewer by _limit.", code="too-costly"
        )
    most_bytes = context.services.settings.max_answer_bytes
    body = await sized(len(rows) * 200, _written, media_type, view, rows, header is not False, most_bytes)
    return Response(200, body, content_type=media_type)


def _written(media_type: str, view: View, rows: list[Row], header: bool, most: int) -> bytes:
    return formats.written(media_type, view.columns, rows, header=header, most=most)


def _view(definition: Any) -> View:
    try:
        return compile_view(definition)
    except ViewError as error:
        raise Unprocessable(str(error), expression=error.expression) from error


async def _rows(context: Context, view: View, inputs: Inputs, enough: int) -> list[Row]:
    """Return the rows, a few more than are enough where there are more."""
    context.access.require("search-type", view.resource)
    rows: list[Row] = []
    sent = inputs.all("resource")
    narrowed = [name for name in ("patient", "group", "_since") if inputs.all(name)]
    if sent and narrowed:
        raise BadRequest(f"{narrowed[0]} is about what is stored, but resources were sent.", code="invalid")
    parts = _sent(context, sent) if sent else _stored(context, view, inputs)
    async for part in parts:
        some, used = await apart(_rows_of, view, part, enough - len(rows))
        rows += some
        for version in part[:used]:
            if isinstance(version, Version):
                note_resource(context.base_url, version.type, version.id, version.json)
        if len(rows) > enough:
            break
    return rows


def _rows_of(view: View, part: Sequence[Version | dict[str, Any]], enough: int) -> tuple[list[Row], int]:
    """Return the rows of resources, and how many of these were looked at; what a view computes is for a thread."""
    rows: list[Row] = []
    for number, each in enumerate(part, 1):
        resource = values.decode(each.json) if isinstance(each, Version) else each
        try:
            rows += view.rows(resource)
        except ViewError as error:
            which = f"{resource.get('resourceType')}/{resource.get('id')}"
            issue = Issue("processing", f"{which} does not fit the view. {error}", (error.expression,))
            raise Unprocessable(issues=[issue]) from error
        if len(rows) > enough:
            return rows, number
    return rows, len(part)


async def _sent(context: Context, resources: list[Any]) -> AsyncIterator[Sequence[dict[str, Any]]]:
    """Yield the resources that were sent, which must be resources; raises Unprocessable."""
    await apart(_require_valid, resources, context.services.settings.max_depth)
    yield resources


def _require_valid(resources: list[Any], max_depth: int) -> None:
    for number, resource in enumerate(resources):
        faults = validate(resource, max_depth=max_depth)
        serious = [fault for fault in faults if fault.severity in ("error", "fatal")]
        if serious:
            place = f"Parameters.parameter.where(name='resource')[{number}].resource"
            raise Unprocessable(
                issues=[Issue(each.code, each.diagnostics, (place, *each.expression)) for each in serious]
            )


async def _stored(context: Context, view: View, inputs: Inputs) -> AsyncIterator[Sequence[Version]]:
    """Yield what is stored, in the order of ids, as the caller sees it."""
    parameters = _export_parameters(context, view, inputs)
    moment = now()
    members = await members_of(context, parameters, moment)
    selected = await selection_of(context, parameters, view.resource, members)
    note_question(view.resource, [("view", view.name)])
    after: str | None = ""
    while after is not None:
        part = await slice_after(context.services.resources, selected.selection, moment, after, _SLICE)
        yield [row.version for row in part.resources if selected.keeps(row)]
        after = part.last


def _export_parameters(context: Context, view: View, inputs: Inputs) -> ExportParameters:
    patients = [_named(context, reference, "Patient") for reference in inputs.all("patient")]
    group = inputs.one("group")
    if (patients or group) and view.resource not in compartment_types("Patient"):
        raise BadRequest(f"{view.resource} is in no patient's compartment; leave patient and group out.", code="value")
    since = inputs.one("_since")
    return ExportParameters(
        level="group" if group else "patient" if patients else "system",
        types=(view.resource,),
        since=None if since is None else datetime.fromisoformat(since),
        patients=tuple(dict.fromkeys(patients)),
        group=_named(context, group, "Group") if group else "",
    )


def _named(context: Context, reference: Any, resource_type: str) -> str:
    text = str(reference.get("reference", ""))
    named = local(text, context.base_url)
    if named is None or named.type != resource_type or named.version is not None:
        raise BadRequest(f"A reference such as {resource_type}/123 is expected, not {text[:80]!r}.", code="value")
    return named.id
