"""The outside authorization server that the settings name: what discovery and the CapabilityStatement tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from fhir_server.auth.outbound import Refused
from fhir_server.auth.providers.discovery import origin_of
from fhir_server.auth.providers.provider import Provider, TokenMapping
from fhir_server.engine.context import Services
from fhir_server.engine.providers.connected import Providers
from fhir_server.errors import Unavailable

_ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "registration_endpoint",
    "userinfo_endpoint",
)
_TOLD_AS_IT_IS = (
    "issuer",
    "jwks_uri",
    "grant_types_supported",
    "response_types_supported",
    "scopes_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "code_challenge_methods_supported",
    "authorization_response_iss_parameter_supported",
)

log = structlog.get_logger(__name__)


async def smart_configuration_of(services: Services, providers: Providers) -> dict[str, Any] | None:
    """Return the SMART configuration of the outside authorization server; None where this server is the one.

    Raises Unavailable where it tells nothing of itself now.
    https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html#using-well-known
    """
    provider = await _named(services, providers)
    if provider is None:
        return None
    try:
        metadata = await providers.party.discovery.of(provider)
    except Refused as error:
        raise Unavailable(
            f"The authorization server {provider.issuer} tells nothing of itself now: {error}."
        ) from error
    document = metadata.document
    services.authorization_endpoints = _endpoints(document)
    shared = {name: document[name] for name in _TOLD_AS_IT_IS if name in document}
    mapping = provider.tokens or TokenMapping()
    methods = document.get("code_challenge_methods_supported") or ["S256"]
    return {
        **shared,
        **_endpoints(document),
        "grant_types_supported": document.get("grant_types_supported") or ["authorization_code"],
        "code_challenge_methods_supported": [each for each in methods if each != "plain"],
        "capabilities": list(mapping.capabilities),
    }


async def learn_endpoints(services: Services, providers: Providers) -> None:
    """Have the CapabilityStatement name the endpoints of the outside authorization server, where it tells them."""
    if services.settings.authorization_server is None:
        return
    services.authorization_endpoints = {}
    try:
        await smart_configuration_of(services, providers)
    except Unavailable as error:
        log.warning("authorization_server.unanswered", reason=str(error))


async def _named(services: Services, providers: Providers) -> Provider | None:
    name = services.settings.authorization_server
    if name is None:
        return None
    provider = await providers.find(name)
    if provider is None:
        raise Unavailable(f"The setting authorization_server names the identity provider {name!r}, which there is not.")
    return provider


def _endpoints(document: Mapping[str, Any]) -> dict[str, str]:
    urls = {name: document.get(name) for name in _ENDPOINTS}
    return {name: url for name, url in urls.items() if isinstance(url, str) and origin_of(url)}
