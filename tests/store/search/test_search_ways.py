"""However a search is run, it finds the same: by a scan, in the order of a sort, collected, or from inside a chain."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.store.database.mongo import Database
from fhir_server.store.search.choice import FEW, Way
from fhir_server.store.search.commands import AT, collect
from fhir_server.store.search.search import SearchStore
from tests.store.searched import decided, in_every_way, paged, plan, store, ways

Pairs = tuple[tuple[str, str], ...]


def patient(number: int, **content: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": f"p{number}", **content}


def observation(number: int, **content: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": f"o{number:02}", "status": "final", **content}


def coded(*codes: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://c.example", "code": code} for code in codes]}


def to(*references: str) -> list[dict[str, str]]:
    return [{"reference": reference} for reference in references]


WORLD = [
    patient(1, name=[{"family": "Miller", "given": ["Ann", "Ann Lee"]}], birthDate="1970-05-01", gender="female"),
    patient(2, name=[{"family": "Milner"}, {"family": "Adams"}], birthDate="1980", gender="male"),
    patient(3, name=[{"family": "Mills", "given": ["Zoë"]}], gender="female"),
    patient(4, name=[{"use": "official"}], birthDate="1970-05-01"),
    patient(5, gender="other"),
    {"resourceType": "Practitioner", "id": "d1", "name": [{"family": "Miller"}], "active": True},
    {"resourceType": "Practitioner", "id": "d2", "name": [{"family": "Bones"}], "active": True},
    observation(1, code=coded("a"), subject=to("Patient/p1")[0], performer=to("Practitioner/d1", "Practitioner/d2")),
    observation(2, code=coded("a", "b"), subject=to("Patient/p1")[0], performer=to("Practitioner/d2", "Patient/p1")),
    observation(3, code=coded("b"), subject=to("Patient/p2")[0], effectiveDateTime="2020-01-01"),
    observation(4, code=coded("a"), subject=to("Patient/p3")[0], effectiveDateTime="2020-02"),
    observation(5, code={"text": "only words"}, subject=to("Patient/p3")[0], performer=to("Practitioner/d1")),
    observation(6, code=coded("c"), subject={"identifier": {"value": "x"}}, effectivePeriod={"start": "2019"}),
    observation(7, code=coded("c"), subject=to("Patient/gone")[0], effectiveDateTime="2020-01-01"),
    observation(8, code=coded("b"), status="amended", hasMember=to("Observation/o01", "Observation/o03")),
    observation(9, code=coded("a"), hasMember=to("Observation/o04", "Observation/o02", "Observation/o01")),
    {"resourceType": "DiagnosticReport", "id": "r1", "result": to("Observation/o01", "Observation/o04")},
    {"resourceType": "DiagnosticReport", "id": "r2", "result": to("Observation/o03")},
]  # fmt: skip

SEARCHES: list[tuple[str, Pairs]] = [
    ("Patient", (("family", "mil"),)),
    ("Patient", (("family", "mil"), ("gender", "female,male"))),
    ("Patient", (("birthdate", "ge1970"), ("birthdate", "lt1971"))),
    ("Patient", (("birthdate", "1970-05-01,1980"),)),
    ("Patient", (("gender:not", "female"),)),
    ("Patient", (("birthdate:missing", "true"),)),
    ("Patient", (("name:contains", "l"),)),
    ("Patient", (("_has:Observation:patient:code", "a,b"),)),
    ("Patient", (("_has:Observation:performer:status", "final"),)),
    ("Patient", (("_has:Observation:patient:_has:DiagnosticReport:result:_id", "r1"),)),
    ("Observation", (("code", "a,b"),)),
    ("Observation", (("code:not", "a"),)),
    ("Observation", (("code:not", "a,b"), ("status", "final"))),
    ("Observation", (("date", "ge2020"),)),
    ("Observation", (("date", "2020-01-01"), ("date", "lt2021"))),
    ("Observation", (("subject:Patient.family", "mil"),)),
    ("Observation", (("patient.gender", "female"), ("code", "a"))),
    ("Observation", (("performer:Practitioner.active", "true"),)),
    ("Observation", (("performer.family", "miller"),)),
    ("Observation", (("performer.name", "mil"),)),
    ("Observation", (("has-member.code", "a,b"),)),
    ("Observation", (("has-member:Observation.subject:Patient.family", "mil"),)),
    ("DiagnosticReport", (("result.patient.family", "mil"),)),
    ("DiagnosticReport", (("result.code", "a"), ("status:missing", "true"))),
]

SORTS: list[tuple[str, Pairs]] = [
    ("Patient", (("_sort", "family"),)),
    ("Patient", (("_sort", "-family"),)),
    ("Patient", (("_sort", "birthdate,-gender"),)),
    ("Patient", (("_sort", "-birthdate"), ("gender:not", "other"))),
    ("Observation", (("_sort", "-date"), ("status", "final"))),
    ("Observation", (("_sort", "date"), ("code:not", "c"))),
    ("Observation", (("_sort", "code"),)),
    ("Observation", (("_sort", "-code"),)),
    ("Observation", (("_sort", "-code"), ("patient.gender", "female"))),
    ("Observation", (("_sort", "-status"), ("code:not", "c"))),
    ("Observation", (("_sort", "-subject"),)),
    ("Patient", (("_sort", "-gender"),)),
    ("Observation", (("_sort", "-code,date"),)),
    ("Observation", (("_sort", "subject"),)),
    ("Observation", (("_sort", "patient.family,-_id"),)),
    ("Observation", (("_sort", "-_lastUpdated"), ("subject:Patient.family", "mil"))),
    ("Observation", (("_sort", "date"), ("patient.gender", "female"))),
]


@pytest.mark.parametrize(("resource_type", "pairs"), SEARCHES)
async def test_every_way_finds_the_same(database: Database, resource_type: str, pairs: Pairs) -> None:
    """Each way finds each match once, in pages of any size."""
    await store(database, WORLD)
    searched = plan(resource_type, *pairs)
    expected = await SearchStore(database).ids(searched, 100)
    assert expected, "a search that finds nothing shows nothing"
    for result in await in_every_way(database, searched):
        assert sorted(result) == sorted(expected)
    for way in ways(searched.types[0]):
        assert await decided(database, way).count(searched) == len(expected), way


@pytest.mark.parametrize(("resource_type", "pairs"), SORTS)
async def test_every_way_sorts_the_same(database: Database, resource_type: str, pairs: Pairs) -> None:
    """Each way finds each match once and, but for ties, in the same order, in pages of any size."""
    await store(database, WORLD)
    searched = plan(resource_type, *pairs)
    each = searched.types[0]
    command = collect(each, each.drives[0].scans, None, 100, {"version": 1})
    collected, _, _ = await SearchStore(database).ask(command, None)
    values = [row[AT] for row in collected]
    place = {row["_id"]: values.index(row[AT]) for row in collected}
    for result in await in_every_way(database, searched):
        assert sorted(result) == sorted(place)
        assert [place[found_id] for found_id in result] == sorted(place.values())


async def test_a_count_is_that_of_the_pages(database: Database) -> None:
    """The number of all matches is that of the rows on all pages, whatever way they are found."""
    await store(database, WORLD)
    for resource_type, pairs in SEARCHES:
        searched = plan(resource_type, *pairs)
        assert await SearchStore(database).count(searched) == len(await SearchStore(database).ids(searched, 100)), pairs


async def test_a_chain_starts_where_there_is_less(database: Database) -> None:
    """A chain is followed from the inside where few resources are there, and from the outside where few are here."""
    await store(database, WORLD)
    many = [observation(number + 100, subject=to("Patient/p1")[0], code=coded("z")) for number in range(FEW + 5)]
    await store(database, many)
    inside = plan("Observation", ("patient.family", "miller"))
    outside = plan("Observation", ("patient.gender", "female"), ("status", "amended"))
    assert await _chosen(database, inside) == ("inside", 0)
    assert (await _chosen(database, outside))[0] == "read"


async def test_a_sort_is_walked_where_there_is_much(database: Database) -> None:
    """With few matches they are collected and sorted; with many the index is read in the order of the sort."""
    await store(database, WORLD)
    await store(database, [observation(number + 100, code=coded("z")) for number in range(FEW + 5)])
    assert await _chosen(database, plan("Observation", ("code", "a"), ("_sort", "-date"))) == ("collect", 0)
    assert await _chosen(database, plan("Observation", ("code", "z"), ("_sort", "-date"))) == ("order", 0)


async def test_the_narrowest_of_several_criteria_is_read(database: Database) -> None:
    """Of criteria that may both be common, the one that fewer resources meet is read."""
    await store(database, WORLD)
    await store(database, [observation(number + 100, code=coded("z")) for number in range(50)])
    searched = plan("Observation", ("status", "final"), ("code", "c"))
    kind, number = await _chosen(database, searched)
    assert (kind, searched.types[0].drives[number].scans[0].keys) == ("read", ("code=c",))  # type: ignore[union-attr]


async def _chosen(database: Database, searched: Any) -> Way:
    return await SearchStore(database).chooser.choose(searched.types[0])


def test_chains_have_ways_from_both_ends() -> None:
    """The searches of these tests are run from the inside too, and not only from the outside."""
    kinds = {way[0] for resource_type, pairs in SEARCHES for way in ways(plan(resource_type, *pairs).types[0])}
    assert kinds == {"read", "inside"}


async def test_a_resource_that_refers_to_many_reads_many(database: Database) -> None:
    """What `_has` leads to from one large Group is found once each, counted, and not taken for little to read."""
    members = [{"entity": {"reference": f"Patient/p{number}"}} for number in range(FEW)]
    group = {"resourceType": "Group", "type": "person", "actual": True}
    await store(
        database,
        [
            {**group, "id": "all", "member": members},
            {**group, "id": "some", "member": members[:3]},
            *(patient(number) for number in range(FEW)),
        ],
    )
    search = SearchStore(database)
    for pairs, number in (
        ((("_has:Group:member:_id", "all"),), FEW),
        ((("_has:Group:member:_id", "some"),), 3),
        ((("_has:Group:member:_id", "some,all"),), FEW),
        ((("_has:Group:member:type", "person"),), FEW),
    ):
        searched = plan("Patient", *pairs)
        result = await paged(search, searched, 400)
        assert len(result) == len(set(result)) == number, pairs
        assert await search.count(searched) == number, pairs
        assert (await search.reads(searched.types[0]) < FEW) is (number < FEW), pairs
