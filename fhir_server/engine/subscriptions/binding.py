"""Tokens by which a websocket is bound to Subscriptions: sealed, for minutes, given to their owner alone.

https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/OperationDefinition-backport-subscription-get-ws-binding-token.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import msgspec

from fhir_server.auth.tokens.sealed import seal, unseal
from fhir_server.engine.context import Context, Request, Response, Services, instant, now
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.engine.routes import Route
from fhir_server.engine.subscriptions.operations import chosen, definition, parameter
from fhir_server.engine.subscriptions.registration import TYPE, acts_by_same_rights, owner_of
from fhir_server.errors import BadRequest, Forbidden
from fhir_server.r4 import values
from fhir_server.r4.subscriber import subscriber_of

BINDING_TOKEN = definition("R5SubscriptionGetWsBindingToken", "get-ws-binding-token", parameter("id", "id", "*"))
PATH = "/_websocket"
"""Where the socket is, below the FHIR base."""
_LIFETIME = timedelta(minutes=10)
_ABOUT = "websocket"
MOST = 100
"""Subscriptions that one token, and one socket, may be for."""


class Binding(msgspec.Struct, frozen=True):
    """What a token is for, and until when."""

    subscriptions: tuple[str, ...]
    expires: float


async def binding_token(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Answer with a token for the caller's Subscriptions by websocket; raises NotFound, Forbidden and BadRequest."""
    some = await chosen(context, route, inputs)
    by_websocket = [each for each in some if each["channel"].get("type") == "websocket"]
    own = [each["id"] for each in by_websocket if subscriber_of(each) == owner_of(context)]
    if not by_websocket:
        raise BadRequest("There is no such Subscription by websocket.", code="not-found")
    if len(own) > MOST:
        raise BadRequest(f"A token is for at most {MOST} Subscriptions; name some by id.", code="too-costly")
    versions = [await context.services.resources.read(TYPE, each) for each in own]
    own = [each.id for each in versions if each is not None and acts_by_same_rights(context.access, each)]
    if not own:
        raise Forbidden("A websocket is bound to Subscriptions by their owner, with the rights that they act with.")
    expires = now() + _LIFETIME
    parameters = [
        {"name": "token", "valueString": token_of(context.services, Binding(tuple(own), expires.timestamp()))},
        {"name": "expiration", "valueDateTime": instant(expires)},
        *({"name": "subscription", "valueString": each} for each in own),
        {"name": "websocket-url", "valueUrl": socket_url(context.base_url)},
    ]
    return Response(200, values.encode({"resourceType": "Parameters", "parameter": parameters}))


def socket_url(base_url: str) -> str:
    """Return the URL of the socket."""
    return f"ws{base_url.removeprefix('http')}{PATH}"


def token_of(services: Services, binding: Binding) -> str:
    """Return the token for a binding."""
    sealed = seal(msgspec.json.encode(binding), _key(services), _ABOUT)
    return base64.urlsafe_b64encode(sealed).decode()


def binding_of(services: Services, token: str) -> Binding | None:
    """Return what a token is for; None where it is none of this server, or over."""
    try:
        opened = unseal(base64.urlsafe_b64decode(token.encode()), _key(services), _ABOUT)
    except ValueError:
        return None
    if opened is None:
        return None
    binding = msgspec.json.decode(opened, type=Binding)
    return binding if datetime.fromtimestamp(binding.expires, UTC) > now() else None


def _key(services: Services) -> bytes:
    return hmac.new(services.signing_key, b"subscription sockets", hashlib.sha256).digest()
