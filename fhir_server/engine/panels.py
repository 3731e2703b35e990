"""Whose patients are whose: from the roles of a practitioner, and from the appointments and encounters of patients.

Whoever acts for another than themselves is asked about here, at every request: staff by the hospital's policy, somebody
related by the relation as it stands. What was granted to an app goes no further than that.

What is found of staff is kept for a moment by each worker, and found anew at once where this worker has written
anything that it rests on. A relation is kept as long as its version is current, which is asked each time: it ends at
once, whichever worker wrote so.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.auth.permission.staff import Panel
from fhir_server.engine.access import Access
from fhir_server.engine.context import Services, now
from fhir_server.errors import Forbidden
from fhir_server.r4 import values
from fhir_server.search.params.dates import date_range
from fhir_server.search.params.references import named_in
from fhir_server.search.query.compartments import reference_names
from fhir_server.store.relations import keys_of, keys_of_one, moment_of
from fhir_server.store.resources.resources import Version

Policy = Literal["clinics", "treatment", "all"]

KEPT_SECONDS = 2.0
RELATION_SECONDS = 60.0
"""After this a relation is read again: a reindex gives a version other keys."""
MOST_PATIENTS = 50_000
"""How many patients one member of the staff can be confined to; beyond that the setting must say another policy."""
_RESTS_ON = frozenset({"Appointment", "CareTeam", "Encounter", "Location", "Patient", "PractitionerRole"})
_UNDER_CARE = frozenset({"Patient", "Person", "RelatedPerson"})
_generation = 0
_kept: dict[tuple[str, str, str], tuple[float, int, Panel]] = {}


def note_written(types: Iterable[str]) -> None:
    """Forget what was found where it rests on what has been written."""
    global _generation  # noqa: PLW0603 - one number for the process, as the registry of parameters is
    if not _RESTS_ON.isdisjoint(types):
        _generation += 1


async def confined(services: Services, access: Access) -> Access:
    """Return the access of who acts for others as it is now: for the patients of that one; others' as it is."""
    if not isinstance(access, ScopedAccess) or not access.is_for_others:
        return access
    panel = await panel_of(services, access.token.fhir_user)
    return access if panel is None else access.seeing(panel)


async def panel_of(services: Services, fhir_user: str | None) -> Panel | None:
    """Return the patients whom a user sees: a practitioner by the policy of the settings; None where that is all.

    Who is neither a Practitioner nor a PractitionerRole has no patients by any policy, but somebody related the one of
    the relation.

    Raises Forbidden where they are too many to be told apart.
    """
    policy: Policy = services.settings.staff_sees
    kind, _, resource_id = (fhir_user or "").partition("/")
    if kind == "RelatedPerson":
        return Panel(await _related(services, resource_id))
    if kind in _UNDER_CARE:
        return Panel(frozenset())
    if policy == "all":
        return None
    key = (services.database.name, policy, fhir_user or "")
    kept = _kept.get(key)
    if kept is not None and kept[1] == _generation and time.monotonic() - kept[0] < KEPT_SECONDS:
        return kept[2]
    began, generation = time.monotonic(), _generation
    patients: set[str] = set()
    if practitioner := await _practitioner(services, fhir_user):
        patients = await _treated(services, practitioner)
        if policy == "clinics":
            patients |= await _of_clinics(services, await _clinics(services, practitioner))
    if len(patients) > MOST_PATIENTS:
        raise Forbidden(
            f"More than {MOST_PATIENTS} patients are this user's: the setting staff_sees must say another policy.",
            code="too-costly",
        )
    if len(_kept) > 1000:
        _kept.clear()
    panel = Panel(frozenset(patients))
    _kept[key] = (began, generation, panel)
    return panel


@dataclass(frozen=True, slots=True)
class _Relation:
    """A version of a RelatedPerson, when it was read, and the patients whom it names."""

    version: Version
    read_at: float
    patients: frozenset[str]

    @property
    def moment(self) -> tuple[int, datetime]:
        return self.version.version, self.version.updated


