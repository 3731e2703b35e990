"""The public keys of clients: inline in their registration, or fetched from their jwks_uri and kept while they may be.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fhir_server.auth.clients.client import Client
from fhir_server.auth.outbound import Fetched, Refused

Fetch = Callable[[str], Awaitable[Fetched]]
Jwk = dict[str, Any]

DEFAULT_SECONDS = 300
LONGEST_SECONDS = 24 * 3600
_BETWEEN_EXTRA_FETCHES = 30.0
_MOST_SETS = 1000


@dataclass(slots=True)
class _Kept:
    keys: list[Jwk]
    fetched: float
    expires: float


class ClientKeys:
    """Finds the keys of clients; one for each worker, since it keeps what it fetched."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def find(self, client: Client, kid: str) -> list[Jwk]:
        """Return the client's keys of that id; raises Refused where its jwks_uri gives no key set."""
        if client.jwks is not None:
            return _named(client.jwks.get("keys", []), kid)
        if client.jwks_uri is None:
            return []
        return await self._remote(client.jwks_uri, kid)

    async def _remote(self, uri: str, kid: str) -> list[Jwk]:
        async with self._locks.setdefault(uri, asyncio.Lock()):
            kept, now = self._kept.get(uri), self._clock()
            if kept is not None and now < kept.expires:
                keys = _named(kept.keys, kid)
                # A key that is not there may be new; but not more often, or anybody could make us fetch at will.
                if keys or now < kept.fetched + _BETWEEN_EXTRA_FETCHES:
                    return keys
            return _named((await self._load(uri, now)).keys, kid)

    async def _load(self, uri: str, now: float) -> _Kept:
        fetched = await self._fetch(uri)
        seconds = DEFAULT_SECONDS if fetched.max_age is None else min(fetched.max_age, LONGEST_SECONDS)
        kept = _Kept(_key_set(fetched.body), now, now + seconds)
        if len(self._kept) >= _MOST_SETS:
            self._kept.clear()
        self._kept[uri] = kept
        return kept


def _named(keys: list[Jwk], kid: str) -> list[Jwk]:
    return [key for key in keys if key.get("kid") == kid]


def _key_set(body: bytes) -> list[Jwk]:
    try:
        keys = json.loads(body)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused("it is not a JWKS") from error
    if not isinstance(keys, list):
        raise Refused("it is not a JWKS")
    return [key for key in keys if isinstance(key, dict)]
