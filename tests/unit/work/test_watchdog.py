"""A loop that is held is told of, by the places in the code alone."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
import structlog

from fhir_server.r4 import values
from fhir_server.work import watchdog
from fhir_server.work.watchdog import watched

_HELD = 0.05


@pytest.fixture(autouse=True)
def fresh_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A logger of its own: a server that ran before in this process may have told the module's to keep silent."""
    structlog.reset_defaults()
    monkeypatch.setattr(watchdog, "log", structlog.get_logger("watchdog"))


async def _until(logs: list[Any], event: str) -> dict[str, Any]:
    while True:
        for each in logs:
            if each["event"] == event:
                return dict(each)
        await asyncio.sleep(0.005)


def _hold(secret: str) -> None:
    until = time.monotonic() + 6 * _HELD
    while time.monotonic() < until:
        values.encode({"name": secret * 20_000})


async def test_a_held_loop_is_told_of() -> None:
    """The log says where, with no value of what was worked on, and afterwards for how long."""
    with structlog.testing.capture_logs() as logs, watched(_HELD):
        _hold("Miller")
        held = await _until(logs, "loop.held")
        free = await _until(logs, "loop.free")
    assert free["seconds"] >= 5 * _HELD
    assert "Miller" not in json.dumps([held, free])
    assert all(place.startswith("r4/values.py:") for place in held["at"])


async def test_a_loop_that_is_not_held_is_not_told_of() -> None:
    """Waiting is not holding; without a time nothing is watched."""
    with structlog.testing.capture_logs() as logs, watched(30.0):
        await asyncio.sleep(0)
        _hold("x")
    with structlog.testing.capture_logs() as silent, watched(0):
        _hold("x")
    assert logs == silent == []


def test_places_are_those_of_the_project() -> None:
    """No frame, and frames of others, have no place."""
    assert watchdog._places(None) == []
