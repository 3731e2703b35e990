"""The definitions of a guide's package, as a source of definitions for tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.conformance.packages import resources_of
from tools.fetch_test_data import Package

Json = dict[str, Any]


class GuideDefinitions:
    """The StructureDefinitions of a package."""

    def __init__(self, package: Package) -> None:
        definitions = [each for each in resources_of(package).values() if each["resourceType"] == "StructureDefinition"]
        self._by_url = {each["url"]: each for each in definitions}

    def __iter__(self) -> Iterator[Json]:
        return iter(self._by_url.values())

    def structure(self, url: str, version: str | None = None) -> Json | None:
        """Return one by its canonical URL, whatever its version."""
        return self._by_url.get(url)
