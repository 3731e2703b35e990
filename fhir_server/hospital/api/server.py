"""What the endpoints of the facade share: the stores, the FHIR base, the gateways."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from starlette.requests import Request

from fhir_server.engine.access import Access
from fhir_server.engine.context import Services
from fhir_server.engine.providers.tokens import OutsideTokens
from fhir_server.hospital.api.fhir import Fhir, in_process
from fhir_server.hospital.api.own_app import register_app
from fhir_server.hospital.api.remote import RemoteFhir
from fhir_server.hospital.gateways.card import Gateway
from fhir_server.hospital.gateways.smtp import Mail, SmtpServer
from fhir_server.http.admission import Admission
from fhir_server.http.bearer import Authenticate, bearer_authentication
from fhir_server.settings import Settings
from fhir_server.store.accounts.login_names import LoginNames
from fhir_server.store.accounts.oauth import OAuthStore
from fhir_server.store.accounts.password_resets import PasswordResets
from fhir_server.store.confirmations import Confirmations
from fhir_server.store.work.idempotency import IdempotencyKeys
from mappings.shared import clinic_clock
from mappings.shared.elements import Resource


@dataclass(frozen=True, slots=True)
class FacadeServer:
    """The facade of one FHIR base."""

    services: Services
    base_url: str
    accounts: OAuthStore[Access]
    names: LoginNames
    keys: IdempotencyKeys
    resets: PasswordResets
    confirmations: Confirmations
    gateway: Gateway
    authenticate: Authenticate
    remote: RemoteFhir | None
    """The other FHIR server that all is answered from, where it is not this one."""
    admission: Admission
    """The turns of large requests, which uploads share with FHIR."""
    send_mail: Callable[[Mail], Awaitable[None]] | None = None
    """Sends a mail; None where no mail server is set."""

    @classmethod
    async def open(
        cls,
        services: Services,
        base_url: str,
        accounts: OAuthStore[Access],
        gateway: Gateway,
        remote: RemoteFhir | None = None,
        *,
        admission: Admission,
        outside: OutsideTokens | None = None,
    ) -> FacadeServer:
        """Return the facade's server, with its collections made."""
        names, keys = accounts.names, services.stores.idempotency_keys
        resets, settings = services.stores.password_resets, services.settings
        confirmations = services.stores.confirmations
        await register_app(accounts)
        for store in (keys, resets, confirmations):
            await store.prepare()
        send = SmtpServer(settings).send if settings.smtp_host else None
        authenticate = bearer_authentication(accounts, services, outside)
        base = remote.base_url if remote else base_url
        return cls(
            services,
            base,
            accounts,
            names,
            keys,
            resets,
            confirmations,
            gateway,
            authenticate,
            remote,
            admission,
            send,
        )

    @property
    def settings(self) -> Settings:
        """The server's settings."""
        return self.services.settings

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the server by https."""
        return self.base_url.startswith("https:")

    @property
    def host(self) -> str:
        """The name of the host that the server is known by."""
        return urlsplit(self.base_url).hostname or "localhost"

    def fhir(self, access: Access | None = None) -> Fhir:
        """Return FHIR as a caller sees it; without one as the facade does, for what is public or its own duty."""
        return in_process(self.services, self.base_url, access)

    def clock_of(self, location: Resource | None) -> ZoneInfo:
        """Return the clock of a clinic: its own time zone, else that of the settings."""
        return clinic_clock.clock_of(location, self.settings.default_timezone)


def server_of(request: Request) -> FacadeServer:
    """Return the facade that the request came to."""
    return cast(FacadeServer, request.app.state.facade)
