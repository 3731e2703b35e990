"""What the endpoints of the authorization server share: its stores and its URLs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from starlette.requests import Request

from fhir_server.auth.clients.jwks import ClientKeys
from fhir_server.auth.endpoints import root_of
from fhir_server.auth.outbound import Fetched, fetch
from fhir_server.engine.access import Access
from fhir_server.engine.context import Services
from fhir_server.engine.providers.accounts import Accounts
from fhir_server.engine.providers.connected import Providers
from fhir_server.store.accounts.oauth import OAuthStore


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """The authorization server of one FHIR base."""

    base_url: str
    """The FHIR base, without a final slash."""
    services: Services
    store: OAuthStore[Access]
    client_keys: ClientKeys
    providers: Providers

    @classmethod
    def of(
        cls, base_url: str, services: Services, store: OAuthStore[Access], providers: Providers
    ) -> AuthorizationServer:
        """Return the server on connected stores."""
        allow_internal = services.settings.allow_internal_urls

        async def fetch_keys(url: str) -> Fetched:
            return await fetch(url, allow_internal=allow_internal)

        return cls(base_url, services, store, ClientKeys(fetch_keys), providers)

    @property
    def accounts(self) -> Accounts:
        """The accounts of those who sign in with providers."""
        return Accounts(self.services, self.store, self.base_url)

    @property
    def issuer(self) -> str:
        """The issuer, which is the FHIR base: an app that knows one knows the other.

        So an app whose page is opened again with the `iss` that an answer brought still finds its FHIR server there.
        """
        return self.base_url

    @property
    def refresh_leeway(self) -> float:
        """Seconds within which a public client may use a refresh token again."""
        return self.services.settings.refresh_leeway_seconds

    @property
    def origin(self) -> str:
        """Scheme, host and port of the server, as browsers name it."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the server by https."""
        return self.base_url.startswith("https:")

    def url(self, path: str) -> str:
        """Return the absolute URL of a path such as /oauth/token."""
        return root_of(self.base_url) + path

    def is_base(self, url: str) -> bool:
        """Return whether a URL is the FHIR base, with or without a final slash."""
        return url in (self.base_url, self.base_url + "/")


def server_of(request: Request) -> AuthorizationServer:
    """Return the authorization server that the request came to."""
    return cast(AuthorizationServer, request.app.state.oauth)
