"""The database: collections made once, failures told in the server's own words, transactions that end."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from bson.decimal128 import Decimal128
from pymongo.errors import OperationFailure, PyMongoError

from fhir_server.errors import Unavailable
from fhir_server.r4.values import decimal
from fhir_server.store.database.encoding import encode, with_long_integers
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database, Session
from fhir_server.store.database.transactions import RolledBack


async def test_collections_are_made_once_by_parallel_workers(database: Database, mongod_url: str) -> None:
    """However many workers make a type's collections at once, each has its indexes, and all go on."""
    others = [await Database.connect(mongod_url, database.name) for _ in range(4)]
    await asyncio.gather(*(each.ensure(["Patient", "Basic"]) for each in (database, *others) for _ in range(5)))
    names = {name for name in await database.current("Basic").index_information()}
    assert names == {"_id_", "keys", "updated", "shape", "conditions"}
    assert set(await database.history("Basic").index_information()) == {"_id_", "instance", "updated"}
    for other in others:
        await other.close()


async def test_transaction_on_a_type_not_ensured_is_a_fault_of_the_program(database: Database) -> None:
    """A transaction that would have to create collections is stopped instead of waiting for itself."""
    with pytest.raises(RuntimeError, match="Patient"):
        database.require_ensured("Patient")
    await database.ensure(["Patient"])
    database.require_ensured("Patient")


async def test_transaction_runs_again_after_a_conflict(database: Database) -> None:
    """A transaction that collides with another runs again until it is through."""
    counter = database.collection("counter")
    await counter.insert_one({"_id": 1, "value": 0})
    attempts = 0

    async def increment(session: Session) -> None:
        nonlocal attempts
        attempts += 1
        with translated:
            matches = await counter.find_one({"_id": 1}, session=session)
            assert matches is not None
            await counter.update_one({"_id": 1}, {"$set": {"value": matches["value"] + 1}}, session=session)

    await asyncio.gather(*(database.transaction(increment) for _ in range(10)))
    final = await counter.find_one({"_id": 1})
    assert final is not None
    assert final["value"] == 10
    assert attempts > 10


@pytest.mark.parametrize(("cause", "reported"), [(OperationFailure, RolledBack), (PyMongoError, Unavailable)])
async def test_transaction_gives_up_in_time(
    database: Database, monkeypatch: pytest.MonkeyPatch, cause: type[PyMongoError], reported: type[Exception]
) -> None:
    """A transaction that keeps failing ends with an error of the server's own tree."""
    monkeypatch.setattr("fhir_server.store.database.transactions.TRANSACTION_SECONDS", 0.05)

    async def fail(_: Session) -> None:
        error = cause("no")
        error._add_error_label("TransientTransactionError")
        raise error

    with pytest.raises(reported):
        await database.transaction(fail)


def test_decimals_are_encoded_by_their_text() -> None:
    """Equal decimals of different text stay different in BSON, in whatever order they come."""
    texts = ["1.0", "1.00", "1", "1.0", "1E+2", "100", "1e2", "0.0000001", "-0.0"]
    encoded = encode({"values": [decimal(text) for text in texts]})
    values: list[Decimal128] = encoded["values"]
    assert [value.to_decimal().as_tuple() for value in values] == [Decimal(text).as_tuple() for text in texts]


def test_only_integers_beyond_64_bits_change() -> None:
    """Whole numbers that BSON holds stay integers at every depth, booleans stay booleans."""
    value = {"a": [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, True], "b": {"c": 10**30}}
    changed = with_long_integers(value)
    assert changed == value
    assert [type(item) for item in changed["a"]] == [int, Decimal, int, Decimal, bool]
    assert type(changed["b"]["c"]) is Decimal
