"""What the command `terminology` does, on the database of the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from fhir_server.cli.operator_audit import audited
from fhir_server.engine.context import Services, instant
from fhir_server.errors import FhirError
from fhir_server.packages.contents import stamped
from fhir_server.r4 import values
from fhir_server.services import base_url, services
from fhir_server.settings import Settings
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongod import database_url
from fhir_server.store.definitions.definitions import Definition
from fhir_server.vocabulary.building import Progress
from fhir_server.vocabulary.loading import Loaded, Loader
from fhir_server.vocabulary.readers.files import SourceError
from fhir_server.vocabulary.readers.formats import FORMATS, Options

T = TypeVar("T")
Work = Callable[[Services, Settings], Awaitable[T]]


def options(url: str | None, version: str | None, title: str | None) -> Options:
    """Return what the operator says beside the files."""
    return Options(url, version, title)


def run(settings: Settings, work: Work[T]) -> T:
    """Return what the work returns on the database of the settings; raises StartupError where it cannot be done."""
    with database_url(settings) as url:
        connected = settings.model_copy(update={"database_url": url})
        try:
            return asyncio.run(_on_services(connected, work))
        except FhirError as error:
            raise StartupError("; ".join(issue.diagnostics for issue in error.issues)) from error
        except SourceError as error:
            raise StartupError(str(error)) from error


async def _on_services(settings: Settings, work: Work[T]) -> T:
    async with services(settings) as shared:
        return await work(shared, settings)


def load(name: str, paths: Sequence[Path], chosen: Options, progress: Progress) -> Work[Loaded]:
    """Return what loads a code system."""

    async def work(shared: Services, settings: Settings) -> Loaded:
        if name not in FORMATS:
            raise SourceError(f"{name} is not a format; there are {', '.join(FORMATS)}.")

        async def loading() -> Loaded:
            try:
                with shared.following.working():
                    return await loader(shared).load(name, paths, chosen, progress)
            except SourceError as error:
                raise StartupError(str(error)) from error

        return await audited(shared, base_url(settings), "terminology-loaded", loading, format=name)

    return work


def list_loaded() -> Work[list[tuple[str, str, int]]]:
    """Return what lists the code systems that were loaded: url, version, and number of concepts."""

    async def work(shared: Services, settings: Settings) -> list[tuple[str, str, int]]:
        stored = await shared.definitions.definitions.with_files("CodeSystem")
        resources = [values.decode(version.json) for version, _ in stored]
        return sorted((each["url"], each["version"], each["count"]) for each in resources)

    return work


def remove(url: str, version: str | None) -> Work[list[str]]:
    """Return what removes versions of a code system."""

    async def work(shared: Services, settings: Settings) -> list[str]:
        async def removing() -> list[str]:
            removed = await loader(shared).remove(url, version)
            if not removed:
                raise StartupError(f"{url}{f'|{version}' if version else ''} was not loaded.")
            return removed

        return await audited(shared, base_url(settings), "terminology-removed", removing, system=url, version=version)

    return work


def loader(shared: Services) -> Loader:
    """Return what loads code systems into the database of the services."""
    library = shared.definitions

    def made(resource: dict[str, Any], number: int, moment: datetime, owner: str) -> Definition:
        return library.definition(
            stamped(resource, resource["id"], number, instant(moment), owner), number, moment, owner
        )

    return Loader(shared.vocabularies.files, library.definitions, made)
