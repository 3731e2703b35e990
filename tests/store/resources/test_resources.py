"""Versions are stored without gaps, without losses, and each under its own rule."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from fhir_server.errors import Conflict, TooLarge, Unprocessable
from fhir_server.r4.values import decode
from fhir_server.search.query.conditions import HasKey
from fhir_server.store.database.mongo import Database, Session
from fhir_server.store.resources.resources import AlreadyExists, ResourceStore, Version
from tests.store.drafts import draft, tombstone


@pytest.fixture
def store(database: Database) -> ResourceStore:
    return ResourceStore(database, blob_threshold=1024 * 1024)


async def stored(store: ResourceStore, resource_id: str = "1") -> Version:
    """Return the current version, which must be there."""
    version = await store.read("Patient", resource_id)
    assert version is not None
    return version


async def test_read_returns_what_insert_stored(store: ResourceStore) -> None:
    """A read sends the very bytes that were stored, with the version's number, time and method."""
    new = draft(gender="female")
    await store.insert(new)
    assert await stored(store) == Version("Patient", "1", 1, new.updated, "PUT", False, new.json)


async def test_unknown_type_and_id_read_as_nothing(store: ResourceStore) -> None:
    """A read of what was never stored, even of a type without a collection, is None."""
    assert await store.read("Basic", "1") is None
    assert await store.read_version("Basic", "1", 1) is None


async def test_read_obeys_the_extra_condition(store: ResourceStore) -> None:
    """A resource that does not meet the caller's condition reads as one that does not exist."""
    await store.insert(draft())
    assert await store.read("Patient", "1", where=HasKey(("id=1",))) is not None
    assert await store.read("Patient", "1", where=HasKey(("id=2",))) is None
    assert await store.read_version("Patient", "1", 1, where=HasKey(("id=2",))) is None


async def test_earlier_versions_stay_readable(store: ResourceStore) -> None:
    """Each version of a resource is readable after it was replaced, byte for byte."""
    await store.insert(draft(gender="female"))
    first = await stored(store)
    assert await store.replace(draft(previous=first, gender="male"), first)
    assert await store.read_version("Patient", "1", 1) == first
    assert await store.read_version("Patient", "1", 2) == await stored(store)
    assert await store.read_version("Patient", "1", 3) is None


async def test_tombstone_leaves_nothing_to_find(store: ResourceStore, database: Database) -> None:
    """A deleted resource keeps no content, no index entry and no condition, and can be made again."""
    await store.insert(draft(condition="c"))
    first = await stored(store)
    assert await store.replace(tombstone(first), first)
    document = await database.current("Patient").find_one({"_id": "1"})
    assert set(document or ()) == {"_id", "version", "updated", "method"}
    deleted = await stored(store)
    assert (deleted.deleted, deleted.version, deleted.json) == (True, 2, b"")
    assert await store.replace(draft(previous=deleted), deleted)
    assert (await stored(store)).version == 3


async def test_insert_refuses_a_used_id(store: ResourceStore) -> None:
    """A second insert with an id is refused as such and changes nothing."""
    await store.insert(draft(gender="female"))
    with pytest.raises(AlreadyExists) as refused:
        await store.insert(draft(gender="male"))
    assert refused.value.kind == "id"
    assert b"female" in (await stored(store)).json


async def test_parallel_updates_leave_no_gap(store: ResourceStore) -> None:
    """Fifty writers that try until they win make the versions 2 to 51, each readable."""
    await store.insert(draft())

    async def update(number: int) -> int:
        while True:
            previous = await stored(store)
            if await store.replace(draft(previous=previous, multipleBirthInteger=number), previous):
                return previous.version + 1

    made = await asyncio.gather(*(update(number) for number in range(50)))
    assert sorted(made) == list(range(2, 52))
    versions = await asyncio.gather(*(store.read_version("Patient", "1", number) for number in range(1, 52)))
    assert [version.version for version in versions if version] == list(range(1, 52))
    assert {decode(version.json).get("multipleBirthInteger") for version in versions[1:] if version} == set(range(50))


async def test_one_of_many_wins_a_version(store: ResourceStore) -> None:
    """Of fifty replacements of the same version one succeeds, and its content is what stays."""
    await store.insert(draft())
    first = await stored(store)
    won = await asyncio.gather(
        *(store.replace(draft(previous=first, multipleBirthInteger=number), first) for number in range(50))
    )
    assert won.count(True) == 1
    current = await stored(store)
    assert (current.version, decode(current.json)["multipleBirthInteger"]) == (2, won.index(True))


async def test_crash_between_copy_and_replacement_is_harmless(store: ResourceStore, database: Database) -> None:
    """A copy in history without the replacement loses nothing and does not stop the next update."""
    await store.insert(draft())
    first = await stored(store)
    await store._copy_together("Patient", [[first]])
    assert await stored(store) == first
    assert await store.replace(draft(previous=first), first)
    assert await database.history("Patient").count_documents({}) == 1


async def test_conditional_create_race_has_one_winner(store: ResourceStore) -> None:
    """Of fifty inserts under one condition one is stored; each loser learns that the condition has a holder."""
    results = await asyncio.gather(
        *(store.insert(draft(str(number), condition="same")) for number in range(50)), return_exceptions=True
    )
    refused = [result.kind for result in results if isinstance(result, AlreadyExists)]
    assert refused == ["condition"] * 49
    assert await store.database.current("Patient").count_documents({}) == 1


