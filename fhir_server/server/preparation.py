"""Makes before the first request what each needs and is slow to make: none waits for it, and no loop is held."""

from __future__ import annotations

from fhir_server.engine.interactions import capabilities
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search.index.index_plan import index_plan
from fhir_server.search.registry import parameters
from fhir_server.settings import Settings


def prepare(base_url: str, settings: Settings) -> None:
    """Make the search parameters of all types, how they are indexed, and the CapabilityStatement: some 0.5 CPU s."""
    for name in sorted(RESOURCE_TYPES):
        parameters(name)
        index_plan(name)
    capabilities.prepare(base_url, settings)
