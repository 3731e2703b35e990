"""What the driver tells of commands and connections: for `/metrics`, and for the log where a command took long.

A slow command is logged by its shape and by the shape of its plan: names of fields, operators, stages and indexes, and
in the place of every value a question mark. https://pymongo.readthedocs.io/en/stable/api/pymongo/monitoring.html
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import pymongo
import structlog
from prometheus_client import Histogram
from pymongo import monitoring
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from fhir_server.settings import Settings
from fhir_server.work import metrics

_COMMANDS = frozenset(
    {
        "abortTransaction", "aggregate", "buildInfo", "commitTransaction", "count", "createIndexes", "delete",
        "distinct", "endSessions", "explain", "find", "findAndModify", "getMore", "hello", "insert", "killCursors",
        "listCollections", "listIndexes", "ping", "update",
    }
)  # fmt: skip
_QUERIES = frozenset({"aggregate", "count", "delete", "distinct", "find", "findAndModify", "update"})
_SHOWN = ("filter", "query", "pipeline", "sort", "hint", "updates", "deletes")
_OF_THE_SESSION = frozenset({"lsid", "txnNumber", "startTransaction", "autocommit", "readConcern", "writeConcern"})
_NOT_THE_PLAN = frozenset({"rejectedPlans", "command", "parsedQuery", "filter", "indexBounds", "serverInfo"})
_EXPLAIN_SECONDS = 5.0
_MOST_PENDING = 1000
_DEEPEST = 8
_MOST_MEMBERS = 12
_LONGEST_NAME = 40

log = structlog.get_logger(__name__)


def listeners(settings: Settings) -> list[Commands | Connections]:
    """Return what listens to the driver, as the settings ask; each listener costs every command some microseconds."""
    commands = [Commands(settings.slow_query_ms)] if settings.slow_query_ms or settings.metrics_port else []
    return [*commands, *([Connections()] if settings.metrics_port else [])]


class Commands(monitoring.CommandListener):
    """Times commands, and logs those that took `slow_milliseconds`, or none for 0."""

    def __init__(self, slow_milliseconds: float) -> None:
        self._slow = slow_milliseconds * 1000
        self._seconds: dict[str, Histogram] = {}
        self._pending: OrderedDict[int, Mapping[str, Any]] = OrderedDict()
        self._explaining: asyncio.Task[None] | None = None
        self.database: AsyncDatabase[Any] | None = None
        """Where to ask for plans, once it is connected."""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Remember what may have to be logged."""
        if self._slow and event.command_name in _QUERIES:
            self._pending[event.request_id] = event.command
            if len(self._pending) > _MOST_PENDING:
                self._pending.popitem(last=False)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Count a command."""
        self._observe(event.command_name, event.duration_micros)
        command = self._pending.pop(event.request_id, None)
        if command is not None and event.duration_micros >= self._slow:
            self._log(command, event)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Count a command."""
        name = event.command_name
        self._pending.pop(event.request_id, None)
        self._observe(name, event.duration_micros)
        metrics.COMMAND_FAILURES.labels(name if name in _COMMANDS else "other").inc()

    def _observe(self, name: str, microseconds: int) -> None:
        seconds = self._seconds.get(name)
        if seconds is None:
            seconds = metrics.COMMAND_SECONDS.labels(name if name in _COMMANDS else "other")
            self._seconds[name] = seconds
        seconds.observe(microseconds / 1_000_000)

    def _log(self, command: Mapping[str, Any], event: monitoring.CommandSucceededEvent) -> None:
        metrics.SLOW_COMMANDS.inc()
        name = event.command_name
        line = {"command": name, "collection": str(command.get(name)), "ms": event.duration_micros // 1000}
        line |= {part: shape(command[part]) for part in _SHOWN if part in command}
        idle = self._explaining is None or self._explaining.done()
        if self.database is not None and idle:  # one at a time: what is slow must not become slower
            self._explaining = asyncio.create_task(_explained(self.database, command, line))
        else:
            log.warning("database.slow", **line)


async def _explained(database: AsyncDatabase[Any], command: Mapping[str, Any], line: dict[str, Any]) -> None:
    """Log a slow command with the shape of the plan that the database would take for it now."""
    query = {name: value for name, value in command.items() if name not in _OF_THE_SESSION and name[0] != "$"}
    try:
        with pymongo.timeout(_EXPLAIN_SECONDS):
            answer = await database.command({"explain": query, "verbosity": "queryPlanner"})
        line["plan"] = plan_shape(answer)
    except PyMongoError as error:
        line["plan"] = type(error).__name__
    log.warning("database.slow", **line)


def plan_shape(explained: Any) -> list[str]:
    """Return the stages of the winning plans in an answer to `explain`, outermost first, with their indexes."""
    stages: list[str] = []
    if isinstance(explained, Mapping):
        if "stage" in explained:
            index = f" {explained['indexName']}" if "indexName" in explained else ""
            stages.append(f"{explained['stage']}{index}")
        for name, inner in explained.items():
            if name not in _NOT_THE_PLAN:
                stages += plan_shape(inner)
    elif isinstance(explained, list):
        for inner in explained:
            stages += plan_shape(inner)
    return stages


class Connections(monitoring.ConnectionPoolListener):
    """Counts connections: those that there are, and those of them that a command holds."""

    def __init__(self) -> None:
        self._open = metrics.CONNECTIONS.labels("open")
        self._used = metrics.CONNECTIONS.labels("used")

    def connection_created(self, event: monitoring.ConnectionCreatedEvent) -> None:
        """Count it."""
        self._open.inc()

    def connection_closed(self, event: monitoring.ConnectionClosedEvent) -> None:
        """Count it no longer."""
        self._open.dec()

    def connection_checked_out(self, event: monitoring.ConnectionCheckedOutEvent) -> None:
        """Count it as held."""
        self._used.inc()
        metrics.CONNECTION_WAIT_SECONDS.observe(event.duration or 0.0)

    def connection_checked_in(self, event: monitoring.ConnectionCheckedInEvent) -> None:
        """Count it as free."""
        self._used.dec()

    def pool_created(self, event: monitoring.PoolCreatedEvent) -> None:
        """Do nothing."""

    def pool_ready(self, event: monitoring.PoolReadyEvent) -> None:
        """Do nothing."""

    def pool_cleared(self, event: monitoring.PoolClearedEvent) -> None:
        """Do nothing."""

    def pool_closed(self, event: monitoring.PoolClosedEvent) -> None:
        """Do nothing."""

    def connection_ready(self, event: monitoring.ConnectionReadyEvent) -> None:
        """Do nothing."""

    def connection_check_out_started(self, event: monitoring.ConnectionCheckOutStartedEvent) -> None:
        """Do nothing."""

    def connection_check_out_failed(self, event: monitoring.ConnectionCheckOutFailedEvent) -> None:
        """Do nothing."""


def shape(value: Any, depth: int = 0) -> Any:
    """Return a part of a command without its values: names and structure, the members of a list that differ.

    A name that is no plain one could be somebody's value, and is replaced, too.
    """
    if depth >= _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {_name(name): shape(inner, depth + 1) for name, inner in list(value.items())[:_MOST_MEMBERS]}
    if isinstance(value, (list, tuple)):
        shapes: list[Any] = []
        for inner in value[:_MOST_MEMBERS]:
            inner_shape = shape(inner, depth + 1)
            if inner_shape not in shapes:
                shapes.append(inner_shape)
        return shapes
    return "?"


def _name(name: object) -> str:
    text = str(name)
    plain = text.replace("$", "").replace("_", "").replace(".", "").replace("-", "")
    return text if plain.isascii() and plain.isalnum() and len(text) <= _LONGEST_NAME else "…"
