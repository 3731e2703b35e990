"""Whether who signs in still stands as active in FHIR.

A user whose resource says that it is not active, or is deleted, is let in nowhere; and when a write says so, all that
the user holds ends with it: sessions and tokens, on every worker, before the write is answered.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.engine.context import Services
from fhir_server.r4 import values
from fhir_server.store.resources.resources import Draft
from fhir_server.work.budget import together

_PEOPLE = frozenset({"Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person"})


def retired(drafts: Iterable[Draft]) -> list[str]:
    """Return the references of those who are not active any more by what is written."""
    return [
        f"{draft.type}/{draft.id}"
        for draft in drafts
        if draft.type in _PEOPLE and (draft.resource is None or draft.resource.get("active") is False)
    ]


async def end_access(services: Services, references: Iterable[str]) -> None:
    """End all that the users hold who are these resources; on every worker when it returns."""
    ended = list(references)
    if not ended:
        return
    stores = services.stores
    users = await stores.users.ids_of(ended)
    await together(*(stores.sessions.end_all(user) for user in users))
    await together(*(stores.grants.revoke_user(user) for user in users))


async def is_active(services: Services, fhir_user: str | None) -> bool:
    """Return whether the user who is that resource may be let in; one without a resource may."""
    if fhir_user is None:
        return True
    resource_type, _, resource_id = fhir_user.partition("/")
    version = await services.resources.read(resource_type, resource_id)
    if version is None:  # the account was made first
        return True
    return not version.deleted and values.decode(version.json).get("active") is not False
