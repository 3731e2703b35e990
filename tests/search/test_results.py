"""What a search answers with: handling, includes, totals, summaries, deleted resources (traps 18 to 22, 25 to 30)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from fhir_server.engine.context import Services
from fhir_server.settings import Settings
from fhir_server.store.search import estimate as search_estimate
from tests.search.asking import bundle, entries, found, link, observation, pages, patient, refused, store


@pytest.mark.parametrize(
    "unknown",
    [
        "shoesize",
        "_shoesize",
        "general-practitioner.shoesize",
        "_has:Observation:patient:shoesize",
        "_has:Shoe:patient:code",
    ],
)
async def test_an_unknown_parameter_is_left_out_or_refused(client: httpx.AsyncClient, unknown: str) -> None:
    """Trap 18: lenient answers 200, with an outcome that names it and a self link without it; strict says 400."""
    await store(client, patient("p"))
    search = f"Patient?{unknown}=42&active:missing=true"
    for headers in ({}, {"Prefer": "handling=lenient"}):
        answer = await bundle(client, search, **headers)
        assert entries(answer) == ["p"]
        [outcome] = [each["resource"] for each in answer["entry"] if each["search"]["mode"] == "outcome"]
        assert outcome["resourceType"] == "OperationOutcome"
        assert unknown.rpartition(".")[2].rpartition(":")[2] in str(outcome) or "Shoe" in str(outcome)
        assert "hoe" not in unquote(link(answer, "self") or "hoe")
        assert "active:missing=true" in unquote(link(answer, "self") or "")
    strict = await client.get(search, headers={"Prefer": "handling=strict"})
    assert strict.status_code == 400


class TestStrictByDefault:
    """A server whose settings make handling strict."""

    @pytest.fixture
    def settings(self) -> Settings:
        """Strict where the client says nothing."""
        return Settings(search_handling="strict")

    async def test_the_default_is_a_setting(self, client: httpx.AsyncClient) -> None:
        """Trap 18: a strict server refuses what it does not know, unless a client prefers leniency."""
        assert (await client.get("Patient?shoesize=42")).status_code == 400
        lenient = await client.get("Patient?shoesize=42", headers={"Prefer": "handling=lenient"})
        assert lenient.status_code == 200


# --- Includes ----------------------------------------------------------------------------------------------------


def _visit(resource_id: str, patient_id: str, part_of: str | None = None) -> dict[str, Any]:
    visit: dict[str, Any] = {
        "resourceType": "Encounter",
        "id": resource_id,
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{patient_id}"},
    }
    return visit | ({"partOf": {"reference": f"Encounter/{part_of}"}} if part_of else {})


async def test_includes_stand_once_outside_count_and_total(client: httpx.AsyncClient) -> None:
    """Trap 19: an include without matches is empty; includes are marked, stand once, and are no part of the count."""
    nothing = await bundle(client, "Encounter?_include=Encounter:subject")
    assert (entries(nothing), nothing.get("total")) == ([], 0)
    await store(client, patient("p"), patient("q"), _visit("a", "p"), _visit("b", "p"), _visit("c", "q"))
    page = await bundle(client, "Encounter?_include=Encounter:subject&_count=2&_total=accurate&_sort=_id")
    assert (entries(page), entries(page, "include"), page["total"]) == (["a", "b"], ["p"], 3)
    second = await bundle(client, link(page, "next") or "")
    assert (entries(second), entries(second, "include")) == (["c"], ["q"])


async def test_an_include_may_name_a_target_type_or_all(client: httpx.AsyncClient) -> None:
    """`_include` by parameter, by target type and by `*`; what is not there is not included."""
    await store(
        client,
        patient("p"),
        {"resourceType": "Practitioner", "id": "d"},
        _visit("e", "p"),
        observation(
            "o",
            subject={"reference": "Patient/p"},
            encounter={"reference": "Encounter/e"},
            performer=[{"reference": "Practitioner/d"}, {"reference": "Patient/gone"}],
        ),
    )

    async def included(include: str) -> set[str]:
        return set(entries(await bundle(client, f"Observation?{include}"), "include"))

    assert await included("_include=Observation:subject") == {"p"}
    assert await included("_include=Observation:subject:Group") == set()
    assert await included("_include=Observation:performer") == {"d"}
    assert await included("_include=Observation:subject&_include=Observation:encounter") == {"p", "e"}
    assert await included("_include=*") == {"p", "e", "d"}
    assert await included("_include=Observation:*") == {"p", "e", "d"}
    await refused(client, "Observation?_include=Observation:code", "code")


async def test_includes_that_point_at_each_other_end(client: httpx.AsyncClient) -> None:
    """Trap 20: `:iterate` follows what it finds to the end, and two that point at each other terminate."""
    await store(client, patient("p"), _visit("a", "p", "b"), _visit("b", "p", "c"), _visit("c", "p", "a"))
    answer = await bundle(
        client, "Encounter?_id=a&_include:iterate=Encounter:part-of&_revinclude:iterate=Encounter:part-of"
    )
    assert (entries(answer), set(entries(answer, "include"))) == (["a"], {"b", "c"})
    once = await bundle(client, "Encounter?_id=a&_include=Encounter:part-of")
    assert entries(once, "include") == ["b"]
    chained = await bundle(client, "Encounter?_id=a&_include=Encounter:part-of&_include:iterate=Encounter:subject")
    assert set(entries(chained, "include")) == {"b", "p"}


async def test_what_refers_to_a_match_is_included(client: httpx.AsyncClient) -> None:
    """`_revinclude` by parameter; trap 21: `*` works or is refused, and is no fault."""
    await store(
        client, patient("p"), patient("q"), _visit("a", "p"), observation("o", subject={"reference": "Patient/p"})
    )
    answer = await bundle(client, "Patient?_id=p&_revinclude=Encounter:subject&_revinclude=Observation:patient")
    assert set(entries(answer, "include")) == {"a", "o"}
    every = await client.get("Patient?_id=p&_revinclude=*")
    assert every.status_code in (200, 400)
    if every.status_code == 200:
        assert set(entries(every.json(), "include")) == {"a", "o"}


class TestWithFewIncludes:
    """A server that puts few included resources on one page."""

    @pytest.fixture
    def settings(self) -> Settings:
        """Ten on a page."""
        return Settings(max_includes=10)

    async def test_what_is_past_the_limit_has_a_link(self, client: httpx.AsyncClient) -> None:
        """Trap 22: every included resource is reached by links."""
        await store(client, patient("p"), *(_visit(f"e{number:02}", "p") for number in range(25)))
        seen: list[str] = []
        answer = await bundle(client, "Patient?_id=p&_revinclude=Encounter:subject")
        assert len(entries(answer, "include")) <= 10
        for _ in range(10):
            seen += entries(answer, "include")
            others = [
                str(each["url"])
                for each in answer["link"]
                if each["relation"] not in ("self", "first", "previous", "prev")
            ]
            if not others:
                break
            answer = await bundle(client, others[0])
        assert sorted(seen) == [f"e{number:02}" for number in range(25)]


# --- Totals and summaries ----------------------------------------------------------------------------------------


async def test_an_estimate_is_no_less_than_what_is_seen(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`_total=estimate` on a page with a next one is more than the page holds, whatever the sample met."""
    monkeypatch.setattr(search_estimate, "FEW", 0)
    monkeypatch.setattr(search_estimate, "COUNTED", 0)
    monkeypatch.setattr(search_estimate, "SAMPLE", 1)
    await store(client, *(patient(f"p{number}", gender="male" if number % 4 else "other") for number in range(12)))
    first = await bundle(client, "Patient?gender=other&_count=2&_total=estimate")
    assert first["total"] >= 3
    second = await bundle(client, link(first, "next") or "")
    assert second["total"] == first["total"]
    assert (await bundle(client, "Patient?gender=other&_total=estimate"))["total"] == 3


