"""What is known of one access, and the AuditEvent that tells it. https://hl7.org/fhir/R4/auditevent.html"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec

from fhir_server.engine.context import instant
from fhir_server.engine.routes import Route, route
from fhir_server.errors import FhirError
from fhir_server.r4.definitions import RESOURCE_TYPES

_TYPES = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_INTERACTIONS = "http://hl7.org/fhir/restful-interaction"
_ENTITY_TYPES = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLES = "http://terminology.hl7.org/CodeSystem/object-role"
_ACTIONS = {"GET": "R", "HEAD": "R", "POST": "C", "PUT": "U", "PATCH": "U", "DELETE": "D"}
_CODES = {
    "conditional-update": "update",
    "conditional-patch": "patch",
    "conditional-delete": "delete",
}
_MOST_ENTITIES = 1000
_LONGEST = 4000


class EntryRecord(msgspec.Struct, frozen=True, array_like=True):
    """One entry of a bundle: what was asked, how it ended, and the resource that came of it."""

    method: str
    url: str
    status: str
    location: str = ""


class AccessRecord(msgspec.Struct, frozen=True, array_like=True):
    """Who asked what, when and from where, and how it ended; `id` becomes the AuditEvent's."""

    id: str
    milliseconds: int
    method: str
    path: str
    query: str
    status: int
    address: str
    client: str = ""
    user: str = ""
    username: str = ""
    fhir_user: str = ""
    patient: str = ""
    location: str = ""
    entries: tuple[EntryRecord, ...] = ()


encode_record = msgspec.json.Encoder().encode
decode_record = msgspec.json.Decoder(AccessRecord).decode


def audit_event(record: AccessRecord) -> dict[str, Any]:
    """Return the AuditEvent of an access."""
    found = _routed(record)
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "type": {"system": _TYPES, "code": "rest", "display": "RESTful Operation"},
        "subtype": [{"system": _INTERACTIONS, "code": _code(record, found)}],
        "action": _action(record, found),
        "recorded": instant(datetime.fromtimestamp(record.milliseconds / 1000, UTC)),
        "outcome": "0" if record.status < 400 else "4" if record.status < 500 else "8",
        "outcomeDesc": _phrase(record.status),
        "agent": _agents(record),
        "source": {"observer": {"display": "fhir-server"}},
    }
    return event | ({"entity": entities} if (entities := _entities(record)) else {})


def _routed(record: AccessRecord) -> Route | None:
    try:
        return route(record.method, record.path)
    except FhirError:
        return None


def _code(record: AccessRecord, found: Route | None) -> str:
    if found is None:
        return "operation"
    if found.interaction == "batch" and record.entries and record.status < 300:
        return "transaction" if record.location == "transaction" else "batch"
    return _CODES.get(found.interaction, found.interaction)


def _action(record: AccessRecord, found: Route | None) -> str:
    if found is not None and (found.interaction in ("batch", "operation") or found.interaction.startswith("search")):
        return "E"
    return _ACTIONS.get(record.method, "E")


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _agents(record: AccessRecord) -> list[dict[str, Any]]:
    network = {"network": {"address": record.address, "type": "2"}} if record.address else {}
    agents: list[dict[str, Any]] = []
    if record.user:
        who = {"who": {"reference": record.fhir_user}} if record.fhir_user else {}
        agents.append({**who, "altId": record.user, "name": record.username, "requestor": True, **network})
    name = record.client or "unknown"
    agents.append({"who": {"identifier": {"value": name}}, "requestor": not record.user, **network})
    return agents


def _entities(record: AccessRecord) -> list[dict[str, Any]]:
    asked = EntryRecord(record.method, _url(record), "", "" if record.entries else record.location)
    entities = [_entity(asked)] if record.path else []
    entities += [_entity(entry) for entry in record.entries[:_MOST_ENTITIES]]
    if record.patient:
        role = {"system": _ROLES, "code": "1", "display": "Patient"}
        kind = {"system": _ENTITY_TYPES, "code": "1", "display": "Person"}
        entities.append({"what": {"reference": f"Patient/{record.patient}"}, "type": kind, "role": role})
    return entities


def _url(record: AccessRecord) -> str:
    return f"{record.path}?{record.query}" if record.query else record.path


def _entity(entry: EntryRecord) -> dict[str, Any]:
    path, _, query = entry.url.partition("?")
    reference = _reference(entry.location or path)
    described: dict[str, Any] = {"what": {"reference": reference}} if reference else {}
    described["type"] = {"system": _ENTITY_TYPES, "code": "2", "display": "System Object"}
    described["description"] = f"{entry.method} {path[:_LONGEST]} {entry.status}".strip()
    if query:
        # R4 lets an entity have a query or a name, and keeps the query from being read by chance.
        described["query"] = base64.b64encode(f"{path}?{query}"[:_LONGEST].encode("utf-8", "replace")).decode()
    return described


def _reference(path: str) -> str | None:
    parts = path.split("/")
    is_instance = len(parts) > 1 and parts[0] in RESOURCE_TYPES and parts[1][:1] not in ("", "$", "_")
    return "/".join(parts[:2]) if is_instance else None
