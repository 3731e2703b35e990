"""A replica set of three on this machine, whose nodes a test may kill and start again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymongo
from pymongo.errors import PyMongoError

from fhir_server.store.database.mongod import find_mongod

NODES = 3
WITHIN = 60.0


class ReplicaSet:
    """Three mongods on loopback ports; a context manager that ends them.

    Their parameters are those that README.md recommends under Operations, so that none waits long for a frozen one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.ports = _free_ports(NODES)
        self._nodes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """The URL that a server connects to."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"mongodb://{hosts}/?replicaSet=three"

    def __enter__(self) -> Self:
        for port in self.ports:
            self.start(port)
        members = [
            {"_id": number, "host": f"127.0.0.1:{port}", "priority": 1} for number, port in enumerate(self.ports)
        ]
        settings = {"electionTimeoutMillis": 1_000, "heartbeatIntervalMillis": 200}
        config = {"_id": "three", "members": members, "settings": settings}
        self._until(lambda: self._ask(self.ports[0], {"replSetInitiate": config}) is not None)
        self.primary()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for port in list(self._nodes):
            self.kill(port)

    def start(self, port: int) -> None:
        """Run the node of that port."""
        path = self._directory / str(port)
        path.mkdir(exist_ok=True)
        self._nodes[port] = subprocess.Popen(
            [
                *(str(find_mongod()), "--dbpath", str(path), "--port", str(port), "--bind_ip", "127.0.0.1"),
                *("--replSet", "three", "--logpath", str(path / "log"), "--oplogSize", "64", "--nounixsocket"),
                *("--wiredTigerCacheSizeGB", "0.25", "--wiredTigerEngineConfigString", "log=(prealloc=false)"),
                *("--setParameter", "diagnosticDataCollectionEnabled=false"),
                *("--setParameter", "enableTestCommands=1"),  # for failpoints
                *("--setParameter", "oplogNetworkTimeoutBufferSeconds=1"),
                *("--setParameter", "oplogFetcherSteadyStateMaxFetcherRestarts=0"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self, port: int) -> None:
        """End a node without warning; does nothing where it has ended."""
        node = self._nodes.pop(port, None)
        if node is not None:
            node.kill()
            node.wait()

    def pause(self, port: int) -> None:
        """Stop a node as a machine stops that loses its power for a while: its connections stay, and say nothing."""
        os.kill(self._nodes[port].pid, signal.SIGSTOP)

    def resume(self, port: int) -> None:
        """Let a node go on that was stopped."""
        os.kill(self._nodes[port].pid, signal.SIGCONT)

    def cut_off(self, primary: int) -> None:
        """Keep the other nodes from copying what the primary writes, so that nothing has a majority."""
        self._stop_copying("alwaysOn", primary)

    def reconnect(self) -> None:
        """Let the nodes copy again."""
        self._stop_copying("off", None)

    def _stop_copying(self, mode: str, spared: int | None) -> None:
        for port in self._nodes:
            if port != spared:
                command = {"configureFailPoint": "stopReplProducer", "mode": mode}
                assert self._ask(port, command) is not None

    def primary(self) -> int:
        """Return the port of the node that takes writes, once there is one."""
        return self.primary_other_than(0)

    def primary_other_than(self, ended: int) -> int:
        """Return the port of the node that takes writes instead of one that is dead or frozen."""
        chosen: list[int] = []

        def has_one() -> bool:
            for port in self._nodes:
                state = None if port == ended else self._ask(port, {"hello": 1})
                if state is not None and state.get("isWritablePrimary"):
                    chosen.append(port)
            return bool(chosen)

        self._until(has_one)
        return chosen[-1]

    def all_caught_up(self) -> None:
        """Return once every node follows the primary again."""

        def is_whole() -> bool:
            states = [self._ask(port, {"hello": 1}) or {} for port in self.ports]
            return sorted(bool(state.get("isWritablePrimary")) for state in states) == [False, False, True] and all(
                state.get("isWritablePrimary") or state.get("secondary") for state in states
            )

        self._until(is_whole)

    def secondaries(self) -> list[int]:
        """Return the ports of the other nodes."""
        primary = self.primary()
        return [port for port in self.ports if port != primary]

    def _ask(self, port: int, command: dict[str, Any]) -> dict[str, Any] | None:
        url = f"mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=500"
        with suppress(PyMongoError), pymongo.MongoClient[dict[str, Any]](url) as client:
            return client.admin.command(command)
        return None

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WITHIN
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
