"""Makes the fixtures of the facade's tests known."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.databases import Databases
from tests.facade.world import World, make_world
from tests.facade_server import hospital, opened

__all__ = ["hospital"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    mongod_url: str, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """Yield a hospital that all tests of a module ask, and leave as it is."""
    name = databases.take()
    async with opened(mongod_url, name, tmp_path_factory.mktemp("world")) as made:
        yield await make_world(made)
    databases.give_back(name)
