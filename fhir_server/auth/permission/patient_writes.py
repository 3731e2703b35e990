"""What a patient may write over FHIR: one table, and the check of a write against it.

It holds for every patient-level token: `patient/` scopes, and `user/` scopes of a user who is a patient. Such a token
reports about its own patient; it never states what the hospital, a system or the payer decides (identity, visits,
slots, money, insurance), and it changes only what it reported itself. `docs/access.md` prints the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from fhir_server.auth.permission.compartment import of_patient
from fhir_server.errors import Forbidden, Issue
from fhir_server.r4.definitions import table
from fhir_server.r4.references import local
from fhir_server.r4.reports import is_mark, other_labels
from fhir_server.r4.walk import Node, walk_element
from fhir_server.search.index.index import REPORTER
from fhir_server.search.query.conditions import NOTHING, Condition, HasId, HasKey, every
from fhir_server.search.shared import SHARED_TYPES

Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be written of one type."""

    subject: str
    """The element that must name the token's patient; empty where the resource is the patient itself."""
    elements: frozenset[str]
    """The elements that may be written besides, choices as `value[x]`."""
    authors: frozenset[str] = frozenset()
    """Elements that say whose word it is: only the patient, or the user of the token, may stand there."""
    recipients: frozenset[str] = frozenset()
    """Elements that lead to the hospital: no patient may stand there, not even the token's own."""
    permissions: str = "cud"
    """What may be done, by the letters of SMART scopes."""


def _rule(subject: str, elements: str, authors: str = "", **more: Any) -> Rule:
    return Rule(subject, frozenset(elements.split()), frozenset(authors.split()), **more)


RULES: Mapping[str, Rule] = {
    "AllergyIntolerance": _rule(
        "patient",
        "clinicalStatus verificationStatus type category criticality code onset[x] recordedDate lastOccurrence note "
        "reaction",
        "recorder asserter",
    ),
    "Binary": _rule("securityContext", "contentType data"),
    "Communication": _rule(
        "subject",
        "status category medium topic sent recipient payload note",
        "sender",
        recipients=frozenset({"recipient"}),
    ),
    "Condition": _rule(
        "subject",
        "clinicalStatus verificationStatus category severity code bodySite onset[x] abatement[x] recordedDate note",
        "recorder asserter",
    ),
    "DocumentReference": _rule(
        "subject", "status docStatus type category date description content context", "author"
    ),
    "FamilyMemberHistory": _rule(
        "patient",
        "status dataAbsentReason date name relationship sex born[x] age[x] estimatedAge deceased[x] reasonCode note "
        "condition",
    ),
    "Goal": _rule(
        "subject",
        "lifecycleStatus category priority description start[x] target statusDate statusReason note",
        "expressedBy",
    ),
    "MedicationStatement": _rule(
        "subject",
        "status statusReason category medication[x] effective[x] dateAsserted reasonCode note dosage",
        "informationSource",
    ),
    "Observation": _rule(
        "subject",
        "status category code encounter effective[x] value[x] dataAbsentReason interpretation note bodySite method "
        "issued device referenceRange hasMember derivedFrom component",
        "performer",
    ),
    "Patient": _rule("", "maritalStatus address contact communication", permissions="u"),
    "QuestionnaireResponse": _rule("subject", "questionnaire status encounter authored item", "author source"),
}  # fmt: skip
"""Every type that a patient-level token may write."""

ALWAYS = frozenset({"id", "language", "text", "contained"})
"""Elements that may be written in each of them; of `meta` the profiles alone."""

CONTAINED = frozenset({"Location", "Medication", "Organization", "Practitioner", "PractitionerRole", "Substance"})
"""Types that a report may contain: things and people of care, never patients."""

EXTENSIONS = frozenset(
    f"http://hl7.org/fhir/StructureDefinition/{name}"
    for name in ("data-absent-reason", "originalText", "rendering-markdown", "rendering-style", "translation")
)
"""Extensions that may be written: those that say how to read a value. Others may carry a state of the hospital's."""

_PERSONS = frozenset({"Group", "Patient", "Person", "RelatedPerson"})
_SERVERS_META = frozenset({"versionId", "lastUpdated", "_versionId", "_lastUpdated"})


