"""Removing for good what should never have been there: a version, a resource, or a patient.

Versions of FHIR are kept for ever, the wrong ones too; this is the operator's way out. What is to go is written down
before any of it goes, and each step can be done twice, so a purge that is killed is finished by the job or by asking
again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fhir_server.engine.access import OpenAccess
from fhir_server.engine.context import Context, Request
from fhir_server.engine.gdpr.erasure import erase_patient
from fhir_server.engine.interactions.delete import delete
from fhir_server.engine.referential_integrity import require_unused
from fhir_server.engine.routes import route_of
from fhir_server.errors import BadRequest, Conflict, FhirError, NotFound
from fhir_server.store.resources.erasure import Eraser
from fhir_server.work.items import set_aside

AUDIT = "AuditEvent"


@dataclass(frozen=True, slots=True)
class Target:
    """What is to go: a resource with all its versions, or one earlier version of it."""

    type: str
    id: str
    version: int | None = None

    def __str__(self) -> str:
        return f"{self.type}/{self.id}" + (f"/_history/{self.version}" if self.version is not None else "")


def target_of(text: str) -> Target:
    """Return the target that a relative URL means; raises BadRequest for any other text."""
    try:
        route = route_of("GET", text)
    except FhirError as error:
        raise BadRequest(f"{text[:200]!r} names no resource.") from error
    if route.interaction not in ("read", "vread") or route.type is None or route.id is None:
        raise BadRequest(f"{text[:200]!r} is neither a resource, such as Observation/1, nor a version of one.")
    return Target(route.type, route.id, version_number(text, route.version))


def version_number(url: str, version: str | None) -> int | None:
    """Return the number of a version in a URL; raises NotFound for what is none."""
    if version is None:
        return None
    if not (version.isascii() and version.isdigit() and len(version) < 18):
        raise NotFound(f"{url[:200]} does not exist.")
    return int(version)


async def purge(context: Context, target: Target) -> None:
    """Remove the target for good; a Patient as a whole goes with all that is the patient's, the accounts too.

    Raises NotFound where there is nothing, Conflict for the current version, for what others need, and for the audit
    trail.
    """
    services, record = context.services, context.services.stores.purges
    if target.type == AUDIT:
        raise Conflict("The audit trail is not purged.", code="business-rule")
    if not await record.is_unfinished(str(target)):
        await _require_there(context, target)
        await record.begin(str(target))
    if target.version is not None:
        await Eraser(services.resources).erase_version(target.type, target.id, target.version)
    elif target.type == "Patient":
        await erase_patient(services, context.base_url, target.id)
        await Eraser(services.resources).erase(target.type, [target.id])
    else:
        # A deletion first: all that follows from one (access that ends, a search parameter that goes) follows here.
        quiet = replace(context, access=OpenAccess(), quiet=True)
        await delete(quiet, Request("DELETE", f"{target.type}/{target.id}"), target.type, target.id)
        await Eraser(services.resources).erase(target.type, [target.id])
    await services.stores.exports.withdraw()
    await services.stores.bulk_imports.withdraw()
    await services.stores.async_requests.withdraw()
    await record.finish(str(target))


async def _require_there(context: Context, target: Target) -> None:
    resources = context.services.resources
    current = await resources.read(target.type, target.id)
    if target.version is None:
        if current is None:
            raise NotFound(f"{target} does not exist.")
        await require_unused(replace(context, access=OpenAccess()), target.type, [target.id])
        return
    if current is not None and current.version == target.version:
        raise Conflict(
            f"{target} is the current version: correct the resource first, or purge it as a whole.",
            code="business-rule",
        )
    if await resources.read_version(target.type, target.id, target.version) is None:
        raise NotFound(f"{target} does not exist.")


async def finish_purges(context: Context) -> int:
    """Finish the purges that were broken off, and return how many are done; one that fails does not stop the others."""
    finished = 0
    for text in await context.services.stores.purges.unfinished():
        with set_aside("purge.failed", seconds=None):
            await purge(context, target_of(text))
            finished += 1
    return finished
