"""Where the endpoints of the authorization server are: discovery and the CapabilityStatement name the same URLs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_SERVICE = "http://terminology.hl7.org/CodeSystem/restful-security-service"


def root_of(base_url: str) -> str:
    """Return what stands before the /fhir of a FHIR base: the authorization server's endpoints stand below it."""
    return base_url.removesuffix("/fhir")


def endpoints(base_url: str, *, registration: bool) -> dict[str, str]:
    """Return the URLs of the endpoints by their names in discovery documents."""
    root = root_of(base_url)
    urls = {
        "authorization_endpoint": f"{root}/oauth/authorize",
        "token_endpoint": f"{root}/oauth/token",
        "introspection_endpoint": f"{root}/oauth/introspect",
        "revocation_endpoint": f"{root}/oauth/revoke",
        "management_endpoint": f"{root}/oauth/apps",
    }
    return urls | ({"registration_endpoint": f"{root}/oauth/register"} if registration else {})


_IN_STATEMENT = {
    "authorize": "authorization_endpoint",
    "token": "token_endpoint",
    "introspect": "introspection_endpoint",
    "revoke": "revocation_endpoint",
    "manage": "management_endpoint",
    "register": "registration_endpoint",
}


def security(
    base_url: str | None, *, registration: bool, cors: bool = True, outside: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the element CapabilityStatement.rest.security; without a base URL it names no endpoints.

    `outside` are those of another authorization server, by their names in discovery documents, in place of this one's.

    https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html#declaring-support-for-oauth2-endpoints
    """
    described: dict[str, Any] = {}
    if base_url is not None:
        urls = endpoints(base_url, registration=registration) if outside is None else outside
        named = [{"url": name, "valueUri": urls[key]} for name, key in _IN_STATEMENT.items() if key in urls]
        if named:
            described["extension"] = [{"url": _OAUTH_URIS, "extension": named}]
    coding = {"system": _SERVICE, "code": "SMART-on-FHIR", "display": "SMART-on-FHIR"}
    return described | {
        "cors": cors,
        "service": [{"coding": [coding], "text": "SMART App Launch 2.2"}],
        "description": "An access token is needed for all but this statement.",
    }
