"""What only the database can say of a Subscription that is to be stored: how many there are, and its topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.engine.subscriptions.definition import is_topic
from fhir_server.engine.subscriptions.registration import TYPE, ServerAccess, owner_of, require_topic
from fhir_server.engine.subscriptions.stored_topics import find_topic
from fhir_server.engine.subscriptions.topics import SHIPPED
from fhir_server.errors import TooManyRequests
from fhir_server.search.index.index import SUBSCRIBER
from fhir_server.search.index.keys import clean
from fhir_server.store.work.subscriptions import LIVE

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
    store = context.services.stores.subscriptions
    there = await store.count_with(f"{SUBSCRIBER}={clean(owner_of(context))}", most)
    if there + new > most:
        raise TooManyRequests(f"You have {there} Subscriptions, and at most {most} are allowed; delete one.")


async def require_stored_topics(context: Context, made: Sequence[Draft]) -> None:
    """Raise Unprocessable, or Forbidden, where a Subscription among the drafts is by a topic that it may not be by."""
    for draft in made:
        resource = draft.resource if draft.type == TYPE else None
        if resource is None or isinstance(context.access, ServerAccess):
            continue
        criteria = resource["criteria"]
        if is_topic(criteria) and criteria not in SHIPPED and resource["status"] in LIVE:
            require_topic(context, resource, await find_topic(context.services, criteria))
