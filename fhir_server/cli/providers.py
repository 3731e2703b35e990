"""Managing outside identity providers, for the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fhir_server.auth.endpoints import root_of
from fhir_server.auth.outbound import Refused
from fhir_server.auth.providers.provider import Provider, parse_provider, require_distinct
from fhir_server.auth.providers.relying_party import RelyingParty
from fhir_server.cli.accounts import Described, Work, audited_work
from fhir_server.engine.access import Access
from fhir_server.engine.context import Services
from fhir_server.engine.providers.connected import configured
from fhir_server.engine.providers.endings import end_sign_ins
from fhir_server.services import base_url
from fhir_server.settings import Settings
from fhir_server.store.accounts.oauth import OAuthStore
from fhir_server.store.database.data_directory import StartupError


def add_provider(
    document: dict[str, Any], *, mapping: Path | None, tokens: Path | None, unchecked: bool
) -> Work[Described]:
    """Return the work that adds a provider, once it has told of itself where that is not left out."""

    async def work(shared: Services, store: OAuthStore[Access]) -> Described:
        files = {"accounts": mapping, "tokens": tokens}
        provider = parse_provider(document | {name: _read(path) for name, path in files.items() if path})
        require_distinct([*configured(shared.settings.providers_file), *await store.providers.all(), provider])
        if not unchecked:
            await _require_found(provider)
        await store.providers.add(provider)
        return described_provider(provider, shared.settings)

    return audited_work("provider-added", work, provider=str(document.get("id")))


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StartupError(f"{path} is no JSON file of a mapping: {error}") from error


async def _require_found(provider: Provider) -> None:
    try:
        await RelyingParty().discovery.of(provider)
    except Refused as error:
        raise StartupError(
            f"The provider at {provider.issuer} cannot be used: {error}. --internal is for one in your own network, "
            "--unchecked adds it all the same."
        ) from error


def described_provider(provider: Provider, settings: Settings) -> Described:
    """Return what is told of a provider, and what must be registered there; never its secret."""
    root = f"{root_of(base_url(settings))}/oauth"
    return {
        **provider.model_dump(mode="json", exclude={"client_secret"}, exclude_defaults=True),
        "redirect_uri": f"{root}/providers/{provider.id}/callback",
        "post_logout_redirect_uri": f"{root}/signed_out",
        "backchannel_logout_uri": f"{root}/providers/{provider.id}/back_channel_logout",
    }


async def list_providers(shared: Services, store: OAuthStore[Access]) -> list[Described]:
    """Return all providers, those of the settings' file first."""
    providers = [*configured(shared.settings.providers_file), *await store.providers.all()]
    return [described_provider(provider, shared.settings) for provider in providers]


def remove_provider(provider_id: str) -> Work[None]:
    """Return the work that removes a provider and ends all that rests on it; done on every worker when it returns."""

    async def work(shared: Services, store: OAuthStore[Access]) -> None:
        if not await store.providers.remove(provider_id):
            raise StartupError(f"There is no provider {provider_id!r} that was added by command.")
        await end_sign_ins(store, await store.provider_sign_ins.of_provider(provider_id))

    return audited_work("provider-removed", work, provider=provider_id)
