"""What in the database is a patient's: the patient's own resources, deleted ones too, and others that name the patient.

The patient's own are what the patient's token may see: one rule decides both. What names several patients is nobody's
own, and so is what the law keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.auth.permission.compartment import of_patient
from fhir_server.engine.context import Services
from fhir_server.r4 import values
from fhir_server.r4.references import local
from fhir_server.search.query.compartments import reference_names
from fhir_server.search.query.conditions import NOTHING, Condition, HasId, HasKey
from fhir_server.store.resources.erasure import Eraser
from fhir_server.store.resources.resources import Version

RETAINED = frozenset({"Invoice", "PaymentReconciliation", "PaymentNotice"})
"""Accounting records, which tax law keeps for years: they stay without the person."""
AUDIT = "AuditEvent"
"""Who saw what and when stays as it is: the hospital has to account for it. It names the person by id only."""


@dataclass(frozen=True, slots=True)
class Belonging:
    """References of what is a patient's own, and of what only names the patient or is to be kept."""

    own: frozenset[str]
    others: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.own or self.others)


async def belonging(services: Services, base_url: str, patient: str, types: Iterable[str]) -> Belonging:
    """Return what is the patient's among the stored types, with what was deleted."""
    search = _Search(Eraser(services.resources), base_url, patient)
    types = list(types)
    for resource_type in types:
        if resource_type != AUDIT:
            await search.look(resource_type)
            await search.look_back(resource_type)
    await search.files(types)
    await search.payments()
    return Belonging(frozenset(search.own), frozenset(search.others - search.own))


def own_condition(resource_type: str, patient: str) -> Condition | None:
    """Return what makes a resource of the type the patient's own; None where nothing."""
    condition = of_patient(resource_type, patient)
    return None if condition == NOTHING else condition


def naming(resource_type: str, patient: str) -> Condition:
    """Return what makes a resource of the type name the patient at all."""
    keys = tuple(f"{name}=Patient/{patient}" for name in reference_names(resource_type))
    return HasKey(keys) if keys else NOTHING


class _Search:
    """A search in progress."""

    def __init__(self, eraser: Eraser, base_url: str, patient: str) -> None:
        self.own: set[str] = set()
        self.others: set[str] = set()
        self._eraser = eraser
        self._base_url = base_url
        self._patient = patient
        self._links: set[str] = set()
        self._invoices: set[str] = set()

    async def look(self, resource_type: str) -> None:
        """Find what is current."""
        condition = own_condition(resource_type, self._patient)
        if condition is not None:
            for version in await self._eraser.current(resource_type, condition):
                self._add(version, owned=True)
        named = naming(resource_type, self._patient)
        if named != NOTHING:
            for version in await self._eraser.current(resource_type, named):
                self._add(version, owned=f"{version.type}/{version.id}" in self.own)

    async def look_back(self, resource_type: str) -> None:
        """Find what was the patient's when it was deleted: that is the patient's still."""
        condition = own_condition(resource_type, self._patient)
        earlier = [] if condition is None else await self._eraser.earlier(resource_type, condition)
        ids = sorted({version.id for version in earlier})
        if not ids:
            return
        current = {version.id: version for version in await self._eraser.current(resource_type, HasId(tuple(ids)))}
        gone = [each for each in ids if each not in current or current[each].deleted]
        last: dict[str, Version] = {}
        for version in await self._eraser.earlier(resource_type, HasId(tuple(gone))):
            if not version.deleted and (version.id not in last or version.version > last[version.id].version):
                last[version.id] = version
        matching = {(version.id, version.version) for version in earlier}
        for version in last.values():
            # What was corrected to be another's before it was deleted is the other's.
            if (version.id, version.version) in matching:
                self._add(version, owned=True, deleted=True)

    async def files(self, types: Iterable[str]) -> None:
        """Find the files that the patient's documents lead to, and nobody else's do.

        Only by links that whoever wrote them had the right to: what a patient claims to be a file of theirs is none.
        """
        linked = HasId(tuple(sorted(link.partition("/")[2] for link in self._links if link.startswith("Binary/"))))
        if not linked.ids:
            return
        binaries = [*await self._eraser.current("Binary", linked), *await self._eraser.earlier("Binary", linked)]
        candidates = {f"Binary/{version.id}" for version in binaries}
        candidates -= {f"Binary/{version.id}" for version in binaries if not self._is_open(version)}
        for resource_type in types if candidates else ():
            for link, places in (await self._eraser.linking(resource_type, candidates)).items():
                if not places <= self.own:
                    candidates.discard(link)
        self.own |= candidates

    def _is_open(self, version: Version) -> bool:
        """Return whether a Binary is guarded for nobody but the patient."""
        context = values.decode(version.json).get("securityContext") if version.json else None
        own = {f"Patient/{self._patient}", *self.own}
        return context is None or names(context.get("reference"), self._base_url) in own

    async def payments(self) -> None:
        """Find the payments of the patient's invoices: nothing in them names the patient, but they have their ids."""
        for version in await self._eraser.current("PaymentReconciliation", HasId(tuple(sorted(self._invoices)))):
            if f"Invoice/{version.id}" in version.links:
                self.others.add(f"PaymentReconciliation/{version.id}")

    def _add(self, version: Version, *, owned: bool, deleted: bool = False) -> None:
        resource = values.decode(version.json)
        reference = f"{version.type}/{version.id}"
        retained = version.type in RETAINED and not deleted
        if owned and not retained and is_positively_of(resource, self._patient, self._base_url):
            self.own.add(reference)
            self._links |= version.links
        elif reference not in self.own:
            self.others.add(reference)
        if version.type == "Invoice":
            self._invoices.add(version.id)


_WHOSE = ("subject", "patient", "beneficiary", "for")
"""The elements that say whose a resource is, where it has them; others say who took part."""


def is_positively_of(resource: Any, patient: str, base_url: str) -> bool:
    """Return whether a resource is the patient's for certain, and nobody else's.

    One whose subject is told by an identifier, in a contained resource or on another server may be anybody's, whoever
    else is named in it.
    """
    if resource["resourceType"] == "Patient":
        return True  # whoever it is linked to: the Patient itself is nobody else's
    own = f"Patient/{patient}"
    # What names no resource, but a patient in some way, may be about somebody else.
    texts = {names(text, base_url) for text in references(resource) if "Patient/" in text}
    if texts - {own}:
        return False
    elements = [each for name in _WHOSE for each in _listed(resource.get(name))]
    if elements:
        return all(isinstance(each, dict) and names(each.get("reference"), base_url) == own for each in elements)
    return not any(_is_somebody(each) for each in _dicts(resource))


def names(text: Any, base_url: str) -> str | None:
    """Return the resource of this server that a reference names, as "Patient/1"; None where it names none."""
    named = local(text, base_url)
    return None if named is None else named.resource


def _is_somebody(node: dict[str, Any]) -> bool:
    """Return whether a node is a reference to a patient that only an identifier or a name tells."""
    return node.get("type") == "Patient" and "reference" not in node and bool({"identifier", "display"} & node.keys())


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _dicts(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for item in node:
            yield from _dicts(item)
    elif isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _dicts(value)


def references(node: Any) -> Iterator[str]:
    """Yield the text of every reference in a resource."""
    for name, value in _strings(node):
        if name == "reference":
            yield value


def _strings(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for item in node:
            yield from _strings(item)
    elif isinstance(node, dict):
        for name, value in node.items():
            if isinstance(value, str):
                yield name, value
            else:
                yield from _strings(value)
