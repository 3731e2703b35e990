"""The status of a Subscription as its resource tells it: only the server activates one, or gives it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from fhir_server.engine import writes
from fhir_server.engine.context import Context, Response, Services
from fhir_server.engine.interactions.update import next_version
from fhir_server.engine.subscriptions.registration import TYPE, ServerAccess
from fhir_server.r4 import values
from fhir_server.store.resources.resources import Draft, Version
from fhir_server.store.work.subscriptions import State, SubscriptionStore

_LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class StatusWriter:
    """Writes what becomes of subscriptions."""

    services: Services
    base_url: str
    store: SubscriptionStore

    async def become(self, state: State, status: str, error: str = "") -> State:
        """Write the status, and what went wrong, into the Subscription; return how it stands then.

        Where somebody has changed it meanwhile it stays as it is.
        """
        services = self.services
        if not services.following.fresh:
            await services.following.look()
        context = Context(services, self.base_url, ServerAccess())
        made: list[Version | Draft] = []

        def plan(previous: Version | None) -> writes.Write:
            made.clear()
            if previous is None or previous.deleted or previous.version != state.version:
                return writes.Write(None, None, Response(200))
            write = next_version(context, _changed(previous, status, error), state.id, previous, "PUT")
            made.append(write.draft or previous)
            return write

        with services.following.working():
            await writes.replace(context, TYPE, state.id, plan)
        if not made:
            return state
        await self.store.became(state, made[0].version, status, made[0].json)
        return msgspec.structs.replace(state, version=made[0].version, status=status, json=made[0].json)


def _changed(previous: Version, status: str, error: str) -> dict[str, Any]:
    resource = {name: value for name, value in values.decode(previous.json).items() if name != "error"}
    resource["status"] = status
    if error:
        resource["error"] = error[:_LONGEST_ERROR]
    return resource
