"""The end of somebody's Subscriptions when their account is erased."""

from __future__ import annotations

from fhir_server.engine.context import Services
from fhir_server.engine.subscriptions.registration import TYPE
from fhir_server.store.resources.erasure import Eraser


async def erase_subscriptions(services: Services, user_id: str) -> None:
    """Remove every version of what a user's apps have subscribed to, with its events: it names the user."""
    store = services.stores.subscriptions
    own = await store.of_user(user_id)
    for subscription in own:
        await store.remove(subscription)
    await Eraser(services.resources).erase(TYPE, own)
