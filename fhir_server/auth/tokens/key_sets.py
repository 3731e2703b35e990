"""Key sets that others publish at a URL (JWKS), fetched and kept while they may be.

A key that is not in the kept set may be new, so the set is fetched again, but at most once in a while; a set that could
not be fetched is not asked for again at once, and one that was fetched before goes on serving meanwhile.
https://www.rfc-editor.org/rfc/rfc7517#section-5
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.auth.outbound import Fetched, Refused

Fetch = Callable[[str], Awaitable[Fetched]]
Jwk = dict[str, Any]

DEFAULT_SECONDS = 300
LONGEST_SECONDS = 24 * 3600
_SHORTEST_SECONDS = 1
"""A set that may not be kept at all is kept for this, or each request could make us fetch."""
_BETWEEN_EXTRA_FETCHES = 30.0
_AFTER_FAILURE = 10.0
_MOST_SETS = 1000


@dataclass(frozen=True, slots=True)
class _Kept:
    """A key set, or the fault that kept it from being fetched; `asked_at` is when it was last asked for."""

    keys: Sequence[Jwk]
    asked_at: float
    expires: float
    fault: Refused | None = None


class KeySets:
    """Finds keys in the sets at URLs; one for each worker, since it keeps what it fetched."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def find(self, uri: str, kid: str | None) -> list[Jwk]:
        """Return the keys of that id in the set at the URL, all of them without one; raises Refused where it is none.

        Who asks while the set is being fetched waits for that; keys of other sets are found meanwhile.
        """
        kept = self._kept.get(uri)
        if kept is not None and kept.fault is None and self._clock() < kept.expires and (keys := named(kept.keys, kid)):
            return keys
        async with self._locks.setdefault(uri, asyncio.Lock()):
            return await self._refreshed(uri, kid)

    async def _refreshed(self, uri: str, kid: str | None) -> list[Jwk]:
        kept, now = self._kept.get(uri), self._clock()
        if kept is not None and now < kept.expires:
            keys = named(kept.keys, kid)
            rested = now >= kept.asked_at + (_BETWEEN_EXTRA_FETCHES if kept.fault is None else _AFTER_FAILURE)
            # A key that is not there may be new; but not more often, or anybody could make us fetch at will.
            if keys or not rested:
                if kept.fault is not None and not keys:
                    raise kept.fault
                return keys
        return named((await self._load(uri, now, kept)).keys, kid)

    async def _load(self, uri: str, now: float, before: _Kept | None) -> _Kept:
        if len(self._kept) >= _MOST_SETS:
            self._kept.clear()
            self._locks = {uri: self._locks[uri]}
        try:
            fetched = await self._fetch(uri)
            keys = _key_set(fetched.body)
        except Refused as fault:
            still_good = before is not None and now < before.expires
            self._kept[uri] = (
                replace(before, asked_at=now, fault=fault)
                if before is not None and still_good
                else _Kept((), now, now + _AFTER_FAILURE, fault)
            )
            raise
        seconds = DEFAULT_SECONDS if fetched.max_age is None else min(fetched.max_age, LONGEST_SECONDS)
        self._kept[uri] = made = _Kept(keys, now, now + max(seconds, _SHORTEST_SECONDS))
        return made


def named(keys: Sequence[Jwk], kid: str | None) -> list[Jwk]:
    """Return the keys of that id; all of them without one."""
    return [key for key in keys if kid is None or key.get("kid") == kid]


def _key_set(body: bytes) -> list[Jwk]:
    try:
        keys = json.loads(body)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused("it is not a JWKS") from error
    if not isinstance(keys, list):
        raise Refused("it is not a JWKS")
    return [key for key in keys if isinstance(key, dict)]
