"""The resources of the packages that `make test-data` fetches."""

from __future__ import annotations

import re
import tarfile
from functools import cache
from typing import Any

from fhir_server.r4 import values
from tools.fetch_test_data import FOLDER, Package

Json = dict[str, Any]


@cache
def resources_of(package: Package) -> dict[str, Json]:
    """Return the resources of a package by the name of their file, such as `example/Bundle-x.json`."""
    resources = {}
    with tarfile.open(FOLDER / package.file_name) as files:
        for member in files:
            name = member.name.removeprefix("package/")
            content = files.extractfile(member) if name.endswith(".json") and "-" in name else None
            if content is not None and not name.startswith(("other/", "openapi/")):
                resource = values.decode(content.read())
                if isinstance(resource, dict) and "resourceType" in resource:
                    resources[name] = resource
    return resources


_VERSIONED = re.compile(r'"(https?://[^"|]+)\|[0-9][^"]*"')


def unversioned(resource: Json) -> bytes:
    """Return a definition's JSON with its canonicals' versions taken out: HAPI FHIR does not find R4's own by them."""
    return _VERSIONED.sub(r'"\1"', values.encode(resource).decode()).encode()


def is_definition(resource: Json) -> bool:
    """Return whether a validator needs the resource to know a guide."""
    kinds = ("StructureDefinition", "ValueSet", "CodeSystem")
    return resource["resourceType"] in kinds and resource.get("kind") != "logical"
