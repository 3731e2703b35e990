"""Which gateway the settings ask for."""

from __future__ import annotations

from fhir_server.hospital.billing.card.sandbox import SandboxGateway
from fhir_server.hospital.gateways.card import Gateway
from fhir_server.settings import Settings


def configured_gateway(settings: Settings) -> Gateway:
    """Return the Stripe gateway where there is a key for it, else the sandbox, in which no money moves."""
    if settings.stripe_secret_key is None:
        return SandboxGateway()
    from fhir_server.hospital.billing.card.stripe import StripeGateway

    return StripeGateway(settings.stripe_secret_key, settings.stripe_api)
