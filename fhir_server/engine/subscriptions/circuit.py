"""Endpoints that fail are left alone for a while, whichever subscriptions lead to them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fhir_server.engine.subscriptions.definition import origin

_FAILURES = 5
_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 300.0
_MOST = 10_000


@dataclass(slots=True)
class _Standing:
    failures: int = 0
    closed_until: float = 0.0


class Circuits:
    """How the endpoints stand that one worker delivers to."""

    def __init__(self) -> None:
        self._standings: dict[str, _Standing] = {}

    def pause(self, endpoint: str) -> float:
        """Return for how many seconds the endpoint is to be left alone; 0 where it may be tried.

        After each pause one delivery tries it, and the others wait for how that ends.
        """
        standing = self._standings.get(origin(endpoint))
        if standing is None or standing.failures < _FAILURES:
            return 0.0
        left = standing.closed_until - time.monotonic()
        if left > 0:
            return left
        standing.closed_until = time.monotonic() + _FIRST_SECONDS
        return 0.0

    def note(self, endpoint: str, *, well: bool) -> None:
        """Note how a delivery to the endpoint ended."""
        host = origin(endpoint)
        if well:
            self._standings.pop(host, None)
            return
        if len(self._standings) >= _MOST:
            self._standings.clear()
        standing = self._standings.setdefault(host, _Standing())
        standing.failures += 1
        beyond = max(0, standing.failures - _FAILURES)
        standing.closed_until = time.monotonic() + min(_FIRST_SECONDS * 2.0 ** min(beyond, 10), _LONGEST_SECONDS)
