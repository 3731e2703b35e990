"""The servers that the bench starts itself, each a process of its own on a temporary data directory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fhir_server.store.data_directory import join
from fhir_server.store.mongod import EmbeddedMongod


@dataclass(frozen=True)
class Server:
    """A running server; `start` is the seconds from its launch to its first answer, where the bench launched it."""

    base_url: str
    pid: int | None = None
    database_url: str | None = None
    start: float | None = None


@contextmanager
def own_server(data_dir: Path, workers: int) -> Iterator[Server]:
    """Run this project's server until the block ends; raises RuntimeError when it does not come up."""
    port = _free_port()
    base_url = f"http://127.0.0.1:{port}/fhir"
    command = [
        sys.executable, "-c", "from fhir_server.cli import main; main()", "serve", "--open",
        "--port", str(port), "--data-dir", str(data_dir), "--workers", str(workers),
    ]  # fmt: skip
    with _process(command) as process:
        seconds = _await_answer(process, f"{base_url}/metadata")
        yield Server(base_url, process.pid, join(data_dir), seconds)


@contextmanager
def limit_program(database_url: str | None, data_dir: Path) -> Iterator[Server]:
    """Run the limit program on a database, by default an embedded one of its own."""
    if database_url is None:
        with EmbeddedMongod(data_dir) as mongod, limit_program(mongod.url, data_dir) as server:
            yield server
        return
    port = _free_port()
    uvicorn = [sys.executable, "-m", "uvicorn", "--log-level", "error", "--no-access-log"]
    base_url = f"http://127.0.0.1:{port}"
    with _process([*uvicorn, "--port", str(port), "bench.limit:app"], BENCH_DATABASE_URL=database_url) as process:
        _await_answer(process, f"{base_url}/prepare", "POST")
        yield Server(base_url, process.pid)


@contextmanager
def _process(command: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_answer(process: subprocess.Popen[bytes], url: str, method: str = "GET", patience: float = 60) -> float:
    started = time.perf_counter()
    while time.perf_counter() - started < patience:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30).close()
        except (urllib.error.URLError, OSError):
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended with code {process.returncode}.") from None
            time.sleep(0.02)
        else:
            return time.perf_counter() - started
    raise RuntimeError(f"{url} does not answer.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
