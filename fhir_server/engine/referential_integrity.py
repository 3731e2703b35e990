"""What is not deleted while others still name it: the places, services and people that appointments are made with.

R4 leaves referential integrity to the server. https://hl7.org/fhir/R4/http.html#delete
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fhir_server.engine.access import OpenAccess
from fhir_server.engine.context import Context, instant, now
from fhir_server.engine.interactions.conditional import criteria, find_all
from fhir_server.errors import Conflict, Forbidden, Issue

_ROLE = {"Location": "location", "HealthcareService": "service", "Practitioner": "practitioner"}
"""The search parameter by which a PractitionerRole names each type."""
GUARDED = frozenset(_ROLE)
_COMING = "proposed,pending,booked,arrived,checked-in,waitlist"
_MOST_NAMED = 20


async def require_unused(context: Context, resource_type: str, ids: Iterable[str]) -> None:
    """Raise Conflict where roles or appointments to come name one of the resources; its issues say which they are."""
    # What is loaded has happened already: an import brings a hospital as it was, its closed clinics included.
    if resource_type not in GUARDED or context.quiet:
        return
    issues: list[Issue] = []
    for resource_id in ids:
        reference = f"{resource_type}/{resource_id}"
        queries = {
            "PractitionerRole": f"{_ROLE[resource_type]}={reference}",
            "Appointment": f"actor={reference}&date=ge{instant(now())}&status={_COMING}",
        }
        for kind, query in queries.items():
            issues += await _naming(context, reference, kind, query)
    if issues:
        raise Conflict(issues=issues)


async def _naming(context: Context, reference: str, kind: str, query: str) -> list[Issue]:
    everything = replace(context, access=OpenAccess())
    referring = await find_all(everything, await criteria(everything, kind, query), _MOST_NAMED + 1)
    if not referring:
        return []
    try:
        seen = await find_all(context, await criteria(context, kind, query), _MOST_NAMED)
    except Forbidden:
        seen = []
    texts = [f"{reference} is still named by {kind}/{resource_id}." for resource_id in seen]
    if len(seen) < len(referring):
        texts.append(f"{reference} is still named by other {kind} resources.")
    return [Issue("conflict", text) for text in texts]
