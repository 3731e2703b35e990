"""What in the database is a patient's: the patient's own resources, deleted ones too, and others that name the patient.

The patient's own are what the patient's token may see: one rule decides both. What names several patients is nobody's
own, and so is what the law keeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fhir_server.auth.compartment import of_patient
from fhir_server.engine.context import Services
from fhir_server.r4 import values
from fhir_server.search.conditions import NOTHING, Condition, HasKey
from fhir_server.search.criteria import key_names
from fhir_server.search.filters import to_filter
from fhir_server.search.registry import parameters
from fhir_server.store.erasure import Eraser, Filter
from fhir_server.store.resources import Version

RETAINED = frozenset({"Invoice", "PaymentReconciliation", "PaymentNotice"})
"""Accounting records, which tax law keeps for years: they stay without the person."""
AUDIT = "AuditEvent"
"""Who saw what and when stays as it is: the hospital has to account for it. It names the person by id only."""

_BINARY = re.compile(r"(?:.*/)?Binary/([A-Za-z0-9\-.]{1,64})(?:/_history/.+)?")


@dataclass(frozen=True, slots=True)
class Belonging:
    """References of what is a patient's own, and of what only names the patient or is to be kept."""

    own: frozenset[str]
    others: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.own or self.others)


async def belonging(services: Services, patient: str, types: Iterable[str], *, history: bool = True) -> Belonging:
    """Return what is the patient's among the stored types, with what was deleted, unless not in the `history` too."""
    search = _Search(Eraser(services.resources), patient)
    for resource_type in types:
        if resource_type != AUDIT:
            await search.look(resource_type)
            if history:
                await search.look_back(resource_type)
    await search.files()
    return Belonging(frozenset(search.own), frozenset(search.others - search.own))


def own_condition(resource_type: str, patient: str) -> Filter | None:
    """Return what makes a resource of the type the patient's own, as a filter of the database; None where nothing."""
    condition = of_patient(resource_type, patient)
    return None if condition == NOTHING else to_filter(condition)


@lru_cache(maxsize=512)
def _reference_keys(resource_type: str) -> tuple[str, ...]:
    names = [
        key
        for parameter in parameters(resource_type).values()
        if parameter.type == "reference"
        for key in key_names(resource_type, parameter)
    ]
    return tuple(dict.fromkeys(names))


def naming(resource_type: str, patient: str) -> Condition:
    """Return what makes a resource of the type name the patient at all."""
    keys = tuple(f"{name}=Patient/{patient}" for name in _reference_keys(resource_type))
    return HasKey(keys) if keys else NOTHING


class _Search:
    """A search in progress."""

    def __init__(self, eraser: Eraser, patient: str) -> None:
        self.own: set[str] = set()
        self.others: set[str] = set()
        self._eraser = eraser
        self._patient = patient
        self._files: set[str] = set()

    async def look(self, resource_type: str) -> None:
        """Find what is current."""
        condition = own_condition(resource_type, self._patient)
        if condition is not None:
            for version in await self._eraser.current(resource_type, condition):
                self._add(version, owned=True)
        named = naming(resource_type, self._patient)
        if named != NOTHING:
            for version in await self._eraser.current(resource_type, to_filter(named)):
                self._add(version, owned=f"{version.type}/{version.id}" in self.own)

    async def look_back(self, resource_type: str) -> None:
        """Find what was the patient's: what is deleted since is the patient's still."""
        condition = own_condition(resource_type, self._patient)
        earlier = [] if condition is None else await self._eraser.earlier(resource_type, condition)
        ids = sorted({version.id for version in earlier})
        current = {version.id: version for version in await self._eraser.current(resource_type, {"_id": {"$in": ids}})}
        for version in earlier:
            now = current.get(version.id)
            if now is None or now.deleted:
                self._add(version, owned=True, deleted=True)

    async def files(self) -> None:
        """Find the files that the patient's documents lead to."""
        for version in await self._eraser.current("Binary", {"_id": {"$in": sorted(self._files)}}):
            context = values.decode(version.json).get("securityContext", {}) if version.json else {}
            if context.get("reference", f"Patient/{self._patient}").endswith(f"Patient/{self._patient}"):
                self.own.add(f"Binary/{version.id}")

    def _add(self, version: Version, *, owned: bool, deleted: bool = False) -> None:
        resource = values.decode(version.json)
        reference = f"{version.type}/{version.id}"
        retained = version.type in RETAINED and not deleted
        if owned and not retained and not _names_another(resource, self._patient):
            self.own.add(reference)
            self._files |= files(resource)
        elif reference not in self.own:
            self.others.add(reference)
        if version.type == "Invoice":
            # Nothing in it names the patient, but it has the invoice's id.
            self.others.add(f"PaymentReconciliation/{version.id}")


def _names_another(resource: Any, patient: str) -> bool:
    named = {text.rpartition("Patient/")[2].partition("/")[0] for text in references(resource) if "Patient/" in text}
    # Whoever the patient is linked to: the Patient itself is nobody else's.
    return resource["resourceType"] != "Patient" and bool(named - {patient})


def references(node: Any) -> Iterator[str]:
    """Yield the text of every reference in a resource."""
    for name, value in _strings(node):
        if name == "reference":
            yield value


def files(resource: Any) -> set[str]:
    """Return the ids of the Binary resources that a resource leads to."""
    urls = (value for name, value in _strings(resource) if name in ("url", "reference"))
    return {match[1] for url in urls if (match := _BINARY.fullmatch(url))}


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
