"""The `purge` command: what `$purge` does, by whoever may open the database."""

from __future__ import annotations

import asyncio

from fhir_server.cli.operator_audit import audited
from fhir_server.engine.context import Context
from fhir_server.engine.purge import purge, target_of
from fhir_server.errors import FhirError
from fhir_server.services import base_url, services
from fhir_server.settings import Settings
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongod import database_url


def run(settings: Settings, target: str) -> None:
    """Remove the target for good; raises StartupError where that cannot be."""
    with database_url(settings) as url:
        connected = settings.model_copy(update={"database_url": url})
        try:
            asyncio.run(purge_target(connected, target))
        except FhirError as error:
            raise StartupError("; ".join(issue.diagnostics for issue in error.issues)) from error


async def purge_target(settings: Settings, text: str) -> None:
    """Remove the target of that URL for good, on the database of the settings; raises FhirError."""
    async with services(settings) as shared:
        base, target = base_url(settings), target_of(text)
        context = Context(shared, base)
        patient = target.id if target.type == "Patient" else None
        await audited(shared, base, "purged", lambda: purge(context, target), target=str(target), patient=patient)
