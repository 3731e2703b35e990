"""What the command `package` does, on the database of the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from fhir_server.cli.operator_audit import audited
from fhir_server.engine.context import Services
from fhir_server.errors import FhirError
from fhir_server.packages.archive import Package, open_package
from fhir_server.packages.faults import PackageError
from fhir_server.packages.installing import Installer, Report
from fhir_server.packages.lock import Locked, read_lock, require_intact, write_lock
from fhir_server.packages.registry import Registry
from fhir_server.packages.search_parameters import Outcome, outcome_of
from fhir_server.services import base_url, services
from fhir_server.settings import Settings
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongod import database_url
from fhir_server.store.definitions.packages import InstalledPackage

T = TypeVar("T")
Work = Callable[[Services, Settings], Awaitable[T]]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Installation:
    """What is to be installed: a package, or what a lock file lists."""

    package: str | None
    lock: Path | None = None
    offline: bool = field(default=False, kw_only=True)
    allow_missing: bool = field(default=False, kw_only=True)
    search_parameters: bool = field(default=False, kw_only=True)


def run(settings: Settings, work: Work[T]) -> T:
    """Return what the work returns on the database of the settings; raises StartupError where it cannot be done."""
    with database_url(settings) as url:
        connected = settings.model_copy(update={"database_url": url})
        try:
            return asyncio.run(_on_services(connected, work))
        except FhirError as error:
            raise StartupError("; ".join(issue.diagnostics for issue in error.issues)) from error
        except PackageError as error:
            raise StartupError(str(error)) from error


async def _on_services(settings: Settings, work: Work[T]) -> T:
    async with services(settings) as shared:
        return await work(shared, settings)


def install(installation: Installation, progress: Progress = lambda text: None) -> Work[Report]:
    """Return what installs a package, or those of a lock file."""

    async def work(shared: Services, settings: Settings) -> Report:
        return await _Installing(shared, settings, installation, progress).run()

    return work


class _Installing:
    """One `package install`."""

    def __init__(self, shared: Services, settings: Settings, installation: Installation, progress: Progress) -> None:
        self._shared = shared
        self._settings = settings
        self._installation = installation
        self._progress = progress
        self._registry = _registry(settings)

    async def run(self) -> Report:
        """Install what was asked for, one package after another."""
        report, lock = Report(), self._installation.lock
        locked = {} if lock is None else {each.id: each for each in read_lock(lock)}
        references = [each.reference for each in locked.values()]
        for text in references if self._installation.package is None else [self._installation.package]:
            package = await self._package(text)
            if package.manifest.id in locked:
                require_intact(package, locked[package.manifest.id])
            work = partial(self._install, package)
            done = await _audited(self._shared, self._settings, "package-installed", package.manifest.id, work)
            report.installed += done.installed
            report.notes += done.notes
        return report

    async def _package(self, text: str) -> Package:
        if await asyncio.to_thread(_is_file, text):
            return await asyncio.to_thread(open_package, Path(text))
        name, version = _reference(text)
        if self._installation.offline:
            raise PackageError(f"{text} is not a file here, and with --offline nothing is fetched.")
        return await self._registry.fetch(await self._registry.release(name, version or "latest"))

    async def _install(self, package: Package) -> Report:
        installation, locked = self._installation, self._installation.lock is not None
        with self._shared.following.working():
            return await _installer(self._shared).install(
                package,
                None if installation.offline or locked else self._registry,
                allow_missing=installation.allow_missing or locked,
                search_parameters=installation.search_parameters or self._settings.package_search_parameters,
                progress=self._progress,
            )


def _is_file(text: str) -> bool:
    return text.endswith((".tgz", ".tar.gz")) or Path(text).exists()


def _reference(text: str) -> tuple[str, str]:
    """Return name and version of `name@version` or `name#version`, the version empty where none is stated."""
    for mark in "#@":
        name, stated, version = text.rpartition(mark)
        if stated and name:
            return name, version
    return text, ""


def installed() -> Work[list[InstalledPackage]]:
    """Return what lists the installed packages."""

    async def work(shared: Services, settings: Settings) -> list[InstalledPackage]:
        return await shared.definitions.packages.all()

    return work


def described(text: str) -> Work[Any]:
    """Return what describes an installed package."""

    async def work(shared: Services, settings: Settings) -> Any:
        package = await _named(shared, text)
        description = msgspec.to_builtins(package)
        lacking = sorted(set(package.dependencies) - set(package.resolved) - {"hl7.fhir.r4.core"})
        return description | {"missing": [f"{each}#{package.dependencies[each]}" for each in lacking]}

    return work


def uninstall(text: str, *, force: bool) -> Work[InstalledPackage]:
    """Return what removes a package."""

    async def work(shared: Services, settings: Settings) -> InstalledPackage:
        package = await _named(shared, text)

        async def removing() -> InstalledPackage:
            return await _installer(shared).uninstall(package.id, force=force)

        return await _audited(shared, settings, "package-uninstalled", package.id, removing)

    return work


def use_search_parameters(text: str, *, used: bool) -> Work[Outcome]:
    """Return what switches the search parameters of a package on or off."""

    async def work(shared: Services, settings: Settings) -> Outcome:
        package = await _named(shared, text)

        async def switching() -> Outcome:
            changed = await _installer(shared).use_search_parameters(package.id, used=used)
            return await outcome_of(shared.definitions, changed)

        return await _audited(shared, settings, "package-search-parameters", package.id, switching)

    return work


def locked() -> Work[Any]:
    """Return what makes a lock file of the installed packages."""

    async def work(shared: Services, settings: Settings) -> Any:
        return write_lock([Locked.of(each) for each in await shared.definitions.packages.all()])

    return work


async def _named(shared: Services, text: str) -> InstalledPackage:
    """Return the package of that id, or the only one of that name; raises PackageError."""
    name, version = _reference(text)
    there = [each for each in await shared.definitions.packages.all() if each.name == name]
    matches = [each for each in there if version in ("", each.version)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise PackageError(
            f"{name} is installed in several versions; say which: {', '.join(each.id for each in matches)}."
        )
    others = f"; installed of it: {', '.join(each.version for each in there)}" if there else ""
    raise PackageError(f"{text} is not installed{others}.")


def _registry(settings: Settings) -> Registry:
    return Registry(settings.package_registry, allow_internal=settings.package_registry_internal)


def _installer(shared: Services) -> Installer:
    worker, own_bases = shared.following.worker, shared.settings.own_bases
    return Installer(shared.database, shared.definitions, shared.stores.jobs, worker, own_bases)


async def _audited(
    shared: Services, settings: Settings, event: str, package: str, work: Callable[[], Awaitable[T]]
) -> T:
    async def telling() -> T:
        try:
            return await work()
        except PackageError as error:
            raise StartupError(str(error)) from error

    return await audited(shared, base_url(settings), event, telling, package=package)