async def test_a_transaction_can_count(client: httpx.AsyncClient) -> None:
    """A search in a transaction may ask for totals: of all, of some, accurate or not."""
    await store(client, patient("p", gender="male"), patient("q"))
    urls = ["Patient?_summary=count", "Patient?gender=male,other&_count=0", "Patient?_count=1&_total=accurate"]
    urls += ["Patient?_count=1&_total=estimate", "Patient?gender=male&_summary=count"]
    entry = [{"request": {"method": "GET", "url": url}} for url in urls]
    answer = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entry})
    assert [each["resource"]["total"] for each in answer.json()["entry"]] == [2, 1, 2, 2, 1]


async def test_a_total_changes_no_entries(client: httpx.AsyncClient) -> None:
    """Trap 25: `_total=accurate` counts beyond the page; `_summary=count` and `_count=0` have no entries."""
    await store(client, *(patient(f"p{number}", gender="male") for number in range(5)), patient("f", gender="female"))
    plain = await bundle(client, "Patient?gender=male&_count=2&_sort=_id")
    counted = await bundle(client, "Patient?gender=male&_count=2&_sort=_id&_total=accurate")
    assert entries(plain) == entries(counted) == ["p0", "p1"]
    assert counted["total"] == 5
    assert "total" not in await bundle(client, "Patient?gender=male&_count=2&_total=none")
    for search in ("Patient?gender=male&_summary=count", "Patient?gender=male&_count=0"):
        answer = await bundle(client, search)
        assert (answer["total"], answer.get("entry")) == (5, None)


