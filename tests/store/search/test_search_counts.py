"""How many there are: counted on keys where a range is asked for, and remembered while little is written."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.r4.values import encode
from fhir_server.search.index.index import index
from fhir_server.search.params.date_bounds import inverted
from fhir_server.search.params.date_bounds import sortable as sortable_time
from fhir_server.search.params.decimals import sortable as sortable_number
from fhir_server.search.planner.counts import _prefixes, _shorter
from fhir_server.search.planner.query import Plan
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.mongo import Database
from fhir_server.store.resources.erasure import Eraser
from fhir_server.store.resources.reindexing import reindex_batch
from fhir_server.store.resources.resources import Draft, ResourceStore
from fhir_server.store.search import counting
from fhir_server.store.search.search import SearchStore
from tests.store.searched import plan, store

moments = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda time: time.replace(tzinfo=UTC))
near = st.builds(
    lambda days, fraction: datetime(2020, 2, 27, tzinfo=UTC) + timedelta(days=days, microseconds=fraction),
    st.integers(0, 3),
    st.sampled_from((0, 1, 10, 500_000, 999_999, 60_000_000, 3_600_000_000)),
)
times = st.one_of(moments, near, st.just(datetime.max.replace(tzinfo=UTC))).map(sortable_time)
numbers = st.one_of(
    st.integers(-200, 200), st.decimals(-100, 100, places=3), st.decimals(allow_nan=False, allow_infinity=False)
).map(sortable_number)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.tuples(times, times, st.lists(times), st.just(("",))),
        st.tuples(*[times.map(inverted)] * 2, st.lists(times.map(inverted)), st.just(("",))),
        st.tuples(numbers, numbers, st.lists(numbers), st.just(("", "\x01"))),
    )
)
def test_prefixes_cover_a_range_and_nothing_else(case: tuple[str, str, list[str], tuple[str, ...]]) -> None:
    """A key begins with one of the prefixes, or is one of the shorter keys, where it is between the bounds.

    Behind a number's text there may be what makes it a bound that is not included.
    """
    *bounds, texts, ends = case
    first, last = (f"a<{text}" for text in sorted(map(str, bounds)))
    spans = [(low, high) for end in ends for low in ("a<", f"{first}{end}") for high in (f"{last}{end}", "a=", "a<~")]
    for low, high in spans:
        if low >= high:
            continue
        prefixes, shorter = tuple(_prefixes(low, high)), set(_shorter(low, high))
        for key in [f"a<{text}" for text in (*map(str, bounds), *texts)] + ["a~1", "a>1", "b<1"]:
            assert (key.startswith(prefixes) or key in shorter) is (low <= key < high), (key, low, high)


PLANS = (
    (("date", "ge2012"),),
    (("date", "ge2012"), ("date", "lt2015")),
    (("date", "2012"),),
    (("value-quantity", "gt5"),),
    (("status", "final"),),
    (("status", "final"), ("date", "lt2015")),
    (("status:not", "final"),),
)


def _body(chance: random.Random, resource_id: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": resource_id,
        "status": chance.choice(["final", "amended"]),
        "effectiveDateTime": f"{chance.randrange(2010, 2018)}-06-01",
        "valueQuantity": {"value": chance.randrange(10)},
    }


@pytest.mark.parametrize("most", [2_000, 3])
async def test_a_number_is_right_whatever_was_written_since(
    database: Database, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Created, changed and deleted resources count as they are now, whether few or many of them are new."""
    monkeypatch.setattr(counting, "LARGE", 0)
    monkeypatch.setattr(counting, "MOST_WRITTEN", most)
    chance = random.Random(most)
    resources = ResourceStore(database)
    await store(database, [_body(chance, f"o{number}") for number in range(20)])
    search = SearchStore(database)
    for step in range(6):
        for pairs in PLANS:
            searched = plan("Observation", *pairs)
            assert await search.count(searched) == len(await search.ids(searched, 1000)), (step, pairs)
        for _ in range(step):
            await _write(resources, chance, f"o{chance.randrange(30)}")


async def test_a_number_is_right_after_what_no_version_tells_of(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A purge, and indexing anew, by whichever process: another one's memory ends with it."""
    monkeypatch.setattr(counting, "LARGE", 0)
    chance = random.Random(1)
    resources = ResourceStore(database)
    await store(database, [_body(chance, f"o{number}") for number in range(20)])
    searches = (SearchStore(database), SearchStore(database))
    everything, final = plan("Observation"), plan("Observation", ("status:not", "nothing"))
    for _ in range(2):
        assert {await each.count(query) for each in searches for query in (everything, final)} == {20}
    await Eraser(resources).erase("Observation", ["o1", "o2"])
    assert {await each.count(query) for each in searches for query in (everything, final)} == {18}
    assert await reindex_batch(resources, "Observation", lambda _: {"keys": ["new"]}, limit=5) is not None
    assert {await each.count(everything) for each in searches} == {13}


async def _write(resources: ResourceStore, chance: random.Random, resource_id: str) -> None:
    body = _body(chance, resource_id)
    previous = await resources.read("Observation", resource_id)
    deleted = previous is not None and chance.random() < 0.3
    now = datetime.now(UTC)
    draft = Draft(
        "Observation",
        resource_id,
        1 if previous is None else previous.version + 1,
        now if previous is None else max(now, previous.updated + timedelta(milliseconds=1)),
        "DELETE" if deleted else "PUT",
        b"" if deleted else encode(body),
        None if deleted else body,
        {} if deleted else index(body),
    )
    if previous is None:
        await resources.insert(draft)
    else:
        assert await resources.replace(draft, previous)


async def test_a_number_is_counted_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again, only what was written since is read."""
    monkeypatch.setattr(counting, "LARGE", 0)
    await store(database, [_body(random.Random(1), f"o{number}") for number in range(20)])
    search, requested = SearchStore(database), []
    first = search.counts.ask

    async def told(command: Document, at: Timestamp | None) -> Any:
        requested.append("find" in command)
        return await first(command, at)

    search.counts.ask = told
    searched: Plan = plan("Observation", ("date", "ge2012"))
    numbers = [await search.count(searched) for _ in range(3)]
    assert len(set(numbers)) == 1
    # Each time: what was written since, and what no version tells of.
    assert requested == [False, True, True, True, True, True]


async def test_a_number_asked_for_often_is_never_counted_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was brought up is remembered in its turn: the time in which it can be begins anew."""
    monkeypatch.setattr(counting, "LARGE", 0)
    await store(database, [_body(random.Random(1), f"o{number}") for number in range(20)])
    search, remembered = SearchStore(database), []
    for number in range(3):
        assert await search.count(plan("Observation", ("date", "ge2000"))) == 20 + number
        remembered += search.counts._remembered.values()
        await _write(ResourceStore(database), random.Random(number), f"another{number}")
    assert [each.number for each in remembered] == [20, 21, 22]
    moments = [(each.since, each.at) for each in remembered]
    assert moments == sorted(set(moments))
