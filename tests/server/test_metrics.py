"""What an operator sees at /metrics: requests, database, jobs, queues; of all workers together; nothing personal."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from fhir_server.settings import SettingsError, settings_with
from fhir_server.work import metrics
from tests.server.running import RunningServer, free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def _samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _requests(samples: Samples, interaction: str, status: str) -> float:
    return sum(
        value
        for (name, labels), value in samples.items()
        if name == "fhir_server_requests_total"
        and ("interaction", interaction) in labels
        and ("status", status) in labels
    )


def _until(url: str, holds: Callable[[Samples], bool]) -> tuple[str, Samples]:
    deadline = time.monotonic() + 60
    while True:
        text = httpx.get(url, headers={"Authorization": "Bearer s3cret"}, timeout=60).raise_for_status().text
        samples = _samples(text)
        if holds(samples):
            return text, samples
        assert time.monotonic() < deadline, text
        time.sleep(0.2)


@pytest.mark.parametrize("workers", ["2", "1"])
def test_what_is_shown(tmp_path: Path, workers: str) -> None:
    """Whichever worker answered: every request counts once, by its interaction or endpoint, and no id is shown."""
    port = free_port()
    settings = {"metrics_port": str(port), "metrics_token": "s3cret", "workers": workers}
    with RunningServer(tmp_path / "data", **settings) as server:
        for _ in range(20):  # each on a connection of its own, so that both workers get some
            httpx.get(f"{server.base_url}Patient/secret-1", timeout=60)
            httpx.get(f"{server.origin}/booking/doctors/secret-2/slots", timeout=60)
            httpx.get(f"{server.origin}/secret-3", timeout=60)
        url = f"http://127.0.0.1:{port}/metrics"
        text, samples = _until(
            url,
            lambda seen: (
                _requests(seen, "read", "404") == 20
                and any(name == "fhir_server_job_lag_seconds" for name, _ in seen)
                and any(name == "fhir_server_memory_bytes" and value > 0 for (name, _), value in seen.items())
            ),
        )
        assert (
            sum(_requests(samples, "GET /booking/doctors/{doctor_id}/slots", each) for each in ("401", "404", "422"))
            == 20
        )
        assert samples["fhir_server_database_command_seconds_count", (("command", "find"),)] > 0
        assert samples["fhir_server_queue_waiting", (("queue", "mail"),)] == 0
        memory = [value for (name, _), value in samples.items() if name == "fhir_server_memory_bytes"]
        assert len(memory) == int(workers)
        assert "secret" not in text
        assert httpx.get(url).status_code == 401
        assert httpx.get(url, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
        refused = httpx.post(f"http://127.0.0.1:{port}/metrics")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
        assert httpx.get(f"{server.origin}/metrics").status_code == 404
        _flood(port)


def _flood(port: int) -> None:
    """See that connections past sixteen are closed unanswered, and that places are given back."""
    idle = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(40)]
    idle[-1].sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    with contextlib.suppress(ConnectionResetError):
        assert idle[-1].recv(1) == b""
    for each in idle:
        each.close()
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(httpx.TransportError):
            assert httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 401
            return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_what_is_deployed_asks_for_figures_that_there_are() -> None:
    """Each figure of the alert rules and the dashboard is one that the server declares."""
    assert metrics.REQUESTS is not None, "the figures are declared by the import"
    declared = {family.name for family in REGISTRY.collect()}
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]
    panels = json.loads((DEPLOY / "grafana/fhir-server.json").read_text())["panels"]
    items = [rule["expr"] for group in groups for rule in group["rules"]]
    items += [target["expr"] for panel in panels for target in panel["targets"]]
    names = {name for each in items for name in re.findall(r"fhir_server_\w+", each)}
    assert {name.removesuffix("_bucket").removesuffix("_total") for name in names} <= declared


def test_beyond_loopback_only_with_a_token() -> None:
    """Figures of a hospital are not for its whole network by mistake."""
    with pytest.raises(SettingsError, match="metrics_token"):
        settings_with(metrics_port=9464, metrics_host="0.0.0.0")
    assert settings_with(metrics_port=9464, metrics_host="0.0.0.0", metrics_token="s").metrics_port == 9464
    with pytest.raises(SettingsError, match="metrics_port"):
        settings_with(metrics_port=8080, port=8080)
