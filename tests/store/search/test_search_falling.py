"""A falling sort read from the end of the index: right whatever values a sample has met, and cheap."""

from __future__ import annotations

import random
from typing import Any

import pytest

from fhir_server.search.planner.scans import Falling
from fhir_server.store.database.mongo import Database
from fhir_server.store.search.falling import SplitPoints
from fhir_server.store.search.search import SearchStore
from tests.store.searched import decided, paged, plan, store

NUMBER = 60


def _world(chance: random.Random) -> list[dict[str, Any]]:
    """Return observations with ties, several values, missing values, and values without an order."""
    made = []
    for number in range(NUMBER):
        category: list[dict[str, Any]] = [{"coding": [{"code": code}]} for code in chance.choices("abcd", k=2)]
        categories: dict[str, Any] = chance.choice([{}, {"category": category}, {"category": [{"text": "words only"}]}])
        amount: dict[str, Any] = chance.choice([{}, {"valueQuantity": {"value": chance.randint(-30, 30)}}])
        made.append({
            "resourceType": "Observation",
            "id": f"o{chance.randint(0, 10**6):06}-{number}",
            "status": chance.choice(["final", "amended"]),
            **categories,
            **amount,
        })  # fmt: skip
    return made


def _category(resource: dict[str, Any]) -> Any:
    return max((one["code"] for each in resource.get("category", ()) for one in each.get("coding", ())), default=None)


def _amount(resource: dict[str, Any]) -> Any:
    return resource.get("valueQuantity", {}).get("value")


def _expected(world: list[dict[str, Any]], name: str) -> tuple[list[str], set[str]]:
    """Return the ids in falling order, ties by id, and those of what has no value to sort by."""
    value = {"category": _category, "value-quantity": _amount}[name]
    ordered = sorted(world, key=lambda each: str(each["id"]))
    having = sorted((each for each in ordered if value(each) is not None), key=value, reverse=True)
    return [each["id"] for each in having], {each["id"] for each in world if value(each) is None}


async def _cuts(search: SearchStore, name: str, chance: random.Random, share: float) -> SplitPoints:
    """Return a share of the values there are as cuts, and one that no document has."""
    scan = plan("Observation", ("_sort", f"-{name}")).types[0].orders[0].scans[0]
    assert isinstance(scan, Falling)
    all_values = await search.cuts.of(plan("Observation", ("_sort", f"-{name}")).types[0], scan)
    kept = [value for value in all_values if chance.random() < share]
    made = SplitPoints(search.cuts.sample)
    made._remembered["Observation", scan.low] = (float("inf"), sorted([*kept, f"{scan.low}a5"]))
    return made


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["category", "value-quantity"])
async def test_any_cuts_give_the_order(database: Database, name: str, seed: int) -> None:
    """Values fall, each document counts at its highest, ties are by id, what has no value is last; for any cuts."""
    chance = random.Random(seed)
    world = _world(chance)
    await store(database, world)
    for share in (0.0, 0.2, 1.0):
        search = decided(database, ("order", 0))
        search.cuts = await _cuts(search, name, chance, share)
        for limit in (1, 3, 7, 100):
            result = await paged(search, plan("Observation", ("_sort", f"-{name}")), limit)
            ordered, without = _expected(world, name)
            assert result[: len(ordered)] == ordered, (share, limit)
            assert set(result[len(ordered) :]) == without
            assert len(result) == NUMBER
        some = await paged(search, plan("Observation", ("_sort", f"-{name}"), ("status", "amended")), 4)
        amended = {each["id"] for each in world if each["status"] == "amended"}
        assert some[: len(amended - without)] == [each for each in ordered if each in amended]
        assert set(some) == amended


async def test_a_page_goes_on_where_another_sample_was_taken(database: Database) -> None:
    """Each page may be read with other cuts, as by another worker: together they are the whole order."""
    chance = random.Random(5)
    world = _world(chance)
    await store(database, world)
    search = decided(database, ("order", 0))
    collected: list[str] = []
    cursor = None
    while True:
        search.cuts = await _cuts(SearchStore(database), "value-quantity", chance, chance.random())
        page = await search.page(plan("Observation", ("_sort", "-value-quantity")), limit=4, cursor=cursor)
        collected += [row.id for row in page.rows]
        cursor = page.next
        if cursor is None:
            break
    ordered, without = _expected(world, "value-quantity")
    assert collected[: len(ordered)] == ordered
    assert set(collected[len(ordered) :]) == without


async def test_a_page_reads_a_few_pieces(database: Database) -> None:
    """However many documents there are: a page is a few commands, and the sample is taken once."""
    await store(database, _world(random.Random(6)))
    search = decided(database, ("order", 0))
    commands: list[str] = []
    ask = search.ask

    async def counting(command: Any, *rest: Any) -> Any:
        commands.append("sample" if "$sample" in str(command) else "read")
        return await ask(command, *rest)

    search.ask = counting  # type: ignore[method-assign]
    searched = plan("Observation", ("_sort", "-category"))
    page = await search.page(searched, limit=4)
    await search.page(searched, limit=4, cursor=page.next)
    assert commands.count("sample") == 1
    assert len(commands) <= 1 + 2 * 4
