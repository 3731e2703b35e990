"""The record of what was loaded."""

from __future__ import annotations

from functools import partial

import pytest

from fhir_server.store.database.mongo import Database, Session
from fhir_server.store.database.recording import RecordingDatabase
from fhir_server.store.work.loads import Loads


async def test_a_key_is_recorded_by_the_transaction_that_loads(database: Database) -> None:
    """When the transaction is committed its keys are recorded, when it fails they are not."""
    loads = Loads(database)
    await loads.record(["first"])

    async def good(session: Session) -> int:
        return 7

    async def bad(session: Session) -> int:
        raise ValueError("no")

    assert await RecordingDatabase.of(database, partial(loads.record, ["a", "b"])).transaction(good) == 7
    with pytest.raises(ValueError, match="no"):
        await RecordingDatabase.of(database, partial(loads.record, ["c"])).transaction(bad)
    assert await loads.keys() == {"first", "a", "b"}


async def test_a_key_is_recorded_once(database: Database) -> None:
    """To record a key again is no error."""
    loads = Loads(database)
    await loads.record(["a"])
    await loads.record(["a", "b"])
    await loads.record([])
    assert await loads.keys() == {"a", "b"}
