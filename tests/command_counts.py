"""Counting the commands that a server sends to its database, by a listener of the driver."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent

from fhir_server.store.database.mongo import Database, Document


class CommandCounts(CommandListener):
    """Counts commands by their names, and by name and collection."""

    def __init__(self) -> None:
        self.names: Counter[str] = Counter()
        self.places: Counter[tuple[str, str]] = Counter()

    def started(self, event: CommandStartedEvent) -> None:
        """Count a command; the driver's own about connections are not passed to listeners."""
        self.names[event.command_name] += 1
        self.places[event.command_name, str(event.command.get(event.command_name))] += 1

    def succeeded(self, event: object) -> None:
        """Count nothing."""

    def failed(self, event: object) -> None:
        """Count nothing."""

    def clear(self) -> None:
        """Begin anew."""
        self.names.clear()
        self.places.clear()


def counted_database(url: str, name: str, counts: CommandCounts) -> Database:
    """Return a database, connected as `Database.connect` does, whose commands are counted."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        url, w="majority", journal=True, event_listeners=[counts]
    )
    made: AsyncMongoClient[Document] = client
    return Database(made, name)
