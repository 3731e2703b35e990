"""What the resources that a record refers to are called, so that the page shows names instead of ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_server.engine.context import Services
from fhir_server.hospital.api.references import decoded
from fhir_server.r4.human_names import person_name
from fhir_server.r4.references import local
from mappings.shared import reading
from mappings.shared.elements import Resource

_NOBODYS = frozenset({"HealthcareService", "Location", "Medication", "Organization", "Practitioner"})
"""Types that are nobody's data, so that everybody may know what they are called."""
_MOST = 10_000


class Names:
    """The names of what one patient's record refers to; of people those of the patient and the family alone."""

    def __init__(self, services: Services, patient_id: str, base_url: str) -> None:
        self._services = services
        self._patient = patient_id
        self._base_url = base_url
        self._names: dict[tuple[str, str], str | None] = {}

    def relative(self, reference: str) -> str:
        """Return a reference to what is on this server as type and id, any other text as it is."""
        named = local(reference, self._base_url)
        return named.resource if named else reference

    def of(self, reference: str) -> str | None:
        """Return what the target of a reference is called, as far as it was learned."""
        resource_type, _, resource_id = self.relative(reference).partition("/")
        return self._names.get((resource_type, resource_id))

    async def learn(self, resource: Resource) -> None:
        """Look up what the references of a resource lead to."""
        ids_by_type: dict[str, set[str]] = {}
        for text in _references(resource):
            resource_type, _, resource_id = self.relative(text).partition("/")
            if self._may_name(resource_type, resource_id) and (resource_type, resource_id) not in self._names:
                ids_by_type.setdefault(resource_type, set()).add(resource_id)
        if len(self._names) > _MOST:
            self._names.clear()
        for resource_type, ids in ids_by_type.items():
            versions = await self._services.resources.read_many(resource_type, sorted(ids))
            for resource_id in ids:
                version = versions.get(resource_id)
                name = None
                if version is not None and not version.deleted:
                    name = self._name(decoded(version.json, self._base_url))
                self._names[resource_type, resource_id] = name

    def _may_name(self, resource_type: str, resource_id: str) -> bool:
        own = resource_type == "RelatedPerson" or (resource_type, resource_id) == ("Patient", self._patient)
        return own or resource_type in _NOBODYS

    def _name(self, resource: Mapping[str, Any]) -> str | None:
        if resource["resourceType"] == "RelatedPerson":
            if reading.reference_id(resource.get("patient"), "Patient") != self._patient:
                return None
            return person_name(resource)
        if resource["resourceType"] in ("Patient", "Practitioner"):
            return person_name(resource)
        return resource.get("name") or reading.concept_text(resource.get("code"))


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _references(item)
    elif isinstance(node, Mapping):
        if isinstance(node.get("reference"), str):
            yield node["reference"]
        for value in node.values():
            yield from _references(value)
