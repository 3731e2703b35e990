"""A real `fhir-server serve` in a process of its own, for tests that kill it or talk to it over a socket."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import httpx

READY_WITHIN = 180


def free_port() -> int:
    """Return a TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RunningServer:
    """A server on its own data directory and port; a context manager that ends it, killed or not."""

    def __init__(self, data_dir: Path, *options: str, open_: bool = True, **environment: str) -> None:
        self.open = open_
        self.environment = {f"FHIR_SERVER_{name.upper()}": value for name, value in environment.items()}
        self.data_dir = data_dir
        self.options = options
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.base_url = f"{self.origin}/fhir/"
        self.process: subprocess.Popen[str] | None = None

    @property
    def mongod_pid(self) -> int:
        """The process id of the embedded mongod, from its own lock file."""
        return int((self.data_dir / "db" / "mongod.lock").read_text())

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "fhir_server", "serve", "--port", str(self.port)]
        command += ["--open"] if self.open else []
        return subprocess.Popen(
            [*command, "--data-dir", str(self.data_dir), *self.options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={"FHIR_SERVER_DRAIN_SECONDS": "0", **os.environ, **self.environment},
        )

    def start_and_fail(self) -> str:
        """Return what a server that must not come up says."""
        process = self._start()
        _, errors = process.communicate(timeout=READY_WITHIN)
        assert process.returncode != 0
        return errors

    def __enter__(self) -> Self:
        self.process = self._start()
        deadline = time.monotonic() + READY_WITHIN
        # One client for all tries, without TLS: reading the certificates for each costs more than the server's start.
        with httpx.Client(timeout=5, verify=False) as http:
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise AssertionError(f"the server ended: {self.process.communicate()[1]}")
                with contextlib.suppress(httpx.HTTPError):
                    http.get(f"{self.origin}/health/ready").raise_for_status()
                    return self
                time.sleep(0.1)
        raise AssertionError("the server did not come up")

    def kill(self) -> None:
        """End server and mongod without warning."""
        assert self.process is not None
        mongod = self.mongod_pid
        self.process.kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(mongod, signal.SIGKILL)
        self.process.wait()

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
