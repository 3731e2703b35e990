"""What tests of jobs share: services that follow the search parameters, and the resource that adds one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fhir_server.engine.context import Services
from fhir_server.search import registry

BLUE = {"extension": [{"url": "http://example.org/eyes", "valueCode": "blue"}]}


def eyes(**change: Any) -> dict[str, Any]:
    """Return a SearchParameter for the colour of a Patient's eyes."""
    return {
        "resourceType": "SearchParameter",
        "url": "http://example.org/SearchParameter/eyes",
        "name": "Eyes",
        "status": "active",
        "description": "Colour of the eyes",
        "code": "eyes",
        "base": ["Patient"],
        "type": "token",
        "expression": "Patient.extension.where(url = 'http://example.org/eyes').value",
    } | change


@pytest.fixture
async def following(services: Services) -> AsyncIterator[Services]:
    """The services, which take part in what is agreed on; no parameter outlives the test in this process."""
    await services.following.start()
    try:
        yield services
    finally:
        await services.following.stop()
        registry.register(())
