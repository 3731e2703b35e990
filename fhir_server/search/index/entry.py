"""What a resource writes into the index, while it is being collected."""

from __future__ import annotations

from typing import Any


class Entry:
    """The facts of one resource: keys, and for values that are ranges their exact bounds.

    `timezone` is that of times without an offset, `base_url` the server's own, so that references below it become
    relative.
    """

    __slots__ = ("base_url", "contained_references", "keys", "ranges", "resource", "timezone")

    def __init__(self, resource: dict[str, Any], timezone: str, base_url: str) -> None:
        self.resource = resource
        self.timezone = timezone
        self.base_url = base_url
        self.keys: list[str] = []
        self.ranges: dict[str, list[dict[str, Any]]] = {}
        self.contained_references: list[tuple[str, str]] = []
        """Each reference parameter that leads to a contained resource, with that one's id."""
