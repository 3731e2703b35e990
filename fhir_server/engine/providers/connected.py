"""The outside identity providers of this server: those of the settings' file, and those that were added by command."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from fhir_server.auth.providers.provider import Provider, parse_providers, require_distinct
from fhir_server.auth.providers.relying_party import RelyingParty
from fhir_server.errors import BadRequest
from fhir_server.settings import Settings
from fhir_server.store.accounts.providers import ProviderStore
from fhir_server.store.database.data_directory import StartupError

_KEPT_SECONDS = 5.0


class Providers:
    """Finds providers, and asks them; one for each worker, since it keeps what they said."""

    def __init__(self, store: ProviderStore, configured: Sequence[Provider]) -> None:
        self.party = RelyingParty()
        self._store = store
        self._configured = tuple(configured)
        self._kept: tuple[Provider, ...] = ()
        self._read = float("-inf")

    @classmethod
    def of(cls, store: ProviderStore, settings: Settings) -> Providers:
        """Return the providers; raises StartupError where the settings' file cannot be used."""
        return cls(store, configured(settings.providers_file))

    async def all(self) -> tuple[Provider, ...]:
        """Return all providers, those of the settings first; one that was added is found within some seconds."""
        if time.monotonic() - self._read > _KEPT_SECONDS:
            ids, issuers = {each.id for each in self._configured}, {each.issuer for each in self._configured}
            added = [each for each in await self._store.all() if each.id not in ids and each.issuer not in issuers]
            self._kept, self._read = (*self._configured, *added), time.monotonic()
        return self._kept

    async def of_sign_in(self) -> list[Provider]:
        """Return those that users sign in with."""
        return [provider for provider in await self.all() if provider.sign_in]

    async def find(self, provider_id: str) -> Provider | None:
        """Return the provider of that id."""
        return next((each for each in await self.all() if each.id == provider_id), None)


def configured(path: Path | None) -> tuple[Provider, ...]:
    """Return the providers of a file; raises StartupError where it cannot be used."""
    if path is None:
        return ()
    try:
        providers = parse_providers(path.read_bytes())
        require_distinct(providers)
    except (OSError, BadRequest) as error:
        reason = error.issues[0].diagnostics if isinstance(error, BadRequest) else type(error).__name__
        raise StartupError(f"The file of identity providers {path} cannot be used: {reason}") from error
    return providers
