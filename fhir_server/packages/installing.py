"""Installing packages and removing them: one at a time on a database, and nothing of one is seen before all of it is.

What was installed is found by the next request of every worker: nobody keeps a list of it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from fhir_server.packages.archive import Package
from fhir_server.packages.contents import Contents, other_id, read_contents, stamped
from fhir_server.packages.faults import PackageError
from fhir_server.packages.library import CORE_TYPES, DefinitionLibrary
from fhir_server.packages.resolution import Installation, Missing, Source, resolve
from fhir_server.packages.versions import satisfies
from fhir_server.r4 import official
from fhir_server.store.database.mongo import Database
from fhir_server.store.definitions.definitions import Definition
from fhir_server.store.definitions.packages import InstalledPackage
from fhir_server.store.work.jobs import JobStore, Lease

Json = dict[str, Any]
Progress = Callable[[str], None]

_JOB = "packages"
_BATCH = 100
_NO_DEFINITION = frozenset({"http://hl7.org/fhir/StructureDefinition/Base"})
"""What published structures name as their base though R4 does not define it."""


@dataclass(slots=True)
class Report:
    """What an installation has done, in sentences."""

    installed: list[InstalledPackage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Installer:
    """Installs packages into the database of a library; `worker` names this process.

    Under `own_bases` no package defines anything.
    """

    def __init__(
        self,
        database: Database,
        library: DefinitionLibrary,
        jobs: JobStore,
        worker: str,
        own_bases: Sequence[str] = (),
    ) -> None:
        self._own_bases = tuple(own_bases)
        self._database = database
        self._library = library
        self._jobs = jobs
        self._worker = worker

    async def install(
        self,
        package: Package,
        source: Source | None,
        *,
        allow_missing: bool = False,
        search_parameters: bool = False,
        progress: Progress = lambda text: None,
    ) -> Report:
        """Install a package with what it needs; what is there already is left as it is.

        Raises PackageError where a definition would stand on one that is not to be had, unless `allow_missing`, and
        for a package that says something else than one of the same name and version that is installed.
        """
        async with self._alone() as lease:
            there = {each.id: each for each in await self._library.packages.all()}
            installed = [(each.name, each.version) for each in there.values()]
            installation = await resolve(package, installed, source, progress)
            contents = {
                each.manifest.id: await asyncio.to_thread(read_contents, each, self._own_bases)
                for each in installation.packages
            }
            report = Report(notes=list(installation.substitutes))
            await self._require_bases(installation, contents, there, report, allow_missing=allow_missing)
            for each in installation.packages:
                if each.manifest.id in there:
                    _require_same(each, there[each.manifest.id])
                    await self._note_wanted(there[each.manifest.id], package)
                    report.notes.append(f"{each.manifest.id} is installed already")
                    continue
                is_requested = each is package
                done = await self._install(
                    each,
                    contents[each.manifest.id],
                    installation,
                    lease,
                    requested=is_requested,
                    parameters=search_parameters,
                )
                progress(f"installed {done.id}: {sum(done.counts.values())} definitions")
                report.installed.append(done)
            return report

    async def uninstall(self, package: str, *, force: bool = False) -> InstalledPackage:
        """Remove a package; raises PackageError where it is not installed, or where others depend on it."""
        async with self._alone():
            installed = await self._library.packages.all()
            target = next((each for each in installed if each.id == package), None)
            if target is None:
                raise PackageError(f"{package} is not installed.")
            needed_by = dependents(target, installed)
            if needed_by and not force:
                names = ", ".join(needed_by)
                raise PackageError(
                    f"{package} is needed by {names}. Uninstall these first, or use --force and leave them without it."
                )
            for name in target.counts:
                await self._library.definitions.remove(name, package)
            await self._library.packages.remove(package)
            return target

    async def use_search_parameters(self, package: str, *, used: bool) -> InstalledPackage:
        """Switch the search parameters of a package on or off; raises PackageError where it is not installed."""
        installed = await self._library.packages.get(package)
        if installed is None:
            raise PackageError(f"{package} is not installed.")
        changed = replace(installed, search_parameters=used)
        await self._library.packages.put(changed)
        return changed

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Lease]:
        lease = await self._jobs.acquire(_JOB, self._worker, early=True)
        if lease is None:
            raise PackageError("Another command installs or removes a package just now; try again when it has ended.")
        renewing = asyncio.create_task(_renewed(lease))
        try:
            yield lease
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})
            await lease.release()

    async def _note_wanted(self, installed: InstalledPackage, package: Package) -> None:
        if installed.id == package.manifest.id and not installed.requested:
            await self._library.packages.put(replace(installed, requested=True))

    async def _require_bases(
        self,
        installation: Installation,
        contents: dict[str, Contents],
        there: Collection[str],
        report: Report,
        *,
        allow_missing: bool,
    ) -> None:
        """Raise PackageError where structures are made on top of others that are nowhere; else note what is missing."""
        for missing in installation.missing:
            report.notes.append(_advice(missing))
        lacking: dict[str, dict[str, str]] = {}
        own = {each["url"] for one in contents.values() for each in one.resources if "url" in each}
        for package, content in contents.items():
            if package in there:
                continue
            bases = {base: url for base, url in content.bases().items() if base.partition("|")[0] not in own}
            without = await self._unknown_bases(bases)
            if without:
                lacking[package] = without
        for package, without in lacking.items():
            base, url = next(iter(without.items()))
            text = (
                f"{package} has {len(without)} definitions on top of ones that are not here, such as {url} on {base}."
            )
            if not allow_missing:
                needed = [f"  {_advice(each)}" for each in installation.missing] or [
                    "  No dependency of it says where from."
                ]
                raise PackageError(
                    "\n".join([text, *needed, "Nothing was installed. --allow-missing installs it without them."])
                )
            report.notes.append(text)

    async def _unknown_bases(self, bases: dict[str, str]) -> dict[str, str]:
        urls = {base: base.partition("|")[0] for base in bases}
        core = set(official.official_urls("StructureDefinition")) | _NO_DEFINITION
        named = [base for base, url in urls.items() if url not in core]
        there = await self._library.with_urls("StructureDefinition", [urls[each] for each in named])
        return {base: bases[base] for base in named if urls[base] not in there}

    async def _install(
        self,
        package: Package,
        contents: Contents,
        installation: Installation,
        lease: Lease,
        *,
        requested: bool,
        parameters: bool,
    ) -> InstalledPackage:
        manifest, library = package.manifest, self._library
        number, moment = await library.packages.next_number(), _now()
        await library.definitions.forget_staged(manifest.id)
        ids = await self._free_ids(contents.resources, manifest.id)
        stamped_resources = [
            stamped(each, identifier, number, _instant(moment), manifest.id)
            for each, identifier in zip(contents.resources, ids, strict=True)
        ]
        for start in range(0, len(stamped_resources), _BATCH):
            await lease.renew()
            some = stamped_resources[start : start + _BATCH]
            made = await asyncio.to_thread(self._made, some, number, moment, manifest.id)
            await library.definitions.stage(made)
        counts = Counter(each["resourceType"] for each in contents.resources)
        installed = InstalledPackage(
            id=manifest.id,
            name=manifest.name,
            version=manifest.version,
            number=number,
            installed=_instant(moment),
            canonical=manifest.canonical,
            title=manifest.title,
            fhir_versions=manifest.fhir_versions,
            dependencies=manifest.dependencies,
            resolved=installation.resolved.get(manifest.id, {}),
            integrity=package.integrity,
            source=package.source,
            counts=dict(sorted(counts.items())),
            left_out=tuple(contents.left_out),
            search_parameters=parameters,
            requested=requested,
        )
        await lease.renew()
        # Terminologies first, and structures after what they are bound to.
        await library.definitions.publish(manifest.id, sorted(counts, key=lambda name: name == "StructureDefinition"))
        await library.packages.put(installed)
        return installed

    def _made(self, resources: Sequence[Json], number: int, moment: datetime, package: str) -> list[Definition]:
        return [self._library.definition(each, number, moment, package) for each in resources]

    async def _free_ids(self, resources: Sequence[Json], package: str) -> list[str]:
        """Return an id for each resource: its own, or another one where something here has that already."""
        taken: dict[str, set[str]] = {}
        for name in {each["resourceType"] for each in resources}:
            ids = [each["id"] for each in resources if each["resourceType"] == name]
            taken[name] = await self._library.definitions.ids(name, ids) | await self._stored(name, ids)
            if name in CORE_TYPES:
                taken[name] |= {each for each in ids if official.official_url(name, each) is not None}
        chosen = []
        for each in resources:
            used = taken[each["resourceType"]]
            identifier = each["id"] if each["id"] not in used else other_id(each["id"], package)
            used.add(identifier)
            chosen.append(identifier)
        return chosen

    async def _stored(self, resource_type: str, ids: Sequence[str]) -> set[str]:
        return set(await self._library.stored(resource_type, ids))


async def _renewed(lease: Lease) -> None:
    while True:
        await asyncio.sleep(lease.seconds / 3)
        await lease.renew()


def dependents(package: InstalledPackage, installed: Sequence[InstalledPackage]) -> list[str]:
    """Return the ids of installed packages that need one, where no other version of it here would do."""
    others = [each for each in installed if each.name == package.name and each.id != package.id]
    return [
        each.id
        for each in installed
        if package.name in each.dependencies
        and each.resolved.get(package.name) == package.version
        and not any(_meets(each.dependencies[package.name], other.version) for other in others)
    ]


def _meets(version_range: str, version: str) -> bool:
    try:
        return satisfies(version_range, version)
    except PackageError:
        return False


def _require_same(package: Package, installed: InstalledPackage) -> None:
    stated = package.integrity
    if stated is not None and installed.integrity is not None and stated != installed.integrity:
        raise PackageError(
            f"{installed.id} has other contents here ({installed.integrity[:24]}..., from {installed.source}); "
            "uninstall it first if these are the right ones."
        )


def _advice(missing: Missing) -> str:
    return (
        f"{missing.needed_by} needs {missing.name}#{missing.version_range}, which is missing: {missing.reason} Install "
        "it first, from a registry that has it (--registry https://packages.fhir.org) or from its file "
        f"(fhir-server package install {missing.name}-{missing.version_range}.tgz)."
    )


def _now() -> datetime:
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def _instant(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
