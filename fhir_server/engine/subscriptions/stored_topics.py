"""Topics that somebody has stored, as Basic; and finding a topic by its URL, shipped or stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_server.engine.context import Services
from fhir_server.engine.subscriptions.definition import Definition
from fhir_server.engine.subscriptions.topics import SHIPPED, Topic, Trigger
from fhir_server.errors import Unprocessable
from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.topics import elements_of, text_of, value_of
from fhir_server.search.index.index import TOPIC
from fhir_server.search.index.keys import clean
from fhir_server.search.query.conditions import HasKey
from fhir_server.store.resources.erasure import Eraser

_STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
_PLACE = "Subscription.criteria"


async def find_topic(services: Services, url: str) -> Topic:
    """Return the topic with a canonical URL; raises Unprocessable where there is none that can be carried out."""
    if url in SHIPPED:
        return SHIPPED[url]
    where = HasKey((f"{TOPIC}={clean(url)}",))
    for version in await Eraser(services.resources).current("Basic", where):
        return read_topic(url, values.decode(version.json))
    there = ", ".join(SHIPPED)
    raise Unprocessable(f"There is no topic {url[:200]!r}; there are {there}.", expression=_PLACE, code="not-found")


async def types_told(services: Services, definition: Definition) -> frozenset[str]:
    """Return the types that a subscription is told of; raises Unprocessable where its topic is gone."""
    if not definition.by_topic:
        return frozenset({definition.criteria.partition("?")[0]})
    topic = await find_topic(services, definition.criteria)
    return frozenset(trigger.type for trigger in topic.triggers)


def read_topic(url: str, resource: Mapping[str, Any]) -> Topic:
    """Return the topic that a Basic is; raises Unprocessable for what this server cannot carry out of it."""
    if text_of(resource, "status") in ("retired", "unknown"):
        raise _refused(f"The topic {url[:200]!r} is not in use any longer.")
    if elements_of(resource, "eventTrigger"):
        raise _refused("The topic has an eventTrigger, which this server knows no events for.")
    triggers = [one for each in elements_of(resource, "resourceTrigger") for one in _triggers(each)]
    if not triggers:
        raise _refused("The topic has no resourceTrigger.")
    filters = [part for each in elements_of(resource, "canFilterBy") for part in _parts(each, "filterParameter")]
    return Topic(url, text_of(resource, "title"), text_of(resource, "description"), tuple(triggers), tuple(filters))


def _parts(extension: Mapping[str, Any], name: str) -> list[str]:
    return [value_of(each) for each in _extensions(extension, name)]


def _extensions(extension: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    parts = extension.get("extension")
    return [each for each in parts if each.get("url") == name] if isinstance(parts, list) else []


def _triggers(extension: Mapping[str, Any]) -> Iterator[Trigger]:
    resource_type = "".join(_parts(extension, "resource")[:1]).removeprefix(_STRUCTURE)
    if resource_type not in RESOURCE_TYPES:
        raise _refused(f"The topic's trigger is on {resource_type[:40]!r}, which is not a type of R4.")
    if _extensions(extension, "fhirPathCriteria"):
        raise _refused("The topic has fhirPathCriteria; queryCriteria can say what they would.")
    interactions = _parts(extension, "supportedInteraction") or ["create", "update"]
    if set(interactions) - {"create", "update"}:
        raise _refused("The topic's trigger is on deletions, which nobody is told of.")
    on = {"on_create": "create" in interactions, "on_update": "update" in interactions}
    criteria = next(iter(_extensions(extension, "queryCriteria")), {})
    current, previous = ("".join(_parts(criteria, name)[:1]) for name in ("current", "previous"))
    passes = "test-fails" not in _parts(criteria, "resultForCreate")
    both = any(each.get("valueBoolean") is True for each in _extensions(criteria, "requireBoth"))
    if both or not (current and previous):
        yield Trigger(resource_type, current, previous, passes, **on)
    else:  # one of the two is enough
        yield Trigger(resource_type, current, "", **on)
        yield Trigger(resource_type, "", previous, passes, **on)


def _refused(text: str) -> Unprocessable:
    return Unprocessable(text, expression=_PLACE, code="not-supported")
