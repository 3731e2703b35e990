"""How a server is told to stop, or to do something that it does not; and what it says of itself meanwhile."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.server.running import RunningServer


def _status(server: RunningServer, path: str) -> int:
    return httpx.get(f"{server.origin}{path}", timeout=10).status_code


def _wait_for_status(server: RunningServer, path: str, status: int) -> None:
    while _status(server, path) != status:
        time.sleep(0.05)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_readiness_ends_before_the_port_closes(
    workers: str, mongod_url: str, database_name: str, tmp_path: Path
) -> None:
    """After SIGTERM readiness is 503 while requests are still taken; then the process ends by itself."""
    options = ["--database-url", mongod_url, "--workers", workers]
    with RunningServer(tmp_path, *options, database_name=database_name, drain_seconds="3") as server:
        assert server.process is not None
        server.process.terminate()
        _wait_for_status(server, "/health/ready", 503)
        assert _status(server, "/health/live") == 200
        assert _status(server, "/fhir/Patient") == 200
        assert server.process.wait(30) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_hangup_cuts_no_request(workers: str, mongod_url: str, database_name: str, tmp_path: Path) -> None:
    """SIGHUP is refused with a line in the log; a request under way is answered, by the process that began it."""
    options = ["--database-url", mongod_url, "--workers", workers]
    with RunningServer(tmp_path, *options, database_name=database_name) as server:
        assert server.process is not None
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            body = b'{"resourceType":"Patient"}'
            head = "POST /fhir/Patient HTTP/1.1\r\nHost: x\r\nContent-Type: application/fhir+json"
            connection.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:5])
            for _ in range(3):
                server.process.send_signal(signal.SIGHUP)
                assert _status(server, "/fhir/Patient") == 200
            assert server.process.stderr is not None
            # One line of the start may stand before those of the three signals.
            lines = [server.process.stderr.readline() for _ in range(3)]
            assert any("hangup.refused" in line for line in lines)
            connection.sendall(body[5:])
            assert connection.recv(100).startswith(b"HTTP/1.1 201")


def test_a_restart_right_after_a_kill_finds_its_port(mongod_url: str, database_name: str, tmp_path: Path) -> None:
    """Workers that outlive their parent for a moment hold the port: the next start waits for it."""
    options = ["--database-url", mongod_url, "--workers", "2"]
    first = RunningServer(tmp_path, *options, database_name=database_name)
    with first:
        assert first.process is not None
        first.process.kill()
        first.process.wait()
        second = RunningServer(tmp_path, *options, database_name=database_name)
        second.port, second.origin = first.port, first.origin
        with second:
            assert _status(second, "/fhir/Patient") == 200


def test_a_port_that_becomes_free_is_taken(mongod_url: str, database_name: str, tmp_path: Path) -> None:
    """The start waits for some seconds, however the port was held."""
    server = RunningServer(tmp_path, "--database-url", mongod_url, database_name=database_name)
    with socket.create_server(("127.0.0.1", server.port)) as holder:
        timer = threading.Timer(2, holder.close)
        timer.start()
        with server:
            assert _status(server, "/health/ready") == 200
        timer.join()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_line_is_json_when_json_is_asked_for(
    workers: str, mongod_url: str, database_name: str, tmp_path: Path
) -> None:
    """The server's own lines, uvicorn's, warnings of Python and the greeting: each is one JSON object."""
    script = (
        "import warnings, logging, threading, fhir_server.server.app as app; old = app.create_app\n"
        "def create_app(settings=None):\n"
        "    made = old(settings); warnings.warn('careful')\n"
        "    logging.getLogger('uvicorn.error').error('broken', exc_info=ValueError('Mrs Miller'))\n"
        "    thread = threading.Thread(target=lambda: {}['Mrs Miller']); thread.start(); thread.join()\n"
        "    return made\n"
        "app.create_app = create_app\n"
    )
    (tmp_path / "run.py").write_text(
        f"{script}\nif __name__ == '__main__':\n    from fhir_server.cli.main import main; main()\n"
    )
    server = RunningServer(tmp_path)
    environment = {
        **os.environ,
        "FHIR_SERVER_LOG_FORMAT": "json",
        "FHIR_SERVER_LOG_REQUESTS": "true",
        "FHIR_SERVER_DATABASE_NAME": database_name,
        "FHIR_SERVER_DRAIN_SECONDS": "0",
    }
    command = [sys.executable, str(tmp_path / "run.py"), "serve", "--open", "--port", str(server.port)]
    command += ["--database-url", mongod_url, "--workers", workers]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if _status(server, "/health/ready") == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        _status(server, "/fhir/Patient")
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"no HTTP at all\r\n\r\n")  # uvicorn warns of it
            connection.recv(100)
        process.send_signal(signal.SIGHUP)
        _status(server, "/health/live")
        process.terminate()
        out, _ = process.communicate(timeout=40)
    lines = [json.loads(line) for line in out.splitlines()]
    assert all(isinstance(line, dict) and line["level"] and line["timestamp"] for line in lines)
    assert {"serving", "request", "hangup.refused", "broken", "uncaught"} <= {line["event"] for line in lines}
    assert {"uvicorn.error", "py.warnings"} <= {line.get("logger") for line in lines}
    assert "Miller" not in out


def test_a_refused_start_is_json_too(tmp_path: Path) -> None:
    """The one line that says what to mend has the form that was asked for, also where settings are wrong."""
    for wrong in ({"FHIR_SERVER_DATABASE_URL": "http://x"}, {"FHIR_SERVER_PORT": "abc"}):
        environment = {**os.environ, "FHIR_SERVER_LOG_FORMAT": "json", **wrong}
        command = [sys.executable, "-m", "fhir_server", "serve", "--open", "--data-dir", str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        (line,) = (done.stdout + done.stderr).splitlines()
        assert json.loads(line)["reason"]
