"""What a receiver is sent: R4's empty POST or PUT of the resource, or a topic's notification, a Bundle.

https://hl7.org/fhir/R4/subscription.html#channels,
https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/notifications.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from fhir_server.auth.outbound import Outgoing
from fhir_server.engine.context import instant
from fhir_server.engine.subscriptions.definition import XML, Content, Definition, header_pairs
from fhir_server.engine.subscriptions.registration import Secrets
from fhir_server.r4 import values
from fhir_server.r4.xml import to_xml
from fhir_server.store.work.subscriptions import Event

Kind: TypeAlias = Literal["handshake", "heartbeat", "event-notification", "query-status", "query-event"]

_PROFILES = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
_AGENT = "fhir-server"


@dataclass(frozen=True, slots=True)
class EventContent:
    """An event as it is told: `json` is the version that it is about, None where the owner does not see it now."""

    event: Event
    json: bytes | None

    @property
    def reference(self) -> str:
        """The resource, relative to the base."""
        return f"{self.event.type}/{self.event.id}"


@dataclass(frozen=True, slots=True)
class About:
    """Which subscription a notification is of, and how it stands: its status and the number of its latest event."""

    subscription: str
    definition: Definition
    status: str
    last: int
    base_url: str
    error: str = ""


def status_parameters(
    about: About, kind: Kind, events: Sequence[EventContent] = (), content: Content = "empty"
) -> dict[str, Any]:
    """Return the status of a subscription as R4 has it: Parameters."""
    topic = about.definition.criteria if about.definition.by_topic and content != "empty" else ""
    parameters: list[dict[str, Any]] = [
        _reference("subscription", f"{about.base_url}/Subscription/{about.subscription}"),
        *([{"name": "topic", "valueCanonical": topic}] if topic else []),
        {"name": "status", "valueCode": about.status},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(about.last)},
        *(_event(event, about.base_url, content) for event in events),
    ]
    if about.error:
        parameters.append({"name": "error", "valueCodeableConcept": {"text": about.error}})
    return {
        "resourceType": "Parameters",
        "id": str(uuid4()),
        "meta": {"profile": [f"{_PROFILES}backport-subscription-status-r4"]},
        "parameter": parameters,
    }


def _reference(name: str, reference: str) -> dict[str, Any]:
    return {"name": name, "valueReference": {"reference": reference}}


def _event(event: EventContent, base_url: str, content: Content) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"name": "event-number", "valueString": str(event.event.number)},
        {"name": "timestamp", "valueInstant": instant(event.event.at)},
    ]
    if content != "empty" and event.json is not None:
        parts.append(_reference("focus", f"{base_url}/{event.reference}"))
    return {"name": "notification-event", "part": parts}


def bundle(
    about: About, kind: Kind, events: Sequence[EventContent] = (), *, at: datetime, content: Content | None = None
) -> dict[str, Any]:
    """Return a notification: a Bundle whose first entry says which events it tells of."""
    content = content or about.definition.content
    status = status_parameters(about, kind, events, content)
    first = {
        "fullUrl": f"urn:uuid:{status['id']}",
        "resource": status,
        "request": {"method": "GET", "url": f"{about.base_url}/Subscription/{about.subscription}/$status"},
        "response": {"status": "200"},
    }
    entries = [_entry(each, about.base_url, content) for each in events if content != "empty" and each.json is not None]
    return {
        "resourceType": "Bundle",
        "id": str(uuid4()),
        "meta": {"profile": [f"{_PROFILES}backport-subscription-notification-r4"]},
        "type": "history",
        "timestamp": instant(at),
        "entry": [first, *entries],
    }


def _entry(event: EventContent, base_url: str, content: Content) -> dict[str, Any]:
    entry: dict[str, Any] = {"fullUrl": f"{base_url}/{event.reference}"}
    if content == "full-resource" and event.json:
        entry["resource"] = values.decode(event.json)
    made = event.event.version == 1
    method = "POST" if event.event.method == "POST" else "PUT"
    entry["request"] = {"method": method, "url": event.event.type if method == "POST" else event.reference}
    entry["response"] = {"status": "201" if made else "200"}
    return entry


# --- Over HTTP ---------------------------------------------------------------------------------------------------


def encoded(resource: dict[str, Any], media_type: str) -> bytes:
    """Return a resource in a payload's format."""
    return to_xml(resource) if media_type.partition(";")[0].strip() in XML else values.encode(resource)


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent, when; `name` is the same each time that the same is told."""

    name: str
    at: datetime
    body: bytes | None = None
    method: str = "POST"


def by_http(definition: Definition, secrets: Secrets, message: Message) -> Outgoing:
    """Return a request to the endpoint.

    It is signed as https://www.standardwebhooks.com says where the subscription has a secret.
    """
    name, body, timestamp = message.name, message.body, str(int(message.at.timestamp()))
    headers = [("User-Agent", _AGENT), ("webhook-id", name), ("webhook-timestamp", timestamp)]
    if body is not None:
        media_type = definition.payload
        headers.append(("Content-Type", media_type if "charset" in media_type else f"{media_type}; charset=utf-8"))
    if secrets.key:
        headers.append(("webhook-signature", f"v1,{signature(secrets.key, name, timestamp, body or b'')}"))
    own = {header.lower() for header, _ in headers}
    headers += [pair for pair in header_pairs(secrets.headers) if pair[0].lower() not in own - {"user-agent"}]
    return Outgoing(message.method, headers, body or b"", seconds=float(definition.timeout))


def signature(key: str, name: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a notification: HMAC-SHA256 over its name, time and body, in base64."""
    signed = f"{name}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.new(signing_key(key), signed, hashlib.sha256).digest()).decode()


def signing_key(key: str) -> bytes:
    """Return the bytes of a secret: what follows `whsec_` is base64, anything else is taken as it is written."""
    if key.startswith("whsec_"):
        try:
            return base64.b64decode(key.removeprefix("whsec_"), validate=True)
        except ValueError:
            return key.encode()
    return key.encode()
