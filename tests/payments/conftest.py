"""Fixtures: a fake Stripe and the gateway to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fhir_server.hospital.billing.card.stripe import StripeGateway
from tests.payments.fake_stripe import FakeStripe, fake_stripe


@pytest.fixture
async def stripe_api() -> AsyncIterator[FakeStripe]:
    """A Stripe on the loopback."""
    async with fake_stripe() as fake:
        yield fake


@pytest.fixture
def stripe_gateway(stripe_api: FakeStripe) -> StripeGateway:
    """The gateway to it."""
    return StripeGateway("sk_test_hospital", stripe_api.url)