async def test_update_keeps_the_condition_until_released(store: ResourceStore) -> None:
    """The holder of a condition holds it across updates; once released, several times over, another can be made."""
    for number in ("1", "2"):
        await store.insert(draft(number, condition=number))
        first = await stored(store, number)
        assert await store.replace(draft(number, previous=first), first)
        with pytest.raises(AlreadyExists):
            await store.insert(draft("3", condition=number))
    await store.release_conditions("Patient", ["1", "2"])
    await store.insert(draft("3", condition="1"))


async def test_decimals_keep_their_text(store: ResourceStore, database: Database) -> None:
    """Bytes come back as written, and the document's decimals are Decimal128 with the same digits."""
    body = b'{"resourceType":"Patient","a":[1.0,1.00,1E+2,1e2,-0.0,0.0000001,12345678901234567890.12]}'
    values = decode(body)["a"]
    new = draft(a=values)
    await store.insert(new)
    assert b"[1.0,1.00,1E+2,1e2,-0.0,0.0000001,12345678901234567890.12]" in (await stored(store)).json
    document = await database.current("Patient").find_one({"_id": "1"})
    assert document is not None
    kept = [value.to_decimal() for value in document["resource"]["a"]]
    assert [value.as_tuple() for value in kept] == [Decimal(value).as_tuple() for value in values]


async def test_integer_beyond_64_bits_is_stored(store: ResourceStore) -> None:
    """A whole number that BSON's integers cannot hold is stored by insert, update and bulk, and reads back."""
    huge = 123456789012345678901234567890
    await store.insert(draft(a=huge))
    first = await stored(store)
    assert await store.replace(draft(previous=first, a=huge), first)
    await store.insert_many([draft("2", a=huge), draft("3")])
    assert decode((await stored(store)).json)["a"] == decode((await stored(store, "2")).json)["a"] == huge


async def test_too_many_digits_are_the_callers_fault(store: ResourceStore) -> None:
    """A decimal that BSON cannot hold is refused as content, and nothing is stored."""
    with pytest.raises(Unprocessable):
        await store.insert(draft(a=Decimal("1." + "1" * 40)))
    assert await store.read("Patient", "1") is None


async def test_document_too_large_for_mongodb_is_refused(database: Database) -> None:
    """Content past the database's limit is TooLarge, not a driver's error."""
    store = ResourceStore(database, blob_threshold=2**40)
    with pytest.raises(TooLarge):
        await store.insert(draft(a="x" * 17_000_000))


async def test_insert_many_stores_all(store: ResourceStore) -> None:
    """Many drafts of a type are stored and read in one go; ids that were never used are left out."""
    await store.insert_many([draft(str(number)) for number in range(20)])
    result = await store.read_many("Patient", [str(number) for number in range(25)])
    assert set(result) == {str(number) for number in range(20)}


async def test_transaction_is_all_or_nothing(store: ResourceStore, database: Database) -> None:
    """A transaction that fails at its end leaves no insert, no replacement and no visible copy."""
    await store.insert(draft())
    first = await stored(store)

    async def write(session: Session, fail: bool) -> None:
        await store.insert_many([draft("2"), draft("3")], session)
        await store.replace_many([(draft(previous=first, gender="male"), first)], session)
        if fail:
            raise Conflict("at the end")

    with pytest.raises(Conflict):
        await database.transaction(lambda session: write(session, True), ["Patient"])
    assert await stored(store) == first
    assert await store.read("Patient", "2") is None
    await database.transaction(lambda session: write(session, False), ["Patient"])
    assert (await stored(store)).version == 2
    assert await store.read_version("Patient", "1", 1) == first
    assert await store.read("Patient", "3") is not None


async def test_transactions_that_collide_all_succeed(store: ResourceStore, database: Database) -> None:
    """Transactions that each read and replace the same resources run one after the other, none lost."""
    await store.insert_many([draft("1"), draft("2")])

    async def advance(session: Session) -> None:
        result = await store.read_many("Patient", ["1", "2"], session)
        await store.replace_many([(draft(name, previous=old), old) for name, old in result.items()], session)

    await asyncio.gather(*(database.transaction(advance, ["Patient"]) for _ in range(8)))
    assert [(await stored(store, name)).version for name in ("1", "2")] == [9, 9]
    for number in range(1, 9):
        assert await store.read_version("Patient", "2", number) is not None


async def test_replace_many_refuses_a_version_that_is_gone(store: ResourceStore, database: Database) -> None:
    """A transaction that would replace a version that is not current any more is a Conflict."""
    await store.insert_many([draft("1"), draft("2")])
    old = await store.read_many("Patient", ["1", "2"])
    assert await store.replace(draft(previous=old["1"]), old["1"])
    with pytest.raises(Conflict):
        await database.transaction(
            lambda session: store.replace_many(
                [(draft(name, previous=was), was) for name, was in old.items()], session
            ),
            ["Patient"],
        )
    assert (await stored(store, "2")).version == 1


async def test_used_id_ends_a_transaction(store: ResourceStore, database: Database) -> None:
    """An insert with a used id raises AlreadyExists out of the transaction."""
    await store.insert(draft())
    with pytest.raises(AlreadyExists):
        await database.transaction(lambda session: store.insert_many([draft("2"), draft("1")], session), ["Patient"])
    assert await store.read("Patient", "2") is None
