"""Topics: what is told of, by a name. Each has triggers on a type, and the search parameters to narrow it by.

The definitions follow SubscriptionTopic of R5: a trigger asks what the version before and the new one meet.
https://hl7.org/fhir/R5/subscriptiontopic.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fhir_server.engine.subscriptions.criteria import compiled
from fhir_server.errors import Unprocessable
from fhir_server.search.query.conditions import Condition, every

_PLACE = "Subscription.criteria"
BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport"
TOPIC_EXTENSION = f"{BACKPORT}/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
BASE = "urn:fhir-server:topic:"
_FINISHED = "status=final,amended,corrected,appended"
_ADMISSION = "class=IMP,ACUTE,NONAC,OBSENC,SS,EMER"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A kind of change of a type; `previous` and `current` are searches, empty for anything.

    The first version has no previous one: `passes_on_create` says whether that counts as meeting `previous`.
    """

    type: str
    current: str = ""
    previous: str = ""
    passes_on_create: bool = True
    on_create: bool = True
    on_update: bool = True


@dataclass(frozen=True, slots=True)
class Topic:
    """What can be subscribed to by its canonical URL."""

    url: str
    title: str
    description: str
    triggers: tuple[Trigger, ...]
    filters: tuple[str, ...]
    """The search parameters by which it can be narrowed, beside those of all types."""


def _topic(name: str, title: str, description: str, filters: str, *triggers: Trigger) -> Topic:
    return Topic(BASE + name, title, description, triggers, tuple(filters.split()))


TOPICS: tuple[Topic, ...] = (
    _topic(
        "patient-admitted",
        "Patient admitted",
        "An inpatient, observation, short stay or emergency Encounter is in progress that was not before.",
        "patient subject class type service-provider location practitioner",
        Trigger("Encounter", f"status=in-progress&{_ADMISSION}", "status:not=in-progress"),
    ),
    _topic(
        "encounter-start",
        "Encounter start",
        "An Encounter is in progress that was not before.",
        "patient subject class type service-provider location practitioner",
        Trigger("Encounter", "status=in-progress", "status:not=in-progress"),
    ),
    _topic(
        "encounter-end",
        "Encounter end",
        "An Encounter is finished that was not before.",
        "patient subject class type service-provider location practitioner",
        Trigger("Encounter", "status=finished", "status:not=finished"),
    ),
    _topic(
        "result-available",
        "Result available",
        "A DiagnosticReport is final, amended or corrected that was not before.",
        "patient subject code category based-on encounter performer",
        Trigger("DiagnosticReport", _FINISHED, "status:not=final,amended,corrected,appended"),
    ),
    _topic(
        "order-placed",
        "Order placed",
        "A ServiceRequest or MedicationRequest is an active order that was not active before.",
        "patient subject code category requester performer encounter intent",
        *(
            Trigger(name, "status=active&intent=order,original-order,reflex-order,filler-order,instance-order",
                    "status:not=active")
            for name in ("ServiceRequest", "MedicationRequest")
        ),
    ),
    _topic(
        "appointment-changed",
        "Appointment changed",
        "An Appointment is new or changed.",
        "patient actor practitioner location status date service-type specialty",
        Trigger("Appointment"),
    ),
    _topic(
        "document-added",
        "Document added",
        "A DocumentReference is current that was not before.",
        "patient subject type category author encounter",
        Trigger("DocumentReference", "status=current", "status:not=current"),
    ),
    _topic(
        "coverage-changed",
        "Coverage changed",
        "A Coverage is new or changed.",
        "patient beneficiary payor status type subscriber policy-holder",
        Trigger("Coverage"),
    ),
)  # fmt: skip
"""The topics that every server of this kind has."""

SHIPPED = {topic.url: topic for topic in TOPICS}


@dataclass(frozen=True, slots=True)
class Watched:
    """What one subscription is told of, of a type: what the new version meets, and what the one before it met."""

    type: str
    condition: Condition
    name: str
    """The same for the same condition."""
    previous: Condition | None = None
    passes_on_create: bool = True
    on_create: bool = True
    on_update: bool = True


def watching(topic: Topic, filters: Sequence[str], timezone: str, base_url: str) -> list[Watched]:
    """Return what a subscription by topic is told of; raises Unprocessable for a wrong filter.

    Filters of one type must all be met; a filter of a type says nothing of the topic's others.
    """
    for text in filters:
        _require_filter(topic, text)
    return list(_watched(topic, filters, timezone, base_url))


def _require_filter(topic: Topic, text: str) -> None:
    resource_type, _, query = text.partition("?")
    types = sorted({trigger.type for trigger in topic.triggers})
    if resource_type not in types or not query:
        raise Unprocessable(
            f"A filter of the topic begins with its type, as in {types[0]}?_id=1; there are: {', '.join(types)}.",
            expression=_PLACE,
            code="value",
        )
    for part in query.split("&"):
        name = part.partition("=")[0].partition(":")[0]
        if name not in topic.filters and name not in _OF_ALL_TYPES:
            there = ", ".join(topic.filters)
            raise Unprocessable(
                f"The topic is not filtered by {name[:80]!r}, but by: {there}.", expression=_PLACE, code="not-supported"
            )


_OF_ALL_TYPES = frozenset({"_id", "_tag", "_security", "_profile", "_source"})


def _watched(topic: Topic, filters: Sequence[str], timezone: str, base_url: str) -> Iterator[Watched]:
    for trigger in topic.triggers:
        own = [text.partition("?")[2] for text in filters if text.partition("?")[0] == trigger.type]
        texts = [text for text in (trigger.current, *own) if text]
        conditions = [compiled(f"{trigger.type}?{text}", timezone, base_url)[1] for text in texts]
        previous = compiled(f"{trigger.type}?{trigger.previous}", timezone, base_url)[1] if trigger.previous else None
        yield Watched(
            trigger.type,
            every(conditions),
            "&".join([trigger.type, *texts]),
            previous,
            trigger.passes_on_create,
            trigger.on_create,
            trigger.on_update,
        )
