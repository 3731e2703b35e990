"""What requests, jobs and commands share: the services on a connected database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.auth.permission.bearer import BearerToken
from fhir_server.engine.access import Access
from fhir_server.engine.context import Services
from fhir_server.engine.profiles.content import ProfileContent
from fhir_server.engine.search_parameter_sync import SearchParameterSync
from fhir_server.engine.terminology.content import TerminologyContent
from fhir_server.engine.terminology.remote import RemoteTerminology
from fhir_server.own_urls import use_base
from fhir_server.packages.library import DefinitionLibrary
from fhir_server.search.index.index import INDEX_VERSION, index
from fhir_server.settings import Settings
from fhir_server.store.accounts.oauth import OAuthStore
from fhir_server.store.database import monitoring
from fhir_server.store.database.mongo import Database
from fhir_server.store.database.secrets import secret
from fhir_server.store.encryption.following import KeyFollower
from fhir_server.store.encryption.key_services import key_service
from fhir_server.store.encryption.stored_keys import unlock
from fhir_server.store.resources.history import HistoryStore
from fhir_server.store.resources.resources import ResourceStore
from fhir_server.store.search.parameters import SearchParameterStore
from fhir_server.store.search.search import SearchStore
from fhir_server.store.stores import Stores
from fhir_server.store.terminology.canonicals import CanonicalStore
from fhir_server.store.terminology.files import VocabularyFiles
from fhir_server.vocabulary.opened import OpenVocabularies

PREFIX = "/fhir"


def base_url(settings: Settings) -> str:
    """Return the absolute URL of the FHIR base: as configured, never from a request's headers, which can be forged."""
    if settings.base_url:
        return settings.base_url.rstrip("/")
    host = "localhost" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}{PREFIX}"


@asynccontextmanager
async def services(settings: Settings, *, serving: bool = False) -> AsyncIterator[Services]:
    """Connect to the database that the settings name and give what requests share; closes it afterwards.

    `serving` is what other processes on the database see: that this one answers at its base URL.
    """
    assert settings.database_url is not None, "the command line starts the embedded mongod first"
    listeners = monitoring.listeners(settings) if serving else []
    database = await Database.connect(settings.database_url, settings.database_name, listeners)
    try:
        service = key_service(settings, database.client)
        await unlock(database, service)
        shared = await services_on(database, settings, serving=serving)
        if service is not None:
            shared.keys = KeyFollower(database, service, shared.following.say)
            shared.following.on_return = shared.keys.look
            await shared.keys.start()
        await shared.following.start()
        try:
            yield shared
        finally:
            await shared.following.stop()
            if shared.keys is not None:
                await shared.keys.stop()
    finally:
        await database.close()


async def services_on(database: Database, settings: Settings, *, serving: bool = False) -> Services:
    """Return the services on a connected database."""
    use_base(settings.canonical_base, settings.former_bases)
    resources = ResourceStore(database, settings.blob_threshold_bytes)
    parameters = SearchParameterStore(database, resources)
    about: dict[str, object] = {"index": INDEX_VERSION, **({"base_url": base_url(settings)} if serving else {})}
    canonicals = CanonicalStore(database, resources)
    made = partial(index, timezone=settings.default_timezone, base_url=base_url(settings))
    shared = Services(
        database=database,
        resources=resources,
        history=HistoryStore(database, resources),
        search=SearchStore(database),
        canonicals=canonicals,
        stores=Stores(database),
        settings=settings,
        signing_key=await secret(database, "page-token"),
        following=SearchParameterSync(parameters, about),
        terminology=TerminologyContent(),
        definitions=DefinitionLibrary(database, resources, canonicals, made, core=settings.search_core_definitions),
        profiles=ProfileContent(),
        remote=RemoteTerminology(settings),
        vocabularies=OpenVocabularies(VocabularyFiles(database, settings.data_dir / "terminology")),
    )
    if settings.read_preference != "primary":
        shared.reading = _reading(shared)
    return shared


def _reading(shared: Services) -> Services:
    """Return the services whose stores read from the nodes that the settings prefer."""
    database = shared.database.reading(shared.settings.read_preference)
    resources = ResourceStore(database, shared.settings.blob_threshold_bytes)
    return replace(
        shared,
        database=database,
        resources=resources,
        history=HistoryStore(database, resources),
        search=SearchStore(database),
        canonicals=CanonicalStore(database, resources),
    )


async def authorization_store(shared: Services) -> OAuthStore[Access]:
    """Return the stores of authorization; each access token is remembered as the access that it gives."""
    settings = shared.settings

    def made(token: BearerToken) -> Access:
        return ScopedAccess(token, timezone=settings.default_timezone, base_url=base_url(settings))

    return await OAuthStore.open(shared.database, settings, made)
