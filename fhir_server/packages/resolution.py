"""What belongs to an installation: the packages that one needs, and those that are nowhere to be had."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from fhir_server.packages.archive import Package
from fhir_server.packages.faults import PackageError
from fhir_server.packages.manifest import CORE, CORE_VERSION
from fhir_server.packages.registry import NotInRegistry, Release
from fhir_server.packages.versions import chosen, latest, order

_MOST = 100
_FOLLOWING = ("hl7.terminology", "hl7.fhir.uv.extensions")
"""Packages that HL7 keeps compatible from version to version: a later one stands for the one that is asked for."""


class Source(Protocol):
    """Where packages are fetched from."""

    async def release(self, name: str, version_range: str) -> Release:
        """Return the version that is meant; raises NotInRegistry."""

    async def fetch(self, release: Release) -> Package:
        """Return the package; raises PackageError."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A dependency that is not to be had: `needed_by` names the package that states it."""

    name: str
    version_range: str
    needed_by: str
    reason: str


@dataclass(slots=True)
class Installation:
    """Packages to install, those needed by others first, and what stands for each dependency of a package."""

    packages: list[Package] = field(default_factory=list)
    resolved: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    substitutes: list[str] = field(default_factory=list)


async def resolve(
    package: Package,
    installed: Iterable[tuple[str, str]],
    source: Source | None,
    progress: Callable[[str], None] = lambda text: None,
) -> Installation:
    """Return what has to be installed for a package: itself, and its dependencies as far as they can be had.

    `installed` are names and versions of what is there. Raises PackageError for what cannot be fetched though it is in
    the registry.
    """
    return await _Resolving(list(installed), source, progress).of(package)


class _Resolving:
    def __init__(
        self, installed: list[tuple[str, str]], source: Source | None, progress: Callable[[str], None]
    ) -> None:
        self._there = installed
        self._source = source
        self._progress = progress
        self._result = Installation()
        self._seen: dict[str, str] = {}
        """The ids of the packages that were met, with the names: two may need each other."""

    async def of(self, package: Package) -> Installation:
        await self._add(package)
        return self._result

    async def _add(self, package: Package) -> None:
        manifest = package.manifest
        if manifest.id in self._seen:
            return
        self._seen[manifest.id] = manifest.name
        if len(self._seen) > _MOST:
            raise PackageError(f"The package needs more than {_MOST} others.")
        resolved = self._result.resolved.setdefault(manifest.id, {})
        for name, version_range in sorted(manifest.dependencies.items()):
            if name == CORE:
                if not _is_core(version_range):
                    raise PackageError(f"{manifest.id} needs {CORE}#{version_range}; this server has {CORE_VERSION}.")
                continue
            if name.endswith(".examples"):
                continue  # nothing in them defines anything
            version = await self._dependency(name, version_range, manifest.id)
            if version is not None:
                resolved[name] = version
        self._result.packages.append(package)

    async def _dependency(self, name: str, version_range: str, needed_by: str) -> str | None:
        here = self._here(name)
        version = _chosen(version_range, here)
        if version is None:
            version = await self._fetched(name, version_range, needed_by)
        if version is None and name.startswith(_FOLLOWING):
            version = await self._later(name, version_range, needed_by)
        return version

    async def _fetched(self, name: str, version_range: str, needed_by: str) -> str | None:
        if self._source is None:
            self._miss(name, version_range, needed_by, "no registry is asked")
            return None
        try:
            release = await self._source.release(name, version_range)
            package = await self._source.fetch(release)
        except NotInRegistry as error:
            self._miss(name, version_range, needed_by, str(error))
            return None
        except PackageError as error:
            self._miss(name, version_range, needed_by, str(error))
            return None
        self._progress(f"fetched {package.manifest.id}, which {needed_by} needs")
        await self._add(package)
        return package.manifest.version

    async def _later(self, name: str, version_range: str, needed_by: str) -> str | None:
        """Return a later version of a package that stays compatible, here or in the registry."""
        here = latest(each for each in self._here(name) if _is_later(each, version_range))
        if here is None:
            missed = len(self._result.missing)
            here = await self._fetched(name, "latest", needed_by)
            del self._result.missing[missed:]
            if here is None or not _is_later(here, version_range):
                return None
        self._result.missing = [
            each for each in self._result.missing if (each.name, each.version_range) != (name, version_range)
        ]
        self._result.substitutes.append(f"{name}#{here} stands for {name}#{version_range}, which {needed_by} names")
        return here

    def _here(self, name: str) -> list[str]:
        met = [each.partition("#")[2] for each, other in self._seen.items() if other == name]
        return [*(version for each, version in self._there if each == name), *met]

    def _miss(self, name: str, version_range: str, needed_by: str, reason: str) -> None:
        self._result.missing.append(Missing(name, version_range, needed_by, reason))


def _chosen(version_range: str, here: list[str]) -> str | None:
    try:
        return chosen(version_range, here)
    except PackageError:
        return None


def _is_core(version_range: str) -> bool:
    return version_range in ("", "latest", "current") or version_range.startswith(
        ("4.0", "4.x", "^4", "~4.0", "*", "x")
    )


def _is_later(version: str, version_range: str) -> bool:
    try:
        return order(version) >= order(version_range)
    except PackageError:
        return False
