"""A full disk is named, to callers and to the operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pymongo.errors import AutoReconnect

from fhir_server.errors import OutOfSpace, Unavailable
from fhir_server.hospital.api.problem import problem_of
from fhir_server.store.database import disk
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.failures import translate
from fhir_server.store.database.mongo import Database


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(disk, "_directories", set())
    return (
        f"mongodb://{quote(str(tmp_path / 'mongod.sock'), safe='')}/?directConnection=true&serverSelectionTimeoutMS=50"
    )


async def test_a_full_disk_is_why_the_database_is_away(embedded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fails for want of the database is told of the disk, without its path, and by 507 with Retry-After."""
    monkeypatch.setattr(disk, "LEAST_FREE", 2**62)
    with pytest.raises(StartupError, match="disk of the database is full"):
        await Database.connect(embedded)
    result: Any = translate(AutoReconnect("gone"))
    assert isinstance(result, OutOfSpace)
    assert result.status == 507
    assert int(result.headers["Retry-After"]) > 0
    assert "/" not in str(result)
    problem = problem_of(result)
    assert problem.problem == "unavailable"
    assert problem.headers["Retry-After"] == result.headers["Retry-After"]


async def test_a_disk_with_room_is_not_blamed(embedded: str) -> None:
    """Then the database is away for another reason, which is 503."""
    with pytest.raises(StartupError, match="does not answer"):
        await Database.connect(embedded)
    result: Any = translate(AutoReconnect("gone"))
    assert type(result) is Unavailable
