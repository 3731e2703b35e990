"""Outside identity providers that the operator has added by command; their secrets are sealed."""

from __future__ import annotations

import json
from collections.abc import Callable

from pymongo.errors import DuplicateKeyError

from fhir_server.auth.providers.provider import Provider, parse_provider
from fhir_server.auth.tokens.sealed import seal, unseal
from fhir_server.errors import Conflict
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongo import Database, Document, translated

PROVIDERS = "oauth_providers"


class ProviderStore:
    """Reads and stores providers; `key` gives what their secrets are sealed under."""

    def __init__(self, database: Database, key: Callable[[], bytes]) -> None:
        self._providers = database.collection(PROVIDERS)
        self._key = key

    async def add(self, provider: Provider) -> None:
        """Store a new provider; raises Conflict where one has its id."""
        document: Document = {"_id": provider.id, **provider.model_dump(mode="json", exclude={"id", "client_secret"})}
        # A group's or scope's name may hold what a name in a document must not.
        document["accounts"] = provider.accounts.model_dump_json()
        document["tokens"] = provider.tokens.model_dump_json() if provider.tokens else None
        if provider.secret is not None:
            document["sealed_secret"] = seal(provider.secret.encode(), self._key(), provider.id)
        with translated:
            try:
                await self._providers.insert_one(document)
            except DuplicateKeyError as error:
                raise Conflict(f"There is a provider {provider.id!r} already.", code="duplicate") from error

    async def all(self) -> list[Provider]:
        """Return all providers by id."""
        with translated:
            documents = await self._providers.find().sort("_id").to_list()
        return [self._provider(document) for document in documents]

    async def remove(self, provider_id: str) -> bool:
        """Remove a provider and return whether there was one; who signed in with it must be signed out besides."""
        with translated:
            return (await self._providers.delete_one({"_id": provider_id})).deleted_count == 1

    def _provider(self, document: Document) -> Provider:
        described = {name: value for name, value in document.items() if name not in ("_id", "sealed_secret")}
        described |= {"id": document["_id"], "accounts": json.loads(document["accounts"])}
        if described.get("tokens") is not None:
            described["tokens"] = json.loads(described["tokens"])
        if "sealed_secret" in document:
            secret = unseal(document["sealed_secret"], self._key(), document["_id"])
            if secret is None:
                raise StartupError(
                    f"The secret of the provider {document['_id']!r} was sealed under another key. Start the server "
                    "with the FHIR_SERVER_KEY_SECRET, or the master.key, that it was added with, or add it anew."
                )
            described["client_secret"] = secret.decode()
        return parse_provider(described)
