"""AuditEvents ready for the store, at a sixth of what the way of other resources costs.

Events are alike: what happened, who acted, which type was asked for. What each of these writes into the index is found
once, by the same function that indexes all resources, and put together for each event. That is the same index, since
each search parameter of AuditEvent looks at elements of one of these parts, or of several without weighing them
against each other; `tests/unit/engine/test_audit_drafts.py` compares the two. Search parameters that were added at run
time may do otherwise: with one of those for AuditEvent, events go the way of other resources; and so do those with
details, which are few.

Nothing is validated: the server made it, and the test holds that it is valid.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from fhir_server.audit.event import (
    OBJECT,
    PATIENT_ROLE,
    Element,
    audit_event,
    entities,
    of_actor,
    of_kind,
    request_entity,
)
from fhir_server.audit.kinds import Kind, kind
from fhir_server.audit.records import Actor, Record
from fhir_server.engine import versions
from fhir_server.engine.context import Context, instant, instant_of, now
from fhir_server.r4 import values
from fhir_server.search.index.entry import Entry
from fhir_server.search.index.index import index
from fhir_server.search.index.keys import EVERY
from fhir_server.search.params import dates
from fhir_server.search.params.words import CONTENT, MOST_WORDS, words
from fhir_server.search.registry import indexed_parameters, official_parameters
from fhir_server.store.resources.resources import Draft

_CONTENT_KEY = f"{CONTENT}="
_HOLE = "hole.0-0.hole"
_NO_REFERENCE = "entity!"
"""What an event writes of whose entities none is a reference."""


class _Part(NamedTuple):
    """What some elements of an event write into the index; `holes` are keys that end in the id."""

    keys: tuple[str, ...]
    words: frozenset[str]
    shape: frozenset[str]
    holes: tuple[str, ...] = ()

    def __or__(self, other: _Part) -> _Part:
        return _Part(
            self.keys + other.keys, self.words | other.words, self.shape | other.shape, self.holes + other.holes
        )


class _Frame(NamedTuple):
    """What many events share: elements, and their part of the index."""

    elements: Element
    part: _Part


class _Usual(NamedTuple):
    """All but the time and the ids of events with one entity, of which there are most."""

    elements: Element
    keys: tuple[str, ...]
    holes: tuple[str, ...]
    shape: str


class AuditDrafts:
    """Makes drafts of AuditEvents; remembers the parts of the last ones."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._usual = lru_cache(maxsize=8192)(self._new_usual)
        self._frame = lru_cache(maxsize=4096)(self._new_frame)
        self._of_kind = lru_cache(maxsize=512)(lambda kind: self._part(of_kind(kind)))
        self._of_actor = lru_cache(maxsize=4096)(lambda actor: self._part(of_actor(actor)))
        self._of_reference = lru_cache(maxsize=1024)(self._new_reference)
        self._of_any_request = lru_cache(maxsize=1)(self._new_of_any_request)

    def drafts(self, records: Iterable[Record]) -> list[Draft]:
        """Return the events of the records."""
        updated = now()
        if indexed_parameters("AuditEvent").keys() != official_parameters("AuditEvent").keys():
            return [versions.draft(self._context, audit_event(each), each.id, "POST", None) for each in records]
        meta = {"versionId": "1", "lastUpdated": instant(updated)}
        drafts = []
        for record in records:
            if record.details:
                drafts.append(versions.draft(self._context, audit_event(record), record.id, "POST", None))
                continue
            resource, entry = self._made(record, meta)
            drafts.append(Draft("AuditEvent", record.id, 1, updated, "POST", values.encode(resource), resource, entry))
        return drafts

    def _made(self, record: Record, meta: Element) -> tuple[Element, dict[str, Any]]:
        about, what = entities(record), kind(record)
        others = about[:-1] if record.request_id else about  # the last one names the request
        named = self._of_request(record.request_id, others) if record.request_id else None
        entry = Entry({}, "UTC", "")
        dates.index_instant("date", record.milliseconds, entry)
        if len(others) == 1 and _is_usual(others[0]) and (named is None or "what" in others[0]):
            start, resource_id = _divided(others[0])
            usual = self._usual(what, record.actor, start, others[0].get("description"))
            elements, shape = usual.elements, usual.shape
            keys = [*usual.keys, *entry.keys, *(hole + resource_id for hole in usual.holes)]
            keys = list(dict.fromkeys([*keys, *named.keys] if named else keys))
        else:
            elements, part = self._frame(what, record.actor)
            part = _joined([part, *map(self._entity, others), *([named] if named else ())])
            shape = ",".join(sorted(part.shape))
            keys = list(dict.fromkeys([*_keys(part), *entry.keys]))
        resource = {"resourceType": "AuditEvent", "id": record.id, "meta": meta, **elements}
        resource["recorded"] = instant_of(record.milliseconds)
        if about:
            resource["entity"] = about
        return resource, {"shape": shape, "keys": keys, "ranges": entry.ranges}

    def _new_usual(self, kind: Kind, actor: Actor, start: str, description: str | None) -> _Usual:
        elements, part = self._frame(kind, actor)
        part |= self._of_reference(start, False)
        if description is not None:
            part |= _of_description(description)
        return _Usual(elements, _keys(part), part.holes, ",".join(sorted(part.shape)))

    def _new_frame(self, kind: Kind, actor: Actor) -> _Frame:
        part = self._of_kind(kind) | self._of_actor(actor) | _Part((), frozenset(), frozenset({"date"}))
        return _Frame(of_kind(kind) | of_actor(actor), part)

    def _of_request(self, request_id: str, others: list[Element]) -> _Part:
        part = self._of_any_request()
        keys = part.keys + tuple(hole + request_id for hole in part.holes)
        if any("what" in entity for entity in others):
            keys = tuple(key for key in keys if key != _NO_REFERENCE)
        return part._replace(keys=keys, holes=())

    def _new_of_any_request(self) -> _Part:
        return _with_holes(self._part({"entity": [request_entity(_HOLE)]}))

    def _entity(self, entity: Element) -> _Part:
        start, resource_id = _divided(entity)
        part = self._of_reference(start, "role" in entity)
        part = part._replace(keys=part.keys + tuple(hole + resource_id for hole in part.holes), holes=())
        return part | _of_description(entity["description"]) if "description" in entity else part

    def _new_reference(self, start: str, is_patient: bool) -> _Part:
        what = {"what": {"reference": start + _HOLE}} if start else {}
        return _with_holes(self._part({"entity": [what | (PATIENT_ROLE if is_patient else OBJECT)]}))

    def _part(self, elements: Element) -> _Part:
        settings = self._context.services.settings
        resource = {"resourceType": "AuditEvent", **elements}
        entry = index(resource, timezone=settings.default_timezone, base_url=self._context.base_url)
        keys = [key for key in entry["keys"] if key != EVERY]
        contents = frozenset(key.removeprefix(_CONTENT_KEY) for key in keys if key.startswith(_CONTENT_KEY))
        others = tuple(key for key in keys if not key.startswith(_CONTENT_KEY))
        return _Part(others, contents, frozenset(entry["shape"].split(",")))


