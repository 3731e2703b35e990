"""Endpoints that fail are left alone for a while, whichever subscriptions lead to them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fhir_server.engine.subscriptions.definition import origin

_FAILURES = 5
_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 300.0
_MOST = 10_000


@dataclass(slots=True)
class _Endpoint:
    failures: int = 0
    closed_until: float = 0.0


class Circuits:
    """How the endpoints stand that one worker delivers to."""

    def __init__(self) -> None:
        self._endpoints: dict[str, _Endpoint] = {}

    def pause(self, endpoint: str) -> float:
        """Return for how many seconds the endpoint is to be left alone; 0 where it may be tried.

        After each pause one delivery tries it, and the others wait for how that ends.
        """
        state = self._endpoints.get(origin(endpoint))
        if state is None or state.failures < _FAILURES:
            return 0.0
        left = state.closed_until - time.monotonic()
        if left > 0:
            return left
        state.closed_until = time.monotonic() + _FIRST_SECONDS
        return 0.0

    def note(self, endpoint: str, *, well: bool) -> None:
        """Note how a delivery to the endpoint ended."""
        host = origin(endpoint)
        if well:
            self._endpoints.pop(host, None)
            return
        if len(self._endpoints) >= _MOST:
            self._endpoints.clear()
        state = self._endpoints.setdefault(host, _Endpoint())
        state.failures += 1
        beyond = max(0, state.failures - _FAILURES)
        state.closed_until = time.monotonic() + min(_FIRST_SECONDS * 2.0 ** min(beyond, 10), _LONGEST_SECONDS)