async def test_a_total_stands_where_it_is_cheap(client: httpx.AsyncClient, services: Services) -> None:
    """Without `_total` each page says the total where few documents are read for it, the same on every page."""
    await store(client, *(patient(f"p{number}", gender="male") for number in range(5)), patient("f", gender="female"))
    await store(
        client, *(observation(f"o{number}", subject={"reference": f"Patient/p{number}"}) for number in range(3))
    )
    for search, expected in (
        ("Patient?_count=2", 6),
        ("Patient?gender=male&_count=2&_sort=-_lastUpdated", 5),
        ("Observation?subject.gender=male&_count=1&_include=Observation:subject", 3),
        ("Patient?_has:Observation:subject:status=final&_count=1", 3),
    ):
        url: str | None = search
        while url:
            answer = await bundle(client, url)
            assert answer["total"] == expected, url
            url = link(answer, "next")
    assert "total" not in await bundle(client, "Patient?_count=2&_total=none")
    await _many(services, 1500)
    assert "total" not in await bundle(client, "Patient?_count=2")
    assert (await bundle(client, "Patient?_count=2&_total=accurate"))["total"] == 1506


async def _many(services: Services, number: int) -> None:
    """Store copies of a resource, and forget what is remembered of how many there were."""
    collection = services.database.current("Patient")
    document = await collection.find_one({"_id": "f"})
    assert document is not None
    await collection.insert_many([{**document, "_id": f"copy{each}"} for each in range(number)])
    services.search.chooser._remembered.clear()


async def test_a_subset_is_tagged(client: httpx.AsyncClient) -> None:
    """Trap 26: `_elements` and `_summary` carry the tag SUBSETTED, and writing such a resource is refused or warned."""
    name = [{"family": "Doe"}]
    await store(client, patient("p", name=name, gender="male", birthDate="2001", photo=[{"title": "x"}]))
    for search, kept, left in (
        ("_elements=name", "name", "gender"),
        ("_summary=true", "gender", "photo"),
        ("_summary=text", "id", "gender"),
    ):
        [entry] = (await bundle(client, f"Patient?{search}"))["entry"]
        assert kept in entry["resource"]
        assert left not in entry["resource"]
        assert {"SUBSETTED"} == {tag["code"] for tag in entry["resource"]["meta"]["tag"]}
    [data] = (await bundle(client, "Patient?_summary=data"))["entry"]
    assert data["resource"]["photo"] == [{"title": "x"}]
    [whole] = (await bundle(client, "Patient?_summary=false"))["entry"]
    assert "tag" not in whole["resource"]["meta"]


