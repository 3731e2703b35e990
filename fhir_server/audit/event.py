"""The AuditEvent that tells an access. https://hl7.org/fhir/R4/auditevent.html

It says each thing once: codes without their display, and the request in words only where the interaction and the
resource do not tell it already. Every word costs an index key, and there is an event for every request.
"""

from __future__ import annotations

import base64
import hashlib
from http import HTTPStatus
from typing import Any

from fhir_server.audit.kinds import Code, Kind, kind
from fhir_server.audit.records import AccessRecord, Actor, Detail, EntryRecord
from fhir_server.engine.context import instant_of
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.ids import is_id

Element = dict[str, Any]

_ENTITY_TYPES = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLES = "http://terminology.hl7.org/CodeSystem/object-role"
OBJECT: Element = {"type": {"system": _ENTITY_TYPES, "code": "2"}}
PATIENT_ROLE: Element = {"type": {"system": _ENTITY_TYPES, "code": "1"}, "role": {"system": _ROLES, "code": "1"}}
"""What every entity has that is an object of the system, and every one that is the patient in question."""
_REQUEST_ID = {"system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType", "code": "XrequestId"}
_SOURCE = {"observer": {"display": "fhir-server"}}
_TOLD_BY_OUTCOME = frozenset({200, 201, 204})
_PATIENTS = ("Patient/", "RelatedPerson/", "Person/")
_MOST_ENTITIES = 20_000
"""More than the largest bundle has entries, or an answer patients: what stands past a limit would go untold."""
_LONGEST = 4000
_LONGEST_QUERY = 64 * 1024


def audit_event(record: AccessRecord) -> Element:
    """Return the AuditEvent of an access."""
    return {
        "resourceType": "AuditEvent",
        **of_kind(kind(record)),
        **of_actor(record.actor),
        **of_time(record.milliseconds),
        **({"entity": entity} if (entity := entities(record)) else {}),
    }


def of_kind(kind: Kind) -> Element:
    """Return the elements that tell what happened and how it ended."""
    event: Element = {
        "type": _coding(kind.type),
        "subtype": [_coding(code) for code in kind.subtypes],
        "action": kind.action,
        "outcome": "0" if kind.status < 400 else "4" if kind.status < 500 else "8",
        "source": _SOURCE,
    }
    if kind.status in _TOLD_BY_OUTCOME and not kind.reason:
        return event
    return event | {"outcomeDesc": kind.reason or _phrase(kind.status)}


def _coding(code: Code) -> Element:
    return {"system": code[0], "code": code[1]}


def of_actor(actor: Actor) -> Element:
    """Return the elements that tell who acted."""
    network = {"network": {"address": actor.address, "type": "2"}} if actor.address else {}
    agents: list[Element] = []
    if actor.user:
        who = {"who": _who(actor.fhir_user)} if actor.fhir_user else {}
        # Patients are named by their ids alone: so an erasure leaves the trail as it is, and yet no name in it.
        name = {} if not actor.username or actor.fhir_user.startswith(_PATIENTS) else {"name": actor.username}
        agents.append({**who, "altId": actor.user, **name, "requestor": True, **network})
    client = actor.client or "unknown"
    agents.append({"who": {"identifier": {"value": client}}, "requestor": not actor.user, **network})
    return {"agent": agents}


def _who(fhir_user: str) -> Element:
    # A fhirUser may be a Person, an agent may not.
    if fhir_user.startswith("Person/"):
        return {"identifier": {"value": fhir_user}}
    return {"reference": fhir_user}


def of_time(milliseconds: int) -> Element:
    """Return the element that tells when it was."""
    return {"recorded": instant_of(milliseconds)}


def entities(record: AccessRecord) -> list[Element]:
    """Return what was asked for, and whose data it may have been."""
    url, *others = _questions(record)
    direct = EntryRecord(record.method, url, "", "" if record.entries else record.location)
    entities = [_entity(direct) | _details(record.details)] if url else []
    entities += [_entity(entry) for entry in record.entries[:_MOST_ENTITIES]]
    entities += [_entity(EntryRecord("", other, "")) for other in others[:_MOST_ENTITIES]]
    references = {f"Patient/{record.patient}"} | {
        entity["what"]["reference"] for entity in entities if "what" in entity
    }
    entities += [_patient(each) for each in record.patients[:_MOST_ENTITIES] if f"Patient/{each}" not in references]
    if record.patient:
        entities.append(_patient(record.patient))
    if record.request_id:
        entities.append(request_entity(record.request_id))
    return entities


def request_entity(request_id: str) -> Element:
    """Return the entity that names the request by the id which the caller gave it.

    https://profiles.ihe.net/ITI/BALP/CodeSystem-BasicAuditEntityType.html
    """
    return {"what": {"identifier": {"value": request_id}}, "type": _REQUEST_ID}


def _questions(record: AccessRecord) -> list[str]:
    """Return what was asked: the request's URL, or what its body made of it, and then what else was asked for it."""
    url, questions = _url(record), [question for question in record.questions if question]
    if not record.entries and questions and questions[0].partition("?")[0] == record.path:
        url = questions.pop(0)
    return [url, *questions]


def _patient(patient_id: str) -> Element:
    return {"what": {"reference": f"Patient/{patient_id}"}, **PATIENT_ROLE}


def _details(details: tuple[Detail, ...]) -> Element:
    texts = [{"type": name, "valueString": _printable(value)} for name, value in details]
    return {"detail": texts} if texts else {}


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _url(record: AccessRecord) -> str:
    return f"{record.path}?{record.query}" if record.query else record.path


def _entity(entry: EntryRecord) -> Element:
    path, _, query = entry.url.partition("?")
    reference = _reference(entry.location or path)
    described: Element = {"what": {"reference": reference}} if reference else {}
    described |= OBJECT
    if entry.status or query or reference is None or path not in (reference, reference.partition("/")[0]):
        described |= _in_words(f"{entry.method} {path} {entry.status}")
    if query:
        # R4 lets an entity have a query or a name, and keeps the query from being read by chance.
        described["query"] = base64.b64encode(_whole(f"{path}?{query}").encode("utf-8", "replace")).decode()
    return described


def _in_words(text: str) -> Element:
    words = _printable(text).strip()
    return {"description": words} if words else {}


def _whole(question: str) -> str:
    """Return the question; of one that is too long the beginning, and what tells it from others."""
    if len(question) <= _LONGEST_QUERY:
        return question
    digest = hashlib.sha256(question.encode("utf-8", "replace")).hexdigest()
    return f"{question[:_LONGEST_QUERY]}... ({len(question)} characters, SHA-256 {digest})"


def _reference(path: str) -> str | None:
    parts = path.split("/")
    is_instance = len(parts) > 1 and parts[0] in RESOURCE_TYPES and is_id(parts[1])
    return "/".join(parts[:2]) if is_instance else None


def _printable(text: str) -> str:
    """Return the text as a FHIR string may hold it, whatever somebody has put into a URL."""
    cut = text[:_LONGEST]
    return cut if cut.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in cut)