@dataclass(frozen=True)
class Change:
    """A write as it would be stored: the resource before (None where there is none) and after, and its index entry."""

    interaction: str
    type: str
    id: str
    entry: Mapping[str, Any]
    after: Resource
    read_before: Callable[[], Resource | None] = lambda: None

    @cached_property
    def before(self) -> Resource:
        """The resource as it is stored; empty where there is none."""
        return self.read_before() or {}

    def changed(self) -> Iterator[str]:
        """Yield the names of the elements that are not as before."""
        for name in {**self.after, **self.before}:
            if self.after.get(name) != self.before.get(name):
                yield name


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes with a patient-level token."""

    patient: str
    """The id of the patient whose record the token opens."""
    reporter: str
    """The user, as the mark names it ("Patient/1")."""
    base_url: str = ""

    def literal(self, reference: object) -> tuple[str, str] | None:
        """Return the type and id that a literal reference to this server has; None for anything else."""
        named = local(reference, self.base_url)
        return None if named is None else (named.type, named.id)

    def is_patient(self, reference: object) -> bool:
        """Return whether a Reference names the token's patient, and by nothing but its id."""
        if not isinstance(reference, Mapping) or not _is_plain(reference):
            return False
        return self.literal(reference.get("reference")) == ("Patient", self.patient)

    def is_self(self, reference: object) -> bool:
        """Return whether a Reference names the patient or the user."""
        if self.is_patient(reference):
            return True
        if not isinstance(reference, Mapping) or not _is_plain(reference):
            return False
        return self.literal(reference.get("reference")) == tuple(self.reporter.split("/", 1))


def changeable(resource_type: str, permission: str, writer: Writer) -> Condition:
    """Return the condition of the resources of a type that the permission ("c", "u", "d") lets the writer write."""
    rule = RULES.get(resource_type)
    if rule is None or permission not in rule.permissions:
        return NOTHING
    if not rule.subject:
        return HasId((writer.patient,))
    own = of_patient(resource_type, writer.patient)
    return own if permission == "c" else every([own, HasKey((f"{REPORTER}={writer.reporter}",))])


def require_permitted(change: Change, writer: Writer) -> None:
    """Raise Forbidden, with every fault and its place, unless a patient-level token may make the change."""
    faults = list(_faults(change, writer))
    if faults:
        raise Forbidden(issues=[Issue("forbidden", text, (path,)) for path, text in faults])


def links(change: Change, writer: Writer) -> frozenset[tuple[str, str]]:
    """Return the type and id of what the change newly leads to and only some may see: the writer must be one of them.

    https://hl7.org/fhir/R4/references.html
    """
    return frozenset(_targets(change.after, writer) - _targets(change.before, writer))


Fault = tuple[str, str]
"""A FHIRPath, and what is wrong there."""


def _faults(change: Change, writer: Writer) -> Iterator[Fault]:
    rule = RULES.get(change.type)
    if rule is None:
        yield change.type, f"A patient's token does not write {change.type} over FHIR."
        return
    if rule.subject and not writer.is_patient(change.after.get(rule.subject)):
        yield (
            f"{change.type}.{rule.subject}",
            f'It must be the patient of the token, as {{"reference": "Patient/{writer.patient}"}}.',
        )
    yield from _meta_faults(change)
    for name in sorted(set(change.changed()) - {"resourceType", "id", "meta"}):
        yield from _element_faults(change, rule, name, writer)


def _meta_faults(change: Change) -> Iterator[Fault]:
    after, before = change.after.get("meta") or {}, change.before.get("meta") or {}
    for name in sorted({**after, **before}.keys() - _SERVERS_META - {"profile"}):
        if _clients(after, name) != _clients(before, name):
            yield f"{change.type}.meta.{name}", "A patient's token writes no tags, security labels or source."


def _clients(meta: Mapping[str, Any], name: str) -> Any:
    """Return what a client may have written there: all but the server's mark."""
    if name == "security":
        return other_labels(meta)
    if name == "extension":
        return [each for each in meta.get(name, ()) if not is_mark(each)]
    return meta.get(name)


