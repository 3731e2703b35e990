"""Loading a code system: its file is made beside everything, kept, and put in place of an earlier one in one step."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fhir_server.r4 import values
from fhir_server.store.definitions.definitions import Definition, DefinitionStore
from fhir_server.store.terminology.files import VocabularyFiles
from fhir_server.vocabulary.building import Builder, Progress
from fhir_server.vocabulary.readers.files import Release, SourceError
from fhir_server.vocabulary.readers.formats import FORMATS, Options
from fhir_server.vocabulary.records import SystemRecord

Json = dict[str, Any]
Made = Callable[[Json, int, datetime, str], Definition]
"""Makes a definition of a CodeSystem resource, with its number, moment and owner."""

OWNER = "terminology"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded."""

    url: str
    version: str
    concepts: int
    bytes: int
    replaced: bool


class Loader:
    """Loads code systems into one database."""

    def __init__(self, files: VocabularyFiles, definitions: DefinitionStore, made: Made) -> None:
        self._files = files
        self._definitions = definitions
        self._made = made

    async def load(self, name: str, paths: Sequence[Path], options: Options, progress: Progress) -> Loaded:
        """Load the files of a format; raises SourceError for what is none of it. Until the end nothing is changed."""
        unfinished = self._files.scratch()
        try:
            system, count = await asyncio.to_thread(_build, name, paths, options, unfinished, progress)
            size = unfinished.stat().st_size
            progress("keeping", count)
            file = await self._files.keep(unfinished)
        finally:
            unfinished.unlink(missing_ok=True)
        before = {version.id for version, _ in await self._definitions.with_files("CodeSystem")}
        definition = self._made(_resource(system, count), 1, _now(), OWNER)
        await self._definitions.replace(definition, file)
        await self.sweep()
        return Loaded(system.url, system.version, count, size, replaced=_id(system) in before)

    async def remove(self, url: str, version: str | None) -> list[str]:
        """Remove the versions of a code system, or one; return those that were removed."""
        removed = []
        for stored, _ in await self._definitions.with_files("CodeSystem"):
            resource = values.decode(stored.json)
            if resource["url"] == url and version in (None, resource["version"]):
                await self._definitions.remove_one("CodeSystem", stored.id)
                removed.append(resource["version"])
        await self.sweep()
        return removed

    async def sweep(self) -> None:
        """Remove the files that no code system has any more."""
        used = {file for _, file in await self._definitions.with_files("CodeSystem")}
        await self._files.remove_all_but(used)


def _build(
    name: str, paths: Sequence[Path], options: Options, unfinished: Path, progress: Progress
) -> tuple[SystemRecord, int]:
    builder = Builder(unfinished, progress)
    try:
        system = FORMATS[name]([Release(each) for each in paths], builder, options)
        if not builder.count:
            raise SourceError("There is no concept in the files.")
        builder.finish(system)
    except BaseException:
        builder.abandon()
        raise
    return system, builder.count


def _id(system: SystemRecord) -> str:
    return f"loaded-{hashlib.sha256(f'{system.url}|{system.version}'.encode()).hexdigest()[:16]}"


def _resource(system: SystemRecord, count: int) -> Json:
    """Return the CodeSystem resource that stands for the whole: everything but its concepts."""
    resource: Json = {
        "resourceType": "CodeSystem",
        "id": _id(system),
        "url": system.url,
        "version": system.version,
        "name": system.name,
        "title": system.title,
        "status": "active",
        "experimental": False,
        "copyright": system.copyright,
        "caseSensitive": system.case_sensitive,
        "valueSet": system.value_set,
        "hierarchyMeaning": system.hierarchy_meaning,
        "compositional": system.compositional,
        "content": "complete",
        "count": count,
        "property": [
            {"code": code, **({"uri": uri} if uri else {}), "type": kind} for code, kind, uri in system.properties
        ],
    }
    return {name: value for name, value in resource.items() if value not in (None, [])}


def _now() -> datetime:
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
