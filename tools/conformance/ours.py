"""What this server's validation says of the cases, by the definitions of R4 and of the guides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_server.engine.profiles.terminology import LibraryTerminology
from fhir_server.engine.terminology.official import by_rule, official
from fhir_server.errors import Issue
from fhir_server.r4.profiles.definitions import LayeredDefinitions, OfficialDefinitions
from fhir_server.r4.profiles.plans import Plans
from fhir_server.r4.profiles.validation import validate_profiles
from fhir_server.r4.validation import validate
from terminology import LayeredSource, MemorySource
from tools.conformance.packages import is_definition, resources_of
from tools.fetch_test_data import Package

Json = dict[str, Any]


class GuideDefinitions:
    """The StructureDefinitions of packages."""

    def __init__(self, packages: Iterable[Package]) -> None:
        definitions = [each for package in packages for each in resources_of(package).values() if is_definition(each)]
        self.terminology = [each for each in definitions if each["resourceType"] != "StructureDefinition"]
        structures = [each for each in definitions if each["resourceType"] == "StructureDefinition"]
        self._by_url = {each["url"]: each for each in structures}

    def structure(self, url: str, version: str | None = None) -> Json | None:
        """Return one by its canonical URL, whatever its version."""
        return self._by_url.get(url)


class Judge:
    """Validates as `$validate` does, without a database."""

    def __init__(self, packages: Iterable[Package]) -> None:
        guides = GuideDefinitions(packages)
        self._plans = Plans(LayeredDefinitions(OfficialDefinitions(), guides))
        source = LayeredSource(MemorySource(guides.terminology), by_rule(), official())
        self._terminology = LibraryTerminology(source, {})

    def issues(self, resource: Json) -> list[Issue]:
        """Return everything that is told of a resource."""
        issues = validate(resource, max_depth=100, warnings=True)
        if any(each.severity == "error" for each in issues):
            return issues
        root = str(resource["resourceType"])
        faults = validate_profiles(resource, self._plans, terminology=self._terminology)
        return issues + [Issue(each.code, each.text, (root + each.path,), each.severity) for each in faults]
