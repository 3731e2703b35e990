"""How many Subscriptions one client may have for one user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.engine.subscriptions.registration import TYPE, owner_of
from fhir_server.errors import TooManyRequests
from fhir_server.search.index.index import SUBSCRIBER
from fhir_server.search.index.keys import clean
from fhir_server.store.work.subscriptions import SubscriptionStore

if TYPE_CHECKING:
    from fhir_server.engine.context import Context
    from fhir_server.store.resources.resources import Draft

_PATIENTS_PART = 100


async def require_room(context: Context, made: Sequence[Draft]) -> None:
    """Raise TooManyRequests where the new Subscriptions among the drafts are more than the caller may have."""
    new = sum(draft.type == TYPE for draft in made)
    access = context.access
    if not new or not isinstance(access, ScopedAccess):
        return
    most = context.services.settings.max_subscriptions
    if not access.token.scopes.has_level("system") and not access.is_staff and access.token.role != "admin":
        most = max(1, most // _PATIENTS_PART)
    store = SubscriptionStore(context.services.database.primary)
    there = await store.count_with(f"{SUBSCRIBER}={clean(owner_of(context))}", most)
    if there + new > most:
        raise TooManyRequests(f"There are {there} Subscriptions of yours, and at most {most}; delete one.")
