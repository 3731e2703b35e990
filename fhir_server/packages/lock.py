"""Lock files: which packages were installed, in which versions and with which contents, to install just these again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from fhir_server.packages.archive import Package
from fhir_server.packages.faults import PackageError
from fhir_server.packages.manifest import is_name
from fhir_server.packages.versions import is_version
from fhir_server.store.definitions.packages import InstalledPackage


@dataclass(frozen=True, slots=True)
class Locked:
    """A package of a lock file; `integrity` is npm's hash, None for one that came from a folder."""

    name: str
    version: str
    integrity: str | None
    number: int = 0

    @classmethod
    def of(cls, package: InstalledPackage) -> Self:
        """Return the line of an installed package."""
        return cls(package.name, package.version, package.integrity, package.number)

    @property
    def id(self) -> str:
        """Name and version as FHIR writes them."""
        return f"{self.name}#{self.version}"

    @property
    def reference(self) -> str:
        """Name and version as they are asked for."""
        return f"{self.name}@{self.version}"


def write_lock(packages: Sequence[Locked]) -> dict[str, Any]:
    """Return the content of a lock file: packages in the order of their installation, each after what it needs."""
    ordered = sorted(packages, key=lambda each: each.number)
    return {
        "lockfileVersion": 1,
        "packages": [{"name": each.name, "version": each.version, "integrity": each.integrity} for each in ordered],
    }


def read_lock(path: Path) -> list[Locked]:
    """Return the packages of a lock file; raises PackageError where it is none."""
    try:
        listed = msgspec.json.decode(path.read_bytes())
        return [_line(each, number) for number, each in enumerate(listed["packages"])]
    except OSError as error:
        raise PackageError(f"{path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError) as error:
        raise PackageError(f"{path} is not a lock file of packages.") from error


def _line(described: Any, number: int) -> Locked:
    name, version, integrity = described["name"], described["version"], described.get("integrity")
    if not isinstance(name, str) or not is_name(name) or not isinstance(version, str) or not is_version(version):
        raise PackageError(f"Package {number + 1} of the lock file has no name and version.")
    if integrity is not None and not isinstance(integrity, str):
        raise PackageError(f"{name}#{version} has no hash that is a text.")
    return Locked(name, version, integrity, number)


def require_intact(package: Package, locked: Locked) -> None:
    """Raise PackageError where a package is not the one that was locked."""
    if locked.integrity is not None and package.integrity != locked.integrity:
        raise PackageError(f"{locked.id} has other contents than the lock file says; nothing of it was installed.")
