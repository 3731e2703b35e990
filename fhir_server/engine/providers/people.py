"""The resources of people, found by an identifier that a provider tells."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from fhir_server.auth.providers.person import Person
from fhir_server.engine.context import Context, Request, Services
from fhir_server.engine.engine import handle
from fhir_server.r4 import values

_SPECIAL = re.compile(r"([\\,|$])")


async def the_one(
    services: Services, base_url: str, resource_type: str, identifier: tuple[str, str] | None
) -> str | None:
    """Return the reference of the one resource that has the identifier; None where none has it, or several."""
    if identifier is None:
        return None
    rows = await matches(services, base_url, resource_type, ("identifier", token(*identifier)), ("_count", "2"))
    return f"{resource_type}/{rows[0]['id']}" if len(rows) == 1 else None


def token(system: str, value: str) -> str:
    """Return a system and a value as the value of a search parameter. https://hl7.org/fhir/R4/search.html#escaping"""
    return "|".join(_SPECIAL.sub(r"\\\1", part) for part in (system, value))


async def matches(
    services: Services, base_url: str, resource_type: str, *query: tuple[str, str]
) -> list[dict[str, Any]]:
    """Return the resources that a search finds, on one page, by the server's own rights."""
    answer = await handle(Context(services, base_url), Request("GET", resource_type, query=list(query)))
    entries = values.decode(answer.json or b"{}").get("entry", [])
    return [entry["resource"] for entry in entries if entry.get("search", {}).get("mode") == "match"]


async def make_practitioner(services: Services, base_url: str, person: Person) -> str:
    """Return the reference of the Practitioner of that identifier, made where nobody made it meanwhile."""
    assert person.practitioner is not None
    system, value = person.practitioner
    name = {"family": person.family_name, "given": [person.given_name] if person.given_name else []}
    resource = {
        "resourceType": "Practitioner",
        "active": True,
        "identifier": [{"system": system, "value": value}],
        "name": [{key: part for key, part in name.items() if part} or {"text": value}],
    }
    request = Request(
        "POST", "Practitioner", resource=resource, if_none_exist=urlencode({"identifier": token(system, value)})
    )
    answer = await handle(Context(services, base_url), request)
    return str(answer.location).partition("/_history")[0]
