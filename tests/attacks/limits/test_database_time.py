"""A search of a request takes a limited time in the database; work without a caller takes what it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from fhir_server.search.index.keys import EVERY
from fhir_server.search.query.conditions import HasKey
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from fhir_server.store.resources.history import HistoryStore
from fhir_server.store.resources.resources import ResourceStore
from fhir_server.store.search import pages
from fhir_server.store.search.search import SearchStore
from fhir_server.work.budget import Budget, OutOfBudget, working
from tests.store.drafts import draft


@pytest.fixture
def settings() -> Settings:
    """A time that no slow search keeps."""
    return Settings(max_database_seconds=0.1)


def _slow(rows: int) -> dict[str, Any]:
    """Return a command that multiplies rows, and reads none of a collection."""
    numbers = [{"$set": {"n": {"$range": [0, rows]}}}, {"$unwind": "$n"}]
    stages = [{"$documents": [{}]}, *numbers, *numbers, {"$match": {"n": -1}}]
    return {"aggregate": 1, "pipeline": stages, "cursor": {}}


async def test_a_command_of_a_request_is_ended_at_its_time(database: Database) -> None:
    """The refusal names the setting; within the time, and without a request, the same command is answered."""
    search = SearchStore(database)
    with working(Budget(2, database_seconds=0.05)), pytest.raises(OutOfBudget, match="max_database_seconds"):
        await search.ask(_slow(20_000), None)
    with working(Budget(2, database_seconds=60)):
        assert (await search.ask(_slow(10), None))[0] == []
    assert (await search.ask(_slow(10), None))[0] == []


async def test_a_search_that_takes_too_long_is_refused(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is an OperationOutcome with 422 that names the setting, no fault of the server."""
    monkeypatch.setattr(pages, "command_of", lambda *_: _slow(20_000))
    answer = await client.get("Patient?_total=none")
    assert answer.status_code == 422, answer.text
    assert answer.json()["issue"][0]["code"] == "too-costly"
    assert "max_database_seconds" in answer.text


_SEEN = HasKey((EVERY,))
ASKED: dict[str, Callable[[Database], Awaitable[Any]]] = {
    "read": lambda database: ResourceStore(database).read("Patient", "1"),
    "conditional read": lambda database: ResourceStore(database).read("Patient", "1", where=_SEEN),
    "many": lambda database: ResourceStore(database).read_many("Patient", ["1", "2"]),
    "vread": lambda database: ResourceStore(database).read_version("Patient", "1", 1, where=_SEEN),
    "earlier": lambda database: ResourceStore(database).read_version("Patient", "1", 7, where=_SEEN),
    "among": lambda database: ResourceStore(database).among("Patient", ["1"], _SEEN),
    "history": lambda database: HistoryStore(database).page(type="Patient", access=lambda _: _SEEN),
    "history at a time": lambda database: HistoryStore(database).page(
        type="Patient", at=(datetime(2100, 1, 1, tzinfo=UTC), datetime(2101, 1, 1, tzinfo=UTC))
    ),
    "total": lambda database: HistoryStore(database).total(until=datetime.now(UTC), access=lambda _: _SEEN),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
async def test_reads_and_histories_have_the_time_of_a_search(
    database: Database, ask: Callable[[Database], Awaitable[Any]]
) -> None:
    """Whatever a caller asks of the database, each command that it takes has the caller's time."""
    await ResourceStore(database).insert(draft())
    await database.command({"profile": 2})
    try:
        with working(Budget(2, database_seconds=7)):
            await ask(database)
    finally:
        await database.command({"profile": 0})
    profile = database.collection("system.profile")
    commands = [each["command"] async for each in profile.find({"op": {"$in": ["query", "command"]}})]
    reads = [each for each in commands if "find" in each or "aggregate" in each]
    await profile.drop()
    assert reads
    assert [each.get("maxTimeMS") for each in reads] == [7000] * len(reads)
