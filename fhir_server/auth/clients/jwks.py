"""The public keys of clients: inline in their registration, or in the set at their jwks_uri.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fhir_server.auth.clients.client import Client
from fhir_server.auth.tokens.key_sets import Fetch, Jwk, KeySets, named


class ClientKeys:
    """Finds the keys of clients; one for each worker."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._sets = KeySets(fetch, clock)

    async def find(self, client: Client, kid: str) -> list[Jwk]:
        """Return the client's keys of that id; raises Refused where its jwks_uri gives no key set."""
        if client.jwks is not None:
            return named([key for key in client.jwks.get("keys", []) if isinstance(key, dict)], kid)
        return [] if client.jwks_uri is None else await self._sets.find(client.jwks_uri, kid)
