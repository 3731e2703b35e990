"""The package.json of a FHIR package, as far as it matters here.

https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from fhir_server.packages.faults import PackageError
from fhir_server.packages.versions import is_version

CORE = "hl7.fhir.r4.core"
CORE_VERSION = "4.0.1"
"""What the server itself is made of: there is no need to install it."""

_NAME = re.compile(r"(?:@[a-z0-9][a-z0-9._-]{0,100}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_FHIR = re.compile(r"4\.0\.\d+(?:-.*)?")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a package says of itself; `dependencies` are names of packages with the versions that they may have."""

    name: str
    version: str
    canonical: str | None
    title: str | None
    fhir_versions: tuple[str, ...]
    dependencies: dict[str, str]

    @property
    def id(self) -> str:
        """Name and version in one, as FHIR writes it: `hl7.fhir.uv.ips#2.0.0`."""
        return f"{self.name}#{self.version}"


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a package."""
    return _NAME.fullmatch(text) is not None


def read_manifest(content: bytes) -> Manifest:
    """Return what a package.json says; raises PackageError where it is none of a FHIR R4 package."""
    try:
        package = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PackageError("The package.json is not JSON.") from error
    if not isinstance(package, dict):
        raise PackageError("The package.json is not an object.")
    name, version = package.get("name"), package.get("version")
    if not isinstance(name, str) or not is_name(name):
        raise PackageError("The package.json has no name that a package can have.")
    if not isinstance(version, str) or not is_version(version):
        raise PackageError(f"The package.json of {name} has no version such as 1.0.0.")
    manifest = Manifest(
        name,
        version,
        _text(package.get("canonical")),
        _text(package.get("title")) or _text(package.get("description")),
        _fhir_versions(package),
        _dependencies(package.get("dependencies"), name),
    )
    _require_r4(manifest)
    return manifest


def _text(value: Any) -> str | None:
    return value[:2000] if isinstance(value, str) and value else None


def _fhir_versions(package: dict[str, Any]) -> tuple[str, ...]:
    for name in ("fhirVersions", "fhir-version-list"):
        listed = package.get(name)
        if isinstance(listed, list) and listed:
            return tuple(each for each in listed if isinstance(each, str))
    single = package.get("fhirVersion")
    return (single,) if isinstance(single, str) else ()


def _dependencies(listed: Any, name: str) -> dict[str, str]:
    if listed is None:
        return {}
    if not isinstance(listed, dict) or len(listed) > 500:
        raise PackageError(f"The dependencies of {name} are no object of names and versions.")
    for other, version in listed.items():
        if not is_name(other) or not isinstance(version, str) or len(version) > 200:
            raise PackageError(f"The dependency {str(other)[:80]!r} of {name} has no name and version.")
    return dict(listed)


def _require_r4(manifest: Manifest) -> None:
    versions = manifest.fhir_versions
    if CORE in manifest.dependencies or any(_FHIR.fullmatch(each) for each in versions):
        return
    if versions:
        raise PackageError(
            f"{manifest.id} is for FHIR {', '.join(versions)[:100]}; this server has 4.0.1. "
            "Look whether the guide is published for R4 too, often under a name that ends in .r4."
        )
    raise PackageError(f"{manifest.id} does not say which version of FHIR it is for (fhirVersions).")
