"""The search parameters of packages: which of them this server can use, and why not the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from fhir_server.packages.library import DefinitionLibrary
from fhir_server.r4 import values
from fhir_server.search import custom
from fhir_server.store.definitions.packages import InstalledPackage

Json = dict[str, Any]


@dataclass(slots=True)
class Outcome:
    """What became of the search parameters of a package: the URLs of the usable ones, and why others are not."""

    package: InstalledPackage
    usable: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


async def outcome_of(library: DefinitionLibrary, package: InstalledPackage) -> Outcome:
    """Return which search parameters of a package can be used."""
    outcome = Outcome(package)
    async for version in library.definitions.of_package("SearchParameter", package.id):
        resource = used(values.decode(version.json))
        faults = custom.faults(resource)
        if faults:
            outcome.refused[str(resource.get("url"))] = faults[0].diagnostics
        elif custom.definition(resource) is not None:
            outcome.usable.append(str(resource.get("url")))
    return outcome


def used(resource: Json) -> Json:
    """Return a SearchParameter of a package as one that is used: guides publish them as drafts, too."""
    return {**resource, "status": "active"} if resource.get("status") in ("draft", "active") else resource


async def in_use(library: DefinitionLibrary) -> AsyncIterator[Json]:
    """Yield the usable search parameters of packages where these are switched on, the first installed first."""
    for package in await library.packages.search_parameters_used():
        async for version in library.definitions.of_package("SearchParameter", package):
            resource = used(values.decode(version.json))
            if not custom.faults(resource) and custom.definition(resource) is not None:
                yield resource
