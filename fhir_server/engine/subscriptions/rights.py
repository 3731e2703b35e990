"""The rights of who made a Subscription, as they are now: the one access rule is asked at every delivery."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.engine.access import Access, OpenAccess
from fhir_server.engine.context import Services
from fhir_server.engine.panels import confined
from fhir_server.errors import Forbidden
from fhir_server.store.accounts.bearer_tokens import bearer_token
from fhir_server.store.accounts.grants import is_in_force
from fhir_server.store.work.subscriptions import State


async def owners_access(services: Services, base_url: str, state: State, types: Iterable[str]) -> Access:
    """Return what the owner of a subscription may see now; raises Forbidden, saying why, where that is not enough."""
    if state.subscriber is None or "token" not in state.subscriber:
        raise Forbidden("It was loaded, and not made by anybody whose rights could be asked.")
    meaning: dict[str, Any] | None = state.subscriber["token"]
    if meaning is None:
        if not services.settings.open:
            raise Forbidden("It was made while this server was open to everybody.")
        return OpenAccess()
    token = bearer_token(meaning)
    if not await is_in_force(services.database, token):
        raise Forbidden("The grant, user or client that it was made by is no longer there.")
    client = await services.stores.clients.find(token.client_id)
    scopes = token.scopes if client is None else token.scopes.narrowed_to(client.scopes)
    settings = services.settings
    access = ScopedAccess(replace(token, scopes=scopes), timezone=settings.default_timezone, base_url=base_url)
    for resource_type in types:
        try:
            access.require("search-type", resource_type)
            access.require("read", resource_type)
        except Forbidden as error:
            raise Forbidden(f"Its owner may no longer read {resource_type}.") from error
    return await confined(services, access)
