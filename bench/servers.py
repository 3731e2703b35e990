"""The servers that the bench starts itself, each a process of its own on a temporary data directory."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fhir_server.store.database.data_directory import join
from fhir_server.store.database.mongod import EmbeddedMongod

_COMMAND = [sys.executable, "-c", "from fhir_server.cli.main import main; main()"]


@dataclass(frozen=True)
class Server:
    """A running server; `start` is the seconds from its launch to its first answer, where the bench launched it."""

    base_url: str
    pid: int | None = None
    database_url: str | None = None
    start: float | None = None
    token: str | None = None
    """The access token that each request must bring, where the server asks for one; it lives 300 seconds."""


@contextmanager
def own_server(
    data_dir: Path, workers: int, *, authorize: bool = False, options: Sequence[str] = ()
) -> Iterator[Server]:
    """Run this project's server until the block ends; raises RuntimeError when it does not come up."""
    port = _free_port()
    base_url = f"http://127.0.0.1:{port}/fhir"
    place = ["--data-dir", str(data_dir)]
    given = ["--port", str(port), "--workers", str(workers), *place, *([] if authorize else ["--open"])]
    with _process([*_COMMAND, "serve", *given, *options]) as process:
        seconds = _await_answer(process, f"{base_url}/metadata")
        token = _token(base_url, place) if authorize else None
        yield Server(base_url, process.pid, join(data_dir), seconds, token)


def _token(base_url: str, place: list[str]) -> str:
    """Return an access token of a client that may do everything."""
    register = [*_COMMAND, "client", "add", "--name", "bench", "--scope", "system/*.cruds", "--secret", *place]
    client = json.loads(subprocess.run(register, check=True, capture_output=True).stdout)
    form = {name: client[name] for name in ("client_id", "client_secret")}
    form |= {"grant_type": "client_credentials", "scope": "system/*.cruds"}
    body = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(base_url.removesuffix("/fhir") + "/oauth/token", body) as answer:
        return str(json.load(answer)["access_token"])


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


def _await_answer(process: subprocess.Popen[bytes], url: str, method: str = "GET", patience: float = 300) -> float:
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
