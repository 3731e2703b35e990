"""A process that loads parts, with its own connection: they come as bytes, and only counts and refusals go back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from fhir_server.engine.loading.loading import Loaded, Target, load_into
from fhir_server.engine.loading.parts import Part
from fhir_server.load import process
from fhir_server.load.targets import target
from fhir_server.settings import Settings

_running: tuple[asyncio.Runner, AsyncExitStack, Target] | None = None


def start(settings: Settings, url: str | None) -> None:
    """Connect this process to where the parts go."""
    global _running  # noqa: PLW0603 - a worker process has one connection, and the pool gives it no other place to live
    process.begin()
    runner, stack = asyncio.Runner(), AsyncExitStack()
    _running = runner, stack, runner.run(stack.enter_async_context(target(settings, url)))
    process.freeze()


def load_part(part: Part, loaded: frozenset[str]) -> Loaded:
    """Load what a part holds, except what is loaded already."""
    assert _running is not None, "start runs first in each worker process"
    runner, _, connected = _running
    with process.busy:
        return runner.run(load_into(connected, part, loaded))