def _with_holes(part: _Part) -> _Part:
    """Return the part with those of its keys that end in the hole as the beginnings of keys."""
    holes = tuple(key.removesuffix(_HOLE) for key in part.keys if key.endswith(_HOLE))
    return part._replace(keys=tuple(key for key in part.keys if not key.endswith(_HOLE)), holes=holes)


def _joined(parts: list[_Part]) -> _Part:
    """Return what all parts write, in time that grows with them and not with their square."""
    return _Part(
        tuple(key for part in parts for key in part.keys),
        frozenset().union(*(part.words for part in parts)),
        frozenset().union(*(part.shape for part in parts)),
        tuple(hole for part in parts for hole in part.holes),
    )


def _is_usual(entity: Element) -> bool:
    # What stands beside a reference in words may be different each time: nothing to remember.
    return "role" not in entity and not ("what" in entity and "description" in entity)


def _divided(entity: Element) -> tuple[str, str]:
    """Return what an entity refers to: the type with its slash, and the id."""
    if "what" not in entity:
        return "", ""
    kind, slash, resource_id = entity["what"]["reference"].partition("/")
    return kind + slash, resource_id


def _of_description(description: str) -> _Part:
    return _Part((), frozenset(words(description)), frozenset())


def _keys(part: _Part) -> tuple[str, ...]:
    return (EVERY, *part.keys, *(_CONTENT_KEY + word for word in sorted(part.words)[:MOST_WORDS]))
