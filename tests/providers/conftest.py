"""A server with a hospital's people and a provider."""

from __future__ import annotations

from typing import Any

import pytest

from tests.identity_provider import IDENTIFIERS, NUMBERS, IdentityProvider
from tests.smart_server import App, SmartServer

PEOPLE: list[dict[str, Any]] = [
    {"resourceType": "Practitioner", "id": "ingrid", "identifier": [{"system": IDENTIFIERS, "value": "7"}]},
    {"resourceType": "Practitioner", "id": "tom", "identifier": [{"system": IDENTIFIERS, "value": "8"}]},
    {"resourceType": "Patient", "id": "mara", "identifier": [{"system": NUMBERS, "value": "55"}]},
    {"resourceType": "Patient", "id": "twin-1", "identifier": [{"system": NUMBERS, "value": "66"}]},
    {"resourceType": "Patient", "id": "twin-2", "identifier": [{"system": NUMBERS, "value": "66"}]},
    {"resourceType": "Location", "id": "harbour", "name": "Harbour", "status": "active"},
    {"resourceType": "Location", "id": "hill", "name": "Hill", "status": "active"},
]


@pytest.fixture
async def hospital(smart: SmartServer, idp: IdentityProvider) -> SmartServer:
    """Return the server, with its people, which knows the provider."""
    token = await smart.system_token("system/*.cruds")
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}} for one in PEOPLE
    ]
    async with smart.fhir(token) as fhir:
        answer = await fhir.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        assert answer.status_code == 200, answer.text
    await idp.added_to(smart)
    return smart


@pytest.fixture
async def app(hospital: SmartServer) -> App:
    """Return an app."""
    return await hospital.add_client()
