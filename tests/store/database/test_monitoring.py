"""A slow command is told by the shape of its question and of its plan, never by a value."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from fhir_server.store.database.mongo import Database
from fhir_server.store.database.monitoring import Commands, shape

NAMES = st.sampled_from(["$in", "a.b", "Canary Name", "kanari@x.test"])
VALUES = st.recursive(
    st.sampled_from(["canary", 4711, 47.11, True, None, b"canary"]),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
    max_leaves=20,
)


@given(VALUES)
def test_no_value_is_in_a_shape(value: Any) -> None:
    """Whatever is asked: names of fields and operators stay, values do not, nor names that could be one."""
    text = str(shape({"filter": value}))
    assert not any(each in text for each in ("canary", "4711", "47.11", "Canary", "kanari"))


async def test_a_slow_command_is_logged_with_its_plan(mongod_url: str, database_name: str) -> None:
    """The stages and the index are named."""
    database = await Database.connect(mongod_url, database_name, [Commands(0.0001)])
    try:
        await database.ensure(["Patient"])
        with capture_logs() as lines:
            for _ in range(100):  # one plan is asked for at a time, and that of an earlier command may be
                await database.current("Patient").find_one({"keys": "name=canary"}, sort=[("_id", 1)])
                await asyncio.sleep(0.1)
                if explained := [line for line in lines if line.get("plan") and line["collection"] == "Patient"]:
                    break
        line = explained[0]
        assert (line["event"], line["command"], line["collection"]) == ("database.slow", "find", "Patient")
        assert line["filter"] == {"keys": "?"}
        assert "IXSCAN keys" in line["plan"]
        assert "canary" not in str(lines)
    finally:
        await database.close()
