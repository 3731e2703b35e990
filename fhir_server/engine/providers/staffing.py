"""Where a practitioner works by the groups of a provider: one PractitionerRole for each clinic, which comes and goes.

What is written here bears an identifier of its own, and nothing else is touched: a role that the hospital wrote stays.
"""

from __future__ import annotations

from typing import Any

from fhir_server.auth.providers.provider import Provider
from fhir_server.engine.context import Context, Request, Services
from fhir_server.engine.engine import handle
from fhir_server.engine.providers.people import matches, token
from fhir_server.own_urls import own_url

_MOST = "1000"


async def staff(
    services: Services, base_url: str, practitioner: str, provider: Provider, clinics: frozenset[str]
) -> None:
    """Have the practitioner work at these clinics, and no more at others that the provider's groups had given."""
    system = own_url("identifier", f"provider-{provider.id}")
    roles = await _roles(services, base_url, practitioner, system)
    for clinic in sorted(clinics | roles.keys()):
        works = clinic in clinics
        if clinic not in roles or roles[clinic].get("active") is not works:
            await _write(services, base_url, _role(practitioner, system, clinic, works=works))


async def _roles(services: Services, base_url: str, practitioner: str, system: str) -> dict[str, dict[str, Any]]:
    query = (("identifier", token(system, "")), ("practitioner", practitioner), ("_count", _MOST))
    rows = await matches(services, base_url, "PractitionerRole", *query)
    return {place["reference"]: row for row in rows for place in row.get("location", [])[:1] if "reference" in place}


def _role(practitioner: str, system: str, clinic: str, *, works: bool) -> dict[str, Any]:
    value = f"{practitioner.partition('/')[2]}/{clinic.partition('/')[2]}"
    return {
        "resourceType": "PractitionerRole",
        "identifier": [{"system": system, "value": value}],
        "active": works,
        "practitioner": {"reference": practitioner},
        "location": [{"reference": clinic}],
    }


async def _write(services: Services, base_url: str, role: dict[str, Any]) -> None:
    identifier = role["identifier"][0]
    query = [("identifier", token(identifier["system"], identifier["value"]))]
    await handle(Context(services, base_url), Request("PUT", "PractitionerRole", query=query, resource=role))
