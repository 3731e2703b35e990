"""Reading rows back: the resources beside a row's own that it takes to say what the row says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.engine.context import Services
from fhir_server.hospital.api.fhir import in_process
from fhir_server.hospital.api.references import decoded
from fhir_server.hospital.tables.checks.references import Key
from fhir_server.hospital.tables.resources import MappingContext
from fhir_server.hospital.tables.tables import Table
from fhir_server.services import base_url
from fhir_server.store.resources.first_versions import created_times
from fhir_server.store.resources.listing import Last, last_after, last_of
from mappings.billing import payments
from mappings.booking import appointments
from mappings.shared import clinic_clock, reading
from mappings.shared.elements import Resource

_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class RowSource:
    """What a row is read from: its resources, the one with its id first."""

    resources: Sequence[Resource]
    around: MappingContext
    created: datetime | None
    deleted: datetime | None


class Reading:
    """Reads a hospital's rows from the database of the services."""

    def __init__(self, shared: Services, timezone: str | None = None) -> None:
        self._shared = shared
        self._base_url = base_url(shared.settings)
        self._fhir = in_process(shared, self._base_url)
        self._clock: ZoneInfo = clinic_clock.zone(timezone or shared.settings.default_timezone)
        self._locations: dict[str, Resource] = {}
        self._attempts: dict[str, str] | None = None

    async def batches(self, table: Table) -> AsyncIterator[list[RowSource]]:
        """Yield what the rows of a table are read from, the deleted ones too, some at a time."""
        after = ""
        while True:
            lasts, after = await last_after(self._shared.resources, table.type, after, _AT_ONCE)
            if lasts:
                yield await self._whole(table, lasts)
            if not after:
                return

    async def _whole(self, table: Table, lasts: list[Last]) -> list[RowSource]:
        mains = [decoded(last.version.json, self._base_url) for last in lasts]
        created = await created_times(self._shared.database, table.type, [main["id"] for main in mains])
        gone = frozenset(last.version.id for last in lasts if last.deleted is not None)
        beside = await self._beside(table.name, mains, gone)
        around = MappingContext(await self._clinics(mains), self._clock)
        return [
            RowSource([main, *beside.get(main["id"], ())], around, created.get(main["id"]), last.deleted)
            for main, last in zip(mains, lasts, strict=True)
        ]

    async def _clinics(self, mains: Iterable[Resource]) -> dict[Key, Resource]:
        booked = [main for main in mains if main["resourceType"] == "Appointment"]
        clinic_ids = {clinic_id for main in booked if (clinic_id := appointments.actor_id(main, "Location"))}
        missing = sorted(clinic_ids - set(self._locations))
        self._locations |= await self._last("Location", missing)
        return {("Location", name): self._locations[name] for name in clinic_ids & set(self._locations)}

    async def _last(
        self, resource_type: str, ids: Iterable[str], deleted: Callable[[str], bool] = lambda _: True
    ) -> dict[str, Resource]:
        """Return the resources as they last were; those that are deleted only where `deleted` says so of the id."""
        sorted_ids = sorted(set(ids))
        last_versions = await last_of(self._shared.resources, resource_type, sorted_ids) if sorted_ids else {}
        return {
            name: decoded(last.version.json, self._base_url)
            for name, last in last_versions.items()
            if last.deleted is None or deleted(name)
        }

    async def _beside(
        self, table: str, mains: list[dict[str, Any]], gone: frozenset[str]
    ) -> Mapping[str, Sequence[Resource]]:
        """Return for each the resources beside it; deleted ones where it is among those `gone` itself."""
        match table:
            case "doctors":
                return await self._same_or_naming(mains, gone, "PractitionerRole", "practitioner", "Practitioner")
            case "payments":
                return await self._payments(mains, gone)
            case "lab_tests":
                return await self._lab_tests(mains, gone)
            case "treatment_plans":
                return await self._visits(mains)
            case "prescriptions":
                return await self._plans(mains, "MedicationRequest")
        return {}

    async def _same_or_naming(
        self, mains: Iterable[Resource], gone: frozenset[str], resource_type: str, parameter: str, target: str
    ) -> dict[str, list[Resource]]:
        """Return for each the resource of the type with the same id, else one that names it."""
        ids = [main["id"] for main in mains]
        same = await self._last(resource_type, ids, gone.__contains__)
        companions = {name: [resource] for name, resource in same.items()}
        left = [name for name in ids if name not in companions]
        named = await self._naming(left, resource_type, parameter, target)
        return companions | {name: resources[:1] for name, resources in named.items()}

    async def _naming(
        self, ids: Sequence[str], resource_type: str, parameter: str, target: str
    ) -> dict[str, list[Resource]]:
        """Return for each of the ids the resources that refer to it by a search parameter."""
        result: defaultdict[str, list[Resource]] = defaultdict(list)
        if not ids:
            return result
        criteria = [(parameter, ",".join(f"{target}/{name}" for name in ids)), ("_sort", "_lastUpdated")]
        for resource in (await self._fhir.all(resource_type, criteria)).matches:
            for name in {target_id for target_id in _references(resource, target) if target_id in set(ids)}:
                result[name].append(resource)
        return result

    async def _payments(self, mains: Iterable[Resource], gone: frozenset[str]) -> dict[str, list[Resource]]:
        """Return the attempt to pay each invoice that counts."""
        if self._attempts is None:
            self._attempts = await self._counting_attempts()
        latest = {main["id"]: self._attempts[main["id"]] for main in mains if main["id"] in self._attempts}
        of_gone = {latest[name] for name in gone & set(latest)}
        attempts = await self._last("PaymentReconciliation", latest.values(), of_gone.__contains__)
        return {name: [attempts[attempt]] for name, attempt in latest.items() if attempt in attempts}

    async def _counting_attempts(self) -> dict[str, str]:
        # No search parameter of R4 leads from an invoice to what paid it, so they are all read once.
        best: dict[str, tuple[bool, tuple[bool, datetime, str]]] = {}
        after = ""
        while True:
            lasts, after = await last_after(self._shared.resources, "PaymentReconciliation", after, _AT_ONCE)
            for last in lasts:
                attempt = decoded(last.version.json, self._base_url)
                place = payments.rank(attempt)
                if place is None:
                    continue
                rank = (last.deleted is None, place)  # of those that are left, if any is
                for invoice in payments.paid_invoices(attempt):
                    best[invoice] = max(best.get(invoice, rank), rank)
            if not after:
                return {invoice: attempt for invoice, (_, (_, _, attempt)) in best.items()}

    async def _lab_tests(self, mains: list[dict[str, Any]], gone: frozenset[str]) -> dict[str, list[Resource]]:
        companions = await self._same_or_naming(mains, gone, "DiagnosticReport", "based-on", "ServiceRequest")
        ids = {
            name: list(_references(reports[0].get("result", []), "Observation")) for name, reports in companions.items()
        }
        observations = await self._last("Observation", (each for some in ids.values() for each in some))
        for name, some in ids.items():
            companions[name] = [*companions[name], *(observations[each] for each in some if each in observations)]
        plans = await self._plans(mains, "ServiceRequest")
        return {main["id"]: [*companions.get(main["id"], ()), *plans.get(main["id"], ())] for main in mains}

    async def _plans(self, mains: Iterable[Resource], target: str) -> dict[str, list[Resource]]:
        """Return the plans that have those as activities which name no plan themselves."""
        left = [main["id"] for main in mains if not reading.referenced(main.get("basedOn"), "CarePlan")]
        return await self._naming(left, "CarePlan", "activity-reference", target)

    async def _visits(self, mains: Iterable[Resource]) -> dict[str, list[Resource]]:
        visits = {main["id"]: reading.reference_id(main.get("encounter"), "Encounter") for main in mains}
        encounters = await self._last("Encounter", (each for each in visits.values() if each))
        return {name: [encounters[visit]] for name, visit in visits.items() if visit in encounters}


def _references(node: Any, resource_type: str) -> Iterable[str]:
    if isinstance(node, list):
        for item in node:
            yield from _references(item, resource_type)
    elif isinstance(node, dict):
        target_id = reading.reference_id(node, resource_type) if isinstance(node.get("reference"), str) else None
        if target_id:
            yield target_id
        for item in node.values():
            yield from _references(item, resource_type)
