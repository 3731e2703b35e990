"""The job that keeps the hospital's profiles, extensions and code systems readable under /fhir.

They are written when a version of the server brings other ones than the version before; what an operator removes or
changes in between stays so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

import structlog

from fhir_server.engine.bulk_import import kick_off as bulk_import
from fhir_server.engine.context import Context, Request, Services, now
from fhir_server.engine.engine import handle
from fhir_server.engine.operations import purge
from fhir_server.errors import Gone, NotFound
from fhir_server.jobs.runner import Job
from fhir_server.own_urls import path_of
from fhir_server.r4 import values
from fhir_server.store.work.jobs import Lease
from mappings.shared import profiles
from mappings.shared.elements import Resource

EVERY_SECONDS = 86_400.0

log = structlog.get_logger(__name__)


def definitions(services: Services, base_url: str) -> Job:
    """Return the job."""
    return Job("definitions", partial(_run, Context(services, base_url, quiet=True)), EVERY_SECONDS)


def resources() -> list[Resource]:
    """Return what is published: what the hospital's tables mean in FHIR, and this server's own operation."""
    return [*profiles.resources(), purge.resource(), bulk_import.resource()]


async def _run(context: Context, lease: Lease) -> None:
    brought = resources()
    digest = hashlib.sha256(values.encode(brought)).hexdigest()
    if lease.state.get("digest") != digest:
        written = await publish(context, brought)
        await lease.save({"digest": digest, "at": now(), "written": written})


async def publish(context: Context, brought: Sequence[Resource]) -> int:
    """Store the definitions and return how many; one whose id is in use for something else is left out.

    Raises FhirError where one cannot be stored: then the job is not done, and is tried again.
    """
    written = 0
    for resource in brought:
        resource_id = await _free_id(context, resource)
        if resource_id is None:
            log.warning("definition.id_in_use", definition=f"{resource['resourceType']}/{resource['id']}")
            continue
        path = f"{resource['resourceType']}/{resource_id}"
        await handle(context, Request("PUT", path, resource={**resource, "id": resource_id}))
        written += 1
    return written


async def _free_id(context: Context, resource: Resource) -> str | None:
    """Return the definition's id, or a longer one where that means another: R4 has an `account-status`, too."""
    for resource_id in (resource["id"], f"hospital-{resource['id']}"):
        if not await _means_another(context, f"{resource['resourceType']}/{resource_id}", resource):
            return str(resource_id)
    return None


async def _means_another(context: Context, path: str, resource: Resource) -> bool:
    try:
        answer = await handle(context, Request("GET", path))
    except (NotFound, Gone):
        return False
    url = values.decode(answer.json or b"{}").get("url")
    # Under a former base it was the same definition, which then takes its new URL.
    return bool(url != resource["url"] and path_of(url) != path_of(resource["url"]))
