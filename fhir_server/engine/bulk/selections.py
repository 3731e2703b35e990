"""Which resources of a type belong into an export."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fhir_server.engine.bulk.members import Members
from fhir_server.engine.bulk.parameters import ExportParameters, filter_queries
from fhir_server.engine.context import Context
from fhir_server.search.index.keys import after_prefix
from fhir_server.search.query.compartments import index_names, membership
from fhir_server.search.query.conditions import EVERYTHING, Condition, HasId, HasKey, KeySpan, either, every
from fhir_server.store.resources.as_of import PastResource, Selection

_FEW = 2000
"""Up to so many keys the index is asked for them; beyond that, everything is read and sorted out here."""


@dataclass(frozen=True, slots=True)
class ExportSelection:
    """What is to be read, and what of it is to be kept: for many members, the database cannot tell."""

    selection: Selection
    members: Members | None = None

    def keeps(self, row: PastResource) -> bool:
        """Return whether a resource that was read belongs into the export."""
        if self.members is None:
            return True
        since = self.selection.since
        changed = since is None or row.version.updated > since
        return not self._patients(row).isdisjoint(self.members.ids if changed else self.members.new)

    def keeps_deletion(self, row: PastResource) -> bool:
        """Return whether the deletion of a resource, which is given as it last was, belongs into the export."""
        return self.members is None or not self._patients(row).isdisjoint(self.members.ids)

    def _patients(self, row: PastResource) -> set[str]:
        if self.selection.type == "Patient":
            return {row.version.id}
        named = (key.partition("=Patient/")[2] for key in row.keys)
        return {reference.partition("/")[0] for reference in named if reference}


async def selection_of(
    context: Context, parameters: ExportParameters, resource_type: str, members: Members | None
) -> ExportSelection:
    """Return what an export takes of a type."""
    conditions: list[Condition] = []
    queries = await filter_queries(context, parameters, resource_type)
    if queries:
        conditions.append(either([query.condition(resource_type) for query in queries]))
    if parameters.provenance and resource_type == "Provenance":
        conditions.append(_about(parameters))
    if parameters.level == "system":
        return ExportSelection(_selection(context, parameters, resource_type, conditions))
    if members is None:
        conditions.append(_of_any_patient(resource_type))
        return ExportSelection(_selection(context, parameters, resource_type, conditions))
    belonging = _belonging(resource_type, members.ids)
    if belonging is not None:
        selection = _selection(context, parameters, resource_type, [*conditions, belonging])
        always = _belonging(resource_type, members.new) if members.new and parameters.since is not None else None
        return ExportSelection(replace(selection, by_keys=isinstance(belonging, HasKey), always=always))
    conditions.append(_of_any_patient(resource_type))
    selection = _selection(context, parameters, resource_type, conditions)
    prefixes = () if resource_type == "Patient" else tuple(f"{name}=Patient/" for name in _names(resource_type))
    # What members that are new have is wanted however old, so the time is looked at here.
    always = EVERYTHING if members.new and parameters.since is not None else None
    everything = replace(selection, own_keys=prefixes, always=always)
    return ExportSelection(everything, members)


def _selection(
    context: Context, parameters: ExportParameters, resource_type: str, conditions: list[Condition]
) -> Selection:
    condition = every(conditions)
    return Selection(resource_type, condition, context.access.visible, since=parameters.since, until=parameters.until)


def _names(resource_type: str) -> tuple[str, ...]:
    return membership("Patient", resource_type)


def _of_any_patient(resource_type: str) -> Condition:
    if resource_type == "Patient":
        return EVERYTHING
    return either([KeySpan(f"{name}=Patient/", after_prefix(f"{name}=Patient/")) for name in _names(resource_type)])


def _belonging(resource_type: str, patients: frozenset[str]) -> Condition | None:
    """Return the condition that a resource is of these patients; None where they are too many to be named."""
    if resource_type == "Patient":
        return HasId(tuple(sorted(patients))) if len(patients) <= _FEW else None
    names = _names(resource_type)
    if len(patients) * len(names) > _FEW:
        return None
    return HasKey(tuple(f"{name}=Patient/{patient}" for patient in sorted(patients) for name in names))


def _about(parameters: ExportParameters) -> Condition:
    """Return the condition that a Provenance is about something of a type that is exported."""
    types = [name for name in parameters.types if name != "Provenance"]
    (target,) = index_names("Provenance", ["target"])
    return either([KeySpan(f"{target}={name}/", after_prefix(f"{target}={name}/")) for name in types])
