"""The definitions of a guide's package, as a source of definitions for tests."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.samples import fetched
from tools.fetch_test_data import Package

Json = dict[str, Any]


@cache
def resources_of(package: Package) -> dict[str, Json]:
    """Return the resources of a package by the name of their file: `example/Bundle-x.json`."""
    resources = {}
    with tarfile.open(fetched(package.file_name)) as files:
        for member in files:
            name = member.name.removeprefix("package/")
            if name.endswith(".json") and "-" in name and not name.startswith(("other/", "openapi/")):
                content = files.extractfile(member)
                assert content is not None
                resource = json.loads(content.read())
                if "resourceType" in resource:
                    resources[name] = resource
    return resources


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