async def test_mandatory_elements_are_in_every_subset(client: httpx.AsyncClient) -> None:
    """`_elements` and `_summary` keep what the type requires, so that a subset can be read as the type."""
    await store(client, observation("o", valueString="x", note=[{"text": "y"}]))
    [entry] = (await bundle(client, "Observation?_elements=valueString,value"))["entry"]
    assert {"resourceType", "id", "status", "code", "valueString"} <= set(entry["resource"])
    assert "note" not in entry["resource"]


async def test_elements_are_those_of_the_matches(client: httpx.AsyncClient) -> None:
    """`_elements` leaves included resources whole, unless it names their type; on every page, and by both includes."""
    await store(client, patient("p", gender="male", birthDate="2001"))
    for number in range(2):
        await store(client, observation(f"o{number}", subject={"reference": "Patient/p"}, note=[{"text": "y"}]))
    shown = await bundle(client, "Observation?_elements=code&_include=Observation:subject&_count=1")
    for _ in range(2):
        match, included = (entry["resource"] for entry in shown["entry"])
        assert "note" not in match
        assert included["gender"] == "male"
        assert "tag" not in included["meta"]
        following = link(shown, "next")
        shown = await bundle(client, following) if following else shown
    [_, *beside] = (await bundle(client, "Patient?_elements=gender&_revinclude=Observation:subject"))["entry"]
    assert all(entry["resource"]["note"] for entry in beside)
    named = "Observation?_elements=code,Patient.gender&_include=Observation:subject&_count=1"
    match, included = (entry["resource"] for entry in (await bundle(client, named))["entry"])
    assert "note" not in match
    assert (included.get("gender"), included.get("birthDate")) == ("male", None)
    only = await bundle(client, "Observation?_elements=Patient.gender&_include=Observation:subject&_count=1")
    assert only["entry"][0]["resource"]["note"]


async def test_elements_of_contained_matches(client: httpx.AsyncClient) -> None:
    """A contained match that is shown alone has only the elements asked for, too."""
    inner = {"resourceType": "Organization", "id": "x", "name": "Acme", "alias": ["A"]}
    await store(client, patient("p", contained=[inner], managingOrganization={"reference": "#x"}))
    search = "Organization?name=acme&_contained=true&_containedType=contained&_elements=name"
    [entry] = (await bundle(client, search))["entry"]
    assert (entry["resource"]["name"], "alias" in entry["resource"]) == ("Acme", False)


# --- Links -------------------------------------------------------------------------------------------------------


async def test_a_paging_link_is_short_opaque_and_sealed(client: httpx.AsyncClient) -> None:
    """Trap 27: a next link is under 2 KB, names no patient, and a changed one is a 400."""
    await store(client, *(patient(f"secret-{number}", name=[{"family": "Hidden"}]) for number in range(3)))
    ids = ",".join([*(f"secret-{number}" for number in range(3)), *(f"x{number}" for number in range(300))])
    for search in ("Patient?family=hidden&_count=1", f"Patient?_id={ids}&_count=1", "Patient?_count=1&_sort=family"):
        following = link(await bundle(client, search), "next")
        assert following is not None
        assert len(following) < 2048
        assert not re.search("hidden|secret", unquote(following), re.IGNORECASE)
        assert len(entries(await bundle(client, following))) == 1
        token = following.rpartition("=")[2]
        for changed in (
            following.replace(token[8:12], "AAAA"),
            following[:-3],
            following + "x",
            f"{following}&family=other",
        ):
            answer = await client.get(changed)
            assert answer.status_code == 400 or (changed.endswith("other") and answer.status_code == 200), changed


async def test_ids_in_a_list_are_each_found_once(client: httpx.AsyncClient) -> None:
    """Trap 28: `_id` takes a list; an id that stands twice is found once."""
    await store(client, patient("a"), patient("b"), patient("c"))
    assert await found(client, "Patient?_id=c,a,a,none") == {"a", "c"}
    assert await found(client, "Patient?_id=a&_id=c") == set()