def _element_faults(change: Change, rule: Rule, name: str, writer: Writer) -> Iterator[Fault]:
    path, value = f"{change.type}.{name}", change.after.get(name)
    bare = name.removeprefix("_")
    if bare not in _writable(change.type):
        yield path, f"A patient's token does not write {change.type}.{bare} over FHIR."
        return
    if bare in rule.authors and not all(writer.is_self(each) for each in _each(value)):
        yield path, "It must be the patient of the token, or its user, by id."
    if bare in rule.recipients and any(writer.literal(each.get("reference")) is None for each in _each(value)):
        yield path, "It must name somebody of the hospital by id."
    element = table(change.type).elements[bare]
    for node in walk_element(value, element, path, primitive=name.startswith("_")):
        text = _node_fault(node, writer, own=bare not in rule.recipients)
        if text is not None:
            yield node.path, text


@lru_cache(maxsize=64)
def _writable(resource_type: str) -> frozenset[str]:
    """Return the JSON names of what may be written, a choice once for each type that it may have."""
    rule = RULES[resource_type]
    named = {rule.subject} | rule.elements | rule.authors | ALWAYS
    if not rule.subject:
        named -= {"contained"}  # the hospital's own references may lead there
    return frozenset(
        name
        for name, element in table(resource_type).elements.items()
        if name in named or (element.choice is not None and f"{element.choice}[x]" in named)
    )


def _node_fault(node: Node, writer: Writer, *, own: bool) -> str | None:
    if node.element.type == "Resource" and node.type not in CONTAINED:
        return f"A patient's token writes no contained {node.type}; it may contain {', '.join(sorted(CONTAINED))}."
    if node.type == "Extension" and not (node.element.name == "extension" and node.value.get("url") in EXTENSIONS):
        return "A patient's token does not write this extension."
    if node.element.name == "authorReference" and not writer.is_self(node.value):
        return "It must be the patient of the token, or its user, by id."
    if node.type == "Annotation" and not node.value.keys().isdisjoint({"authorString", "_authorString"}):
        return "Whose word it is can only be told by id, as authorReference."
    if node.type == "Reference":
        return _reference_fault(node.value, writer, own=own)
    if node.type == "Attachment" and not _is_file(node.value, writer):
        return "The url of an attachment must be a Binary of this server, as Binary/[id]; or send its data."
    return None


def _reference_fault(reference: Mapping[str, Any], writer: Writer, *, own: bool) -> str | None:
    if not _is_plain(reference):
        return "A patient's token names others by their id on this server, not by identifier."
    text = reference.get("reference")
    if text is None:
        named = reference.get("type") in _PERSONS
        return "A patient's token names people by their id on this server, not by name." if named else None
    if isinstance(text, str) and text.startswith("#"):
        return None
    target = writer.literal(text)
    if target is None:
        return "A patient's token refers to resources of this server only, as Type/[id]."
    if target[0] != "Patient":
        return None
    if not own:
        return "A patient's token names no patient here."
    return None if target[1] == writer.patient else "A patient's token names no other patient."


def _is_plain(reference: Mapping[str, Any]) -> bool:
    return "identifier" not in reference and "_reference" not in reference


def _is_file(attachment: Mapping[str, Any], writer: Writer) -> bool:
    if "url" not in attachment:
        return "_url" not in attachment
    target = writer.literal(attachment["url"])
    return target is not None and target[0] == "Binary"


def _targets(resource: Resource, writer: Writer) -> set[tuple[str, str]]:
    targets: set[tuple[str, str]] = set()
    if not resource:
        return targets
    for name, element in table(resource["resourceType"]).elements.items():
        if name == "meta":
            continue  # the server's mark, which no client writes
        for node in walk_element(resource.get(name), element, name):
            text = node.value.get({"Reference": "reference", "Attachment": "url"}.get(node.type, ""))
            target = writer.literal(text)
            if target is not None and target[0] not in SHARED_TYPES and target != ("Patient", writer.patient):
                targets.add(target)
    return targets


def _each(value: Any) -> Iterable[Mapping[str, Any]]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, Mapping)]