_relations: dict[tuple[str, str], _Relation] = {}


async def _related(services: Services, resource_id: str) -> frozenset[str]:
    """Return the patient of a RelatedPerson, as long as the relation stands."""
    moment = await moment_of(services.database, "RelatedPerson", resource_id)
    key = (services.database.name, resource_id)
    relation = _relations.get(key)
    if relation is None or relation.moment != moment or time.monotonic() - relation.read_at > RELATION_SECONDS:
        relation = await _read_relation(services, resource_id)
        if relation is None:
            return frozenset()
        if relation.moment == moment:  # else it was written meanwhile, and the keys may be of either version
            if len(_relations) > 1000:
                _relations.clear()
            _relations[key] = relation
    return relation.patients if _is_in_force(services, relation.version) else frozenset()


async def _read_relation(services: Services, resource_id: str) -> _Relation | None:
    began = time.monotonic()
    version = await services.resources.read("RelatedPerson", resource_id)
    if version is None:
        return None
    keys = await keys_of_one(services.database, "RelatedPerson", resource_id)
    return _Relation(version, began, frozenset(named_in(keys, "Patient", ("patient",))))


def _is_in_force(services: Services, version: Version) -> bool:
    """Return whether a relation or role is there, active, and within its period."""
    if version.deleted:
        return False
    resource = values.decode(version.json)
    period = resource.get("period") or {}
    timezone, moment = services.settings.default_timezone, now()
    if resource.get("active") is False:
        return False
    begun = "start" not in period or date_range(period["start"], timezone)[0] <= moment
    return begun and ("end" not in period or moment < date_range(period["end"], timezone)[1])


async def _practitioner(services: Services, fhir_user: str | None) -> str | None:
    """Return the reference of the Practitioner that a user is, be it by way of a role."""
    if fhir_user is None or not fhir_user.startswith("PractitionerRole/"):
        return fhir_user if (fhir_user or "").startswith("Practitioner/") else None
    keys = await keys_of_one(services.database, "PractitionerRole", fhir_user.partition("/")[2])
    named = named_in(keys, "Practitioner", ("practitioner",))
    return f"Practitioner/{min(named)}" if named else None


async def _clinics(services: Services, practitioner: str) -> set[str]:
    """Return the places where the practitioner works, with the rooms in them."""
    roles = await keys_of(services.database, "PractitionerRole", [f"practitioner={practitioner}"])
    read = await services.resources.read_many("PractitionerRole", list(roles))
    in_force = [role_id for role_id, version in read.items() if _is_in_force(services, version)]
    clinics = {
        f"Location/{place}" for role_id in in_force for place in named_in(roles[role_id], "Location", ("location",))
    }
    rooms = await keys_of(services.database, "Location", [f"partof={clinic}" for clinic in sorted(clinics)])
    return clinics | {f"Location/{room}" for room in rooms}


async def _of_clinics(services: Services, clinics: set[str]) -> set[str]:
    places = sorted(clinics)
    visits = await _patients(services, "Appointment", [f"actor={place}" for place in places])
    return visits | await _patients(services, "Encounter", [f"location={place}" for place in places])


async def _treated(services: Services, practitioner: str) -> set[str]:
    """Return the patients who are treated by the practitioner, or are registered with that one."""
    patients = set(await keys_of(services.database, "Patient", [f"general-practitioner={practitioner}"]))
    for kind, name in (("Appointment", "actor"), ("Encounter", "participant"), ("CareTeam", "participant")):
        patients |= await _patients(services, kind, [f"{name}={practitioner}"])
    return patients


async def _patients(services: Services, resource_type: str, keys: list[str]) -> set[str]:
    """Return the patients that the resources with one of the keys name."""
    keys_by_id = await keys_of(services.database, resource_type, keys)
    names = reference_names(resource_type)
    return {patient for own in keys_by_id.values() for patient in named_in(own, "Patient", names)}
