"""$status and $events of Subscriptions: how they stand, and what they have told.

https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/OperationDefinition-backport-subscription-status.html,
https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/OperationDefinition-backport-subscription-events.html
"""

from __future__ import annotations

from typing import Any, cast
from uuid import uuid4

from fhir_server.engine.context import Context, Request, Response, now
from fhir_server.engine.disclosure import note_resource
from fhir_server.engine.interactions.read import read
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.engine.routes import Route
from fhir_server.engine.subscriptions.definition import CONTENTS, Content, read_definition
from fhir_server.engine.subscriptions.notifications import About, EventContent, bundle, status_parameters
from fhir_server.engine.subscriptions.registration import TYPE
from fhir_server.errors import BadRequest
from fhir_server.r4 import values
from fhir_server.r4.definitions import Operation, OperationParameter
from fhir_server.store.work.subscriptions import Event, State

_DEFINITIONS = "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-"
MOST_EVENTS = 1000
"""Events that one answer tells; who wants more asks on from the number after the last."""
_MOST_SUBSCRIPTIONS = 1000


def parameter(name: str, kind: str, most: str = "1") -> OperationParameter:
    """Return an input of an operation."""
    return OperationParameter(name, "in", 0, most, kind, None, (), ())


def definition(name: str, code: str, *parameters: OperationParameter, of_type: bool = True) -> Operation:
    """Return an operation on Subscriptions as the implementation guide publishes it."""
    return Operation(
        name=name,
        code=code,
        url=f"{_DEFINITIONS}{code}",
        resource=(TYPE,),
        system=False,
        type=of_type,
        instance=True,
        affectsState=False,
        parameter=parameters,
    )


STATUS = definition("R5SubscriptionStatus", "status", parameter("id", "id", "*"), parameter("status", "code", "*"))
EVENTS = definition(
    "R5SubscriptionEvents",
    "events",
    parameter("eventsSinceNumber", "string"),
    parameter("eventsUntilNumber", "string"),
    parameter("content", "code"),
    of_type=False,
)


async def status(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Answer with how a Subscription stands, or those of the caller; raises NotFound and BadRequest."""
    resources = await chosen(context, route, inputs)
    store = context.services.stores.subscriptions
    states = await store.find_all(resource["id"] for resource in resources)
    entries = [_status_entry(context, resource, states.get(resource["id"])) for resource in resources]
    answer: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
    return Response(200, values.encode(answer | ({"entry": entries} if entries else {})))


def _status_entry(context: Context, resource: dict[str, Any], state: State | None) -> dict[str, Any]:
    parameters = status_parameters(_about(context, resource, state), "query-status", content="id-only")
    return {"fullUrl": f"urn:uuid:{parameters['id']}", "resource": parameters, "search": {"mode": "match"}}


def _about(context: Context, resource: dict[str, Any], state: State | None) -> About:
    asked_for, last = read_definition(resource), state.last if state else 0
    return About(resource["id"], asked_for, asked_for.status, last, context.base_url, resource.get("error", ""))


async def chosen(context: Context, route: Route, inputs: Inputs) -> list[dict[str, Any]]:
    """Return the Subscriptions that the operation is asked of, of those that the caller sees.

    Raises NotFound where the one of the URL is none of them, and BadRequest where they are too many.
    """
    if route.id is not None:
        return [await _one(context, route.id)]
    context.access.require("search-type", TYPE)
    assert context.dispatch is not None, "an operation is asked of the engine"
    ids, statuses = inputs.all("id"), inputs.all("status")
    query = [("_id", ",".join(ids))] if ids else []
    query += [("status", ",".join(statuses))] if statuses else []
    response = await context.dispatch(context, Request("GET", TYPE, [*query, ("_count", str(_MOST_SUBSCRIPTIONS))]))
    searchset = values.decode(response.json or b"{}")
    if any(link.get("relation") == "next" for link in searchset.get("link", ())):
        raise BadRequest(f"There are more than {_MOST_SUBSCRIPTIONS}; name them by id.", code="too-costly")
    return [entry["resource"] for entry in searchset.get("entry", ()) if entry["resource"]["resourceType"] == TYPE]


async def _one(context: Context, resource_id: str) -> dict[str, Any]:
    context.access.require("read", TYPE)
    response = await read(context, Request("GET", f"{TYPE}/{resource_id}"), TYPE, resource_id)
    resource: dict[str, Any] = values.decode(response.json or b"{}")
    return resource


async def events(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Answer with the events of a Subscription, between two numbers, as a notification.

    Each is told with what the caller may read of it now. Raises NotFound, and BadRequest for a number that is none.
    """
    resource = await _one(context, route.id or "")
    store = context.services.stores.subscriptions
    state = await store.find(resource["id"])
    content = _content(inputs, resource)
    last = state.last if state else 0
    first = _number(inputs, "eventsSinceNumber", 1)
    until = min(_number(inputs, "eventsUntilNumber", last), last)
    some = await store.events(resource["id"], first, until, MOST_EVENTS) if state else []
    contents = [await _content_of(context, event, content) for event in some]
    about = _about(context, resource, state)
    answer = bundle(about, "query-event", contents, at=now(), content=content)
    return Response(200, values.encode(answer | {"id": str(uuid4())}))


async def _content_of(context: Context, event: Event, content: Content) -> EventContent:
    """Return an event with the version that it is about, as far as the caller may read that."""
    if content == "empty":
        return EventContent(event, None)
    where = context.access.visible(event.type, "read")
    version = await context.services.resources.read_version(event.type, event.id, event.version, where=where)
    if version is None or version.deleted:
        return EventContent(event, None)
    note_resource(context.base_url, event.type, event.id, version.json)
    return EventContent(event, version.json)


def _content(inputs: Inputs, resource: dict[str, Any]) -> Content:
    name = inputs.one("content")
    if name is None:
        asked_for = read_definition(resource)
        return asked_for.content if asked_for.by_topic else "id-only"
    if name not in CONTENTS:
        raise BadRequest(f"content is one of {', '.join(CONTENTS)}, not {str(name)[:40]!r}.", code="value")
    return cast(Content, name)


def _number(inputs: Inputs, name: str, default: int) -> int:
    text = inputs.one(name)
    if text is None:
        return default
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 15):
        raise BadRequest(f"{name} is the number of an event, not {str(text)[:40]!r}.", code="value")
    return int(text)
