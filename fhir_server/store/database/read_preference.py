"""Which nodes of a replica set may answer reads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from pymongo.read_preferences import Nearest, SecondaryPreferred
from pymongo.server_description import ServerDescription
from pymongo.server_type import SERVER_TYPE

NodePreference = Literal["primary", "secondaryPreferred", "nearest"]
"""MongoDB's words: https://www.mongodb.com/docs/manual/core/read-preference/."""

OTHER_NODES: dict[str, SecondaryPreferred | Nearest] = {
    "secondaryPreferred": SecondaryPreferred(),
    "nearest": Nearest(),
}
LATENCY_WINDOW_SECONDS = 0.015
"""Nodes that are this much farther than the nearest one count as near; the driver's own default."""


class OneNode:
    """Keeps a worker to one of several nodes that may answer, for as long as that one may.

    What belongs together is read by several commands: a resource and its blob, a version and its successor, the pages
    of a search. Secondaries lag behind by different times, so read from two of them it might not fit together.
    Workers choose at random, which spreads the load.
    """

    def __init__(self) -> None:
        self._chosen: tuple[str, int | None] | None = None

    def __call__(self, servers: Sequence[ServerDescription]) -> list[ServerDescription]:
        """Return the one of the servers that is to be asked, as a list; the driver calls it for each command."""
        replicas = all(server.server_type in _DATA_BEARING for server in servers)
        if len(servers) < 2 or not replicas:
            return list(servers)
        for server in servers:
            if server.address == self._chosen:
                return [server]
        nearest = min(_distance(server) for server in servers)
        near = [server for server in servers if _distance(server) <= nearest + LATENCY_WINDOW_SECONDS]
        chosen = random.choice(near)  # noqa: S311 - spreads load, keeps no secret
        self._chosen = chosen.address
        return [chosen]


_DATA_BEARING = frozenset({SERVER_TYPE.RSPrimary, SERVER_TYPE.RSSecondary})


def _distance(server: ServerDescription) -> float:
    return server.round_trip_time or 0.0