async def test_a_deleted_resource_is_nowhere(client: httpx.AsyncClient) -> None:
    """Trap 29: what is deleted is in no search, include, chain or `_has`; its history ends with the deletion."""
    await store(
        client,
        patient("p", name=[{"family": "Doe"}]),
        patient("kept"),
        _visit("e", "p"),
        observation("o", subject={"reference": "Patient/kept"}, status="final"),
    )
    assert await found(client, "Encounter?patient.name=doe") == {"e"}
    assert await found(client, "Patient?_has:Observation:patient:status=final") == {"kept"}
    assert (await client.delete("Patient/p")).status_code in (200, 204)
    assert (await client.delete("Observation/o")).status_code in (200, 204)
    for search in ("Patient?_id=p", "Patient?name=doe", "Patient?gender:missing=true&_id=p", "Patient?name:not=x&_id=p",
                   "Encounter?patient.name=doe", "Encounter?patient.gender:missing=true",
                   "Patient?_has:Observation:patient:status=final"):  # fmt: skip
        answer = await client.get(search)
        assert answer.status_code == 400 or entries(answer.json()) == [], search
    assert entries(await bundle(client, "Encounter?_include=Encounter:subject"), "include") == []
    assert entries(await bundle(client, "Patient?_id=kept&_revinclude=Observation:subject"), "include") == []
    history = (await client.get("Patient/p/_history")).json()
    assert history["entry"][0]["request"]["method"] == "DELETE"


async def test_writing_the_same_again_changes_no_time(client: httpx.AsyncClient) -> None:
    """Trap 30: `_lastUpdated` finds a resource by its last change, which an update that changes nothing is not."""
    await store(client, patient("p", gender="male"))
    first = (await client.get("Patient/p")).json()
    time = first["meta"]["lastUpdated"]
    await client.put("Patient/p", json=patient("p", gender="male"))
    assert await found(client, f"Patient?_lastUpdated={time}") == {"p"}
    assert await found(client, f"Patient?_lastUpdated=gt{time}") == set()
    assert await found(client, f"Patient?_lastUpdated=ge{time}&_lastUpdated=le{time}") == {"p"}
    await client.put("Patient/p", json=patient("p", gender="female"))
    assert await found(client, f"Patient?_lastUpdated=gt{time}") == {"p"}
    assert await found(client, f"Patient?_lastUpdated=le{time}") == set()


# --- Where is searched -------------------------------------------------------------------------------------------


async def test_search_on_the_system_by_type_and_in_a_compartment(client: httpx.AsyncClient) -> None:
    """A search goes over one type, several, or what is a patient's, by GET and by POST with both parts joined."""
    await store(client, patient("p"), patient("q"), _visit("e", "p"), _visit("f", "q"),
                observation("o", subject={"reference": "Patient/p"}))  # fmt: skip
    assert await found(client, "?_type=Patient,Encounter") == {"p", "q", "e", "f"}
    assert await found(client, "?_type=Encounter,Observation&patient=p") == {"e", "o"}
    assert await found(client, "Patient/p/Encounter") == {"e"}
    assert await found(client, "Patient/p/Encounter?status=planned") == set()
    assert {"e", "o"} <= await found(client, "Patient/p/*")
    assert "f" not in await found(client, "Patient/p/*")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    posted = await client.post("Encounter/_search?status=finished", content="patient=Patient/p", headers=form)
    assert entries(posted.json()) == ["e"]
    system = await client.post("_search", content="_type=Observation", headers=form)
    assert entries(system.json()) == ["o"]


async def test_pages_of_a_search_over_types_are_complete(client: httpx.AsyncClient) -> None:
    """Paging over several types gives each resource once."""
    await store(
        client, *(patient(f"p{number}") for number in range(4)), *(_visit(f"e{number}", "p0") for number in range(3))
    )
    for search in ("?_type=Patient,Encounter&_count=2", "?_type=Patient,Encounter&_count=2&_sort=-_lastUpdated"):
        found_pages = await pages(client, search)
        assert sorted(each for page in found_pages for each in page) == ["e0", "e1", "e2", "p0", "p1", "p2", "p3"]
        assert all(found_pages)
