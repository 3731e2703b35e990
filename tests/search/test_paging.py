"""Sorting and paging: every match once, in order, whatever is written meanwhile (traps 23 and 24)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.search.asking import Resource, bundle, coded, entries, link, observation, pages, patient, store
from tests.search.oracle.spans import element_span
from tests.search.oracle.texts import folded

Keys = list[Any]


def _observations(number: int) -> list[Resource]:
    """Return observations with ties, missing values, several values and open periods among their sort keys."""
    chance = random.Random(24)
    days = [f"2024-01-{day:02}" for day in range(1, 6)]
    made = []
    for index in range(number):
        one, two = sorted(chance.choices(days, k=2))
        when: Resource = chance.choice(
            [
                {},
                {"effectiveDateTime": one},
                {"effectivePeriod": {"start": one, "end": two}},
                {"effectivePeriod": {"end": two}},
            ]
        )
        amount: Resource = chance.choice([{}, {"valueQuantity": {"value": chance.randint(-3, 3)}}])
        category: Resource = chance.choice(
            [{}, {"category": [coded(("urn:s", code)) for code in chance.choices("abc", k=2)]}]
        )
        made.append(observation(f"o{chance.randint(0, 10**6):06}-{index}", **when, **amount, **category))
    return made


def _dates(resource: Resource, *, highest: bool) -> Keys:
    for name, datatype in (("effectiveDateTime", "dateTime"), ("effectivePeriod", "Period")):
        if name in resource:
            span = element_span(datatype, resource[name], "UTC")
            assert span is not None
            return [span.high if highest else span.low]
    return []


def _amounts(resource: Resource, *, highest: bool) -> Keys:
    return [resource["valueQuantity"]["value"]] if "valueQuantity" in resource else []


def _categories(resource: Resource, *, highest: bool) -> Keys:
    return [each["coding"][0]["code"] for each in resource.get("category", ())]


SORTS: dict[str, Callable[..., Keys]] = {"date": _dates, "value-quantity": _amounts, "category": _categories}


def _in_order(resources: list[Resource], sort: str) -> list[str]:
    """Return the ids in the order of a sort: falling keys by their greatest value, missing last, ties by id."""
    ordered = sorted(resources, key=lambda each: str(each["id"]))
    for key in reversed(sort.split(",")):
        falling, name = key.startswith("-"), key.removeprefix("-")

        def value(resource: Resource, name: str = name, falling: bool = falling) -> Any:
            result = SORTS[name](resource, highest=falling)
            return (max if falling else min)(result) if result else None

        having = [each for each in ordered if value(each) is not None]
        missing = [each for each in ordered if value(each) is None]
        # Python's sort keeps the order of ties also when it is reversed.
        ordered = sorted(having, key=value, reverse=falling) + missing
    return [str(each["id"]) for each in ordered]


@pytest.mark.parametrize("criteria", ["", "&status=final", "&date:missing=false"])
async def test_a_sort_pages_through_ties_and_missing_values(client: httpx.AsyncClient, criteria: str) -> None:
    """Trap 24: asc takes the least value, desc the greatest, missing values are last in both, ties are by id."""
    resources = _observations(40)
    await store(client, *resources)
    matching = [each for each in resources if "date:missing" not in criteria or _dates(each, highest=False)]
    for sort in (
        *SORTS,
        *(f"-{name}" for name in SORTS),
        "category,-date",
        "-value-quantity,date",
        "date,category,-value-quantity",
    ):
        expected = _in_order(matching, sort)
        found_pages = await pages(client, f"Observation?_sort={sort}&_count=7{criteria}")
        assert [each for page in found_pages for each in page] == expected, sort
        assert all(len(page) == 7 for page in found_pages[:-1])


async def test_names_sort_as_people_read_them(client: httpx.AsyncClient) -> None:
    """A string sorts without case and accents, by its first value rising and by its last one falling."""
    names = {"a": ["Zoe", "Álvaro"], "b": ["albert"], "c": ["BERTA"], "d": [], "e": ["Çelik"]}
    await store(client, *(patient(key, **({"name": [{"family": each} for each in values]} if values else {}))
                          for key, values in names.items()))  # fmt: skip
    rising = sorted((key for key in names if names[key]), key=lambda key: min(map(folded, names[key])))
    falling = sorted((key for key in names if names[key]), key=lambda key: max(map(folded, names[key])), reverse=True)
    assert (await pages(client, "Patient?_sort=family&_count=2")) == [rising[:2], rising[2:], ["d"]]
    assert (await pages(client, "Patient?_sort=-family&_count=2")) == [falling[:2], falling[2:], ["d"]]


async def test_a_sort_by_a_chain(client: httpx.AsyncClient) -> None:
    """`_sort` may follow a reference to what it refers to."""
    await store(
        client,
        patient("p", name=[{"family": "Zed"}]),
        patient("q", name=[{"family": "Abel"}]),
        observation("1", subject={"reference": "Patient/p"}),
        observation("2", subject={"reference": "Patient/q"}),
        observation("3"),
    )
    assert await pages(client, "Observation?_sort=patient.family&_count=2") == [["2", "1"], ["3"]]


@pytest.mark.parametrize("size", [1, 3, 5, 10, 11])
@pytest.mark.parametrize("search", ["Patient?", "Patient?gender=male", "Patient?family=d", "Patient?_sort=-birthdate"])
async def test_no_page_is_empty_and_the_last_has_no_next(client: httpx.AsyncClient, search: str, size: int) -> None:
    """Trap 23: also where the matches fill their pages exactly."""
    await store(
        client,
        *(patient(f"p{number}", gender="male", name=[{"family": "Doe"}, {"family": "Dob"}], birthDate=f"200{number}")
          for number in range(10)),
    )  # fmt: skip
    found_pages = await pages(client, f"{search}&_count={size}")
    assert [len(page) for page in found_pages] == [size] * (10 // size) + ([10 % size] if 10 % size else [])
    assert len({each for page in found_pages for each in page}) == 10


async def test_the_way_back_is_the_way_forth(client: httpx.AsyncClient) -> None:
    """A page leads to the one before it, which holds what it held."""
    await store(client, *(patient(f"p{number}") for number in range(7)))
    first = await bundle(client, "Patient?_count=3&_sort=_id")
    second = await bundle(client, link(first, "next") or "")
    third = await bundle(client, link(second, "next") or "")
    back = await bundle(client, link(third, "previous") or "")
    assert entries(back) == entries(second)
    assert entries(await bundle(client, link(back, "previous") or "")) == entries(first)
    assert link(first, "previous") is None


@pytest.mark.parametrize(
    "search",
    ["Patient?", "Patient?gender=male", "Patient?family=d", "Patient?_sort=birthdate", "Patient?_sort=-_lastUpdated"],
)
async def test_writing_while_paging_loses_and_repeats_nothing(client: httpx.AsyncClient, search: str) -> None:
    """Trap 23: whatever is created, changed or deleted between pages, each match of the first moment comes once."""

    def member(number: int, year: int) -> Resource:
        return patient(f"p{number:02}", gender="male", name=[{"family": f"D{year}"}], birthDate=str(year))

    await store(client, *(member(number, 2000 + number) for number in range(12)))
    seen: list[str] = []
    following: str | None = f"{search}&_count=3"
    step = 0
    while following is not None:
        answer = await bundle(client, following)
        seen += entries(answer)
        following = link(answer, "next")
        step += 1
        # One moves to the front, one to the end, one comes before and one behind everything.
        await store(
            client, member(step * 2, 1950), member(step * 2 + 1, 2050), member(50 - step, 1900), member(50 + step, 2100)
        )
    assert len(seen) == len(set(seen))
    assert {each for each in seen if int(each[1:]) < 12} == {f"p{number:02}" for number in range(12)}


async def test_a_deletion_while_paging_hides_no_other(client: httpx.AsyncClient) -> None:
    """Trap 23: what stands behind a deleted match still comes."""
    await store(client, *(patient(f"p{number}", gender="male") for number in range(8)))
    first = await bundle(client, "Patient?gender=male&_count=3")
    for resource_id in entries(first):
        await client.delete(f"Patient/{resource_id}")
    rest = await pages(client, link(first, "next") or "")
    assert {each for page in rest for each in page} == {f"p{number}" for number in range(8)} - set(entries(first))
