"""Fixtures: a hospital whose notifications have begun."""

from __future__ import annotations

import pytest

from fhir_server.engine.context import Services
from fhir_server.hospital.notifications import job as notifications
from tests.notifications.told import CLINIC, DOCTOR, Hospital, patient


@pytest.fixture
async def hospital(services: Services) -> Hospital:
    """A hospital with Ana, Dr. Luz and a clinic; what is written from now on is told."""
    made = Hospital(services)
    for resource in (patient(), DOCTOR, CLINIC):
        await made.put(resource)
    await notifications.feed(services).begin()
    return made
