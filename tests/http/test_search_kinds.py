"""Kinds of search beyond single criteria: text, filters, places, hierarchies, contained resources, explanations."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from fhir_server.engine.context import Services
from fhir_server.r4.validation import validate

Json = dict[str, Any]


async def put(client: httpx.AsyncClient, *resources: Json) -> None:
    for resource in resources:
        answer = await client.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code == 201, answer.text


async def entries(client: httpx.AsyncClient, path: str, mode: str = "match") -> list[Json]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return [entry for entry in answer.json().get("entry", []) if entry["search"]["mode"] == mode]


async def ids(client: httpx.AsyncClient, path: str, mode: str = "match") -> list[str]:
    return [entry["resource"]["id"] for entry in await entries(client, path, mode)]


def narrative(text: str) -> Json:
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{text}</p></div>'}


# --- Text --------------------------------------------------------------------------------------------------------


async def test_words_are_found_in_the_narrative_and_in_the_content(client: httpx.AsyncClient) -> None:
    """`_text` looks at the narrative only, `_content` at all text; words of one value are AND, a comma is OR."""
    form = {"resourceType": "Basic", "id": "a", "code": {"text": "Letter"}, "text": narrative("Chronic <b>Asthma</b>")}
    coded = {"resourceType": "Basic", "id": "b", "code": {"text": "Asthma, mild"}}
    await put(client, form, coded)
    assert await ids(client, "Basic?_text=asthma") == ["a"]
    assert await ids(client, "Basic?_content=asthma") == ["a", "b"]
    assert await ids(client, "Basic?_content=mild asthma") == ["b"]
    assert await ids(client, "Basic?_content=mild chronic") == []
    assert await ids(client, "Basic?_content=mild,chronic") == ["a", "b"]
    assert await ids(client, "Basic?_content=asth*") == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("(bone OR liver) and metastases", ["a", "b"]),
        ("bone AND metastases", ["a"]),
        ("bone metastases", ["a"]),
        ("metastases NOT bone", ["b"]),
        ("metastases AND NOT (bone OR liver)", []),
        ("not metastases", ["c"]),
        ("NOT NOT bone", ["a"]),
        ('"liver metastases"', ["b"]),
        ('"metastases liver"', []),
        ('"liver   METASTASES,"', ["b"]),
        ('"iver metastases"', []),
        ('"bone" OR "pain or fever"', ["a", "c"]),
        ('NOT "liver metastases"', ["a", "c"]),
        ('"or"', ["c"]),
        ("bone,fev*", ["a", "c"]),
        ("bone & metastases", ["a"]),
        ("&", []),
        ("bone\\,metastases", ["a"]),
    ],
)
@pytest.mark.parametrize("name", ["_text", "_content"])
async def test_a_text_search_has_operators_and_phrases(
    client: httpx.AsyncClient, name: str, text: str, result: list[str]
) -> None:
    """AND, OR, NOT, parentheses and quotes combine words, in the narrative and in all content."""
    texts = {"a": "Metastases of the <i>bone</i>", "b": "Liver <b>metastases</b>", "c": "Pain or fever"}
    for resource_id, value in texts.items():
        resource = {"resourceType": "Basic", "id": resource_id, "code": {"coding": [{"code": "x"}]}}
        if name == "_text":
            resource["text"] = narrative(value)
        else:
            plain = value.translate({ord(mark): None for mark in "<>/"}).replace("ibonei", "bone")
            resource["code"] = {"text": plain.replace("bmetastasesb", "metastases")}
        await put(client, resource)
    assert await ids(client, f"Basic?{name}={quote(text)}") == result


@pytest.mark.parametrize(
    "text", ["(a", "a)", '"a', "a AND", "OR a", "NOT", "a AND OR b", "()", ",a", "(" * 30 + "a" + ")" * 30]
)
async def test_a_text_search_that_cannot_be_read_is_refused(client: httpx.AsyncClient, text: str) -> None:
    """400 that says what is missing, not an answer to another question."""
    answer = await client.get(f"Basic?_content={quote(text)}")
    assert answer.status_code == 400
    assert "_content" in answer.json()["issue"][0]["diagnostics"]


async def test_all_of_a_long_narrative_is_searched(client: httpx.AsyncClient) -> None:
    """Words and phrases far behind the beginning of a long text are found."""
    filler = " ".join(f"word{number % 50}" for number in range(3000))
    text = narrative(f"{filler} last resort {filler}")
    await put(client, {"resourceType": "Basic", "id": "a", "code": {"text": "x"}, "text": text})
    assert await ids(client, "Basic?_text=resort") == ["a"]
    assert await ids(client, 'Basic?_text="last resort"') == ["a"]
    assert await ids(client, 'Basic?_text="resort last"') == []


async def test_the_more_words_a_resource_has_the_higher_it_is_scored(client: httpx.AsyncClient) -> None:
    """A text search gives each match a score, and `_sort=_score` puts the best first."""
    await put(
        client,
        {"resourceType": "Basic", "id": "a", "code": {"text": "red"}},
        {"resourceType": "Basic", "id": "b", "code": {"text": "red blue"}},
    )
    result = await entries(client, "Basic?_content=red,blue&_sort=_score")
    assert [(each["resource"]["id"], each["search"]["score"]) for each in result] == [("b", 1.0), ("a", 0.5)]


# --- Filter ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('family eq "miller"', ["a"]),
        ('family sw "mil"', ["a", "b"]),
        ('family ew "er"', ["a", "c"]),
        ('family co "ll"', ["a"]),
        ('family ne "miller"', ["b", "c", "d"]),
        ("birthdate gt 1980 and gender eq female", ["c"]),
        ("birthdate gt 1980 or gender eq female", ["a", "c"]),
        ("not(gender eq female) and birthdate pr true", ["b"]),
        ("birthdate pr false", ["d"]),
        ("birthdate po 1970-05", ["a", "b"]),
        ("general-practitioner.active eq true", ["a"]),
        ('general-practitioner[family eq "bones"].active eq true', []),
        ("_id eq b", ["b"]),
    ],
)
async def test_a_filter_is_an_expression_over_parameters(
    client: httpx.AsyncClient, text: str, result: list[str]
) -> None:
    """`_filter` compares parameters and joins comparisons by and, or and not."""
    by = [{"reference": "Practitioner/p"}]
    await put(
        client,
        {"resourceType": "Practitioner", "id": "p", "name": [{"family": "Marsh"}], "active": True},
        _patient("a", "Miller", gender="female", birthDate="1970-05-01", generalPractitioner=by),
        _patient("b", "Milne", gender="male", birthDate="1970"),
        _patient("c", "Weber", gender="female", birthDate="1990-01-01"),
        _patient("d", "Stone"),
    )
    assert sorted(await ids(client, f"Patient?_filter={quote(text)}")) == result


def _patient(resource_id: str, family: str, **content: Any) -> Json:
    return {"resourceType": "Patient", "id": resource_id, "name": [{"family": family}], **content}


@pytest.mark.parametrize(
    "text", ["family", "family zz 1", "colour eq 1", "birthdate co 1", "gender pr maybe", "(_id eq 1"]
)
async def test_a_filter_that_cannot_be_read_is_refused(client: httpx.AsyncClient, text: str) -> None:
    """Half a filter would mean something else, so one that is not understood whole is a 400."""
    answer = await client.get(f"Patient?_filter={quote(text)}")
    assert answer.status_code == 400
    assert "_filter" in answer.json()["issue"][0]["diagnostics"]


async def test_a_named_query_that_is_not_there_is_refused(client: httpx.AsyncClient) -> None:
    """`_query` names a query that the server would have to know."""
    assert (await client.get("Patient?_query=all")).status_code == 400


# --- Places and hierarchies --------------------------------------------------------------------------------------


async def test_locations_are_found_by_distance(client: httpx.AsyncClient) -> None:
    """`near` finds what is within the distance, in its unit, over the date line too."""
    await put(
        client,
        _location("berlin", {"position": {"latitude": 52.52, "longitude": 13.405}}),
        _location("potsdam", {"position": {"latitude": 52.4, "longitude": 13.066}}),
        _location("fiji", {"position": {"latitude": -17.0, "longitude": 179.99}}),
        _location("nowhere", {}),
    )
    assert await ids(client, "Location?near=52.5|13.4|10|km") == ["berlin"]
    assert sorted(await ids(client, "Location?near=52.5|13.4|30|km")) == ["berlin", "potsdam"]
    assert await ids(client, "Location?near=52.5|13.4|30|m") == []
    assert await ids(client, "Location?near=-17|-179.99|5|km") == ["fiji"]
    assert (await client.get("Location?near=52.5")).status_code == 400


def _location(resource_id: str, content: Json) -> Json:
    return {"resourceType": "Location", "id": resource_id, **content}


async def test_a_hierarchy_is_searched_below_and_above(client: httpx.AsyncClient) -> None:
    """`:below` takes what is within a location, however deep; `:above` what it is within; circles end."""
    await put(
        client,
        _location("house", {"partOf": {"reference": "Location/bed"}}),
        _location("ward", {"partOf": {"reference": "Location/house"}}),
        _location("bed", {"partOf": {"reference": "Location/ward"}}),
        _location("other", {}),
        _encounter("e1", "ward"),
        _encounter("e2", "bed"),
        _encounter("e3", "other"),
    )
    assert sorted(await ids(client, "Encounter?location:below=Location/ward")) == ["e1", "e2"]
    assert await ids(client, "Encounter?location:below=other") == ["e3"]
    assert await ids(client, "Encounter?location:above=other") == ["e3"]
    assert sorted(await ids(client, "Location?partof:below=ward")) == ["bed", "house", "ward"]
    assert (await client.get("Encounter?subject:below=Patient/1")).status_code == 400


def _encounter(resource_id: str, location: str) -> Json:
    return {
        "resourceType": "Encounter",
        "id": resource_id,
        "status": "finished",
        "class": {"code": "AMB"},
        "location": [{"location": {"reference": f"Location/{location}"}}],
    }


# --- Contained ---------------------------------------------------------------------------------------------------


async def test_contained_resources_are_found_where_asked_for(client: httpx.AsyncClient) -> None:
    """`_contained` finds contained resources, as containers or as themselves; one resource must meet all criteria."""
    drug = {"resourceType": "Medication", "code": {"coding": [{"code": "x"}]}}
    other = {"resourceType": "Medication", "id": "n", "status": "active"}
    await put(
        client,
        {**drug, "id": "own", "status": "active"},
        _request("r1", {**drug, "id": "m", "status": "active"}),
        _request("r2", {**drug, "id": "m", "status": "inactive"}, other),
    )
    requested = "Medication?code=x&status=active"
    assert await ids(client, requested) == ["own"]
    assert await ids(client, f"{requested}&_contained=true") == ["r1"]
    assert sorted(await ids(client, f"{requested}&_contained=both")) == ["own", "r1"]
    result = await entries(client, f"{requested}&_contained=true&_containedType=contained")
    assert [each["fullUrl"].rpartition("/")[2] for each in result] == ["r1#m"]
    assert result[0]["resource"]["resourceType"] == "Medication"
    assert (await client.get("Medication?manufacturer.name=x&_contained=true")).status_code == 400


def _request(resource_id: str, *contained: Json) -> Json:
    return {
        "resourceType": "MedicationRequest",
        "id": resource_id,
        "contained": list(contained),
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/1"},
        "medicationReference": {"reference": "#m"},
        "supportingInformation": [{"reference": f"#{contained[-1]['id']}"}],
    }


# --- Explanations, includes --------------------------------------------------------------------------------------


async def test_a_search_can_be_explained(client: httpx.AsyncClient) -> None:
    """`_explain=true` tells what was asked, what is read for it, and how many keys and documents that took."""
    await put(client, _patient("a", "Miller"), _patient("b", "Stone"))
    (entry,) = await entries(client, "Patient?family=mil&shoesize=1&_explain=true", "outcome")
    assert entry["resource"]["resourceType"] == "OperationOutcome"
    issues, executed, ignored = (issue["diagnostics"] for issue in entry["resource"]["issue"])
    assert issues.count("family=mil") >= 2
    assert "by index keys: 1 keys and 1 documents examined, 1 returned" in executed
    assert "shoesize" in ignored
    for search in ("Patient?family=mil&_explain=true", "Patient?family=none&_explain=true", "?_explain=true"):
        answer = (await client.get(search)).json()
        assert not [fault for fault in validate(answer, max_depth=64) if fault.severity in ("error", "fatal")]


async def test_includes_beyond_the_limit_are_behind_the_next_link(
    client: httpx.AsyncClient, services: Services
) -> None:
    """Where a page has more to include than it may show, next links lead through the rest, then to the next page."""
    services.settings.max_includes = 2
    await put(client, _patient("a", "Miller"), _patient("b", "Stone"))
    await put(client, *(_basic(f"{owner}{number}", owner) for owner in "ab" for number in range(5)))
    seen: list[str] = []
    pages = 0
    url: str | None = "Patient?_revinclude=Basic:subject&_count=1&_total=accurate"
    while url is not None:
        bundle = (await client.get(url)).json()
        seen += [entry["resource"]["id"] for entry in bundle["entry"]]
        assert bundle["total"] == 2
        url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
        pages += 1
    assert sorted(seen) == sorted(["a", "b", *(f"{owner}{number}" for owner in "ab" for number in range(5))])
    assert pages == 6


def _basic(resource_id: str, owner: str) -> Json:
    return {
        "resourceType": "Basic",
        "id": resource_id,
        "code": {"text": "-"},
        "subject": {"reference": f"Patient/{owner}"},
    }


async def test_a_search_too_long_for_a_link_is_kept(client: httpx.AsyncClient) -> None:
    """The next link of a search by a thousand ids is short, and goes on with that search."""
    await put(client, *(_patient(f"p{number}", "Miller") for number in range(3)))
    requested = ",".join([f"p{number}" for number in range(3)] + [f"{number:032x}" for number in range(1000)])
    answer = await client.post(
        "Patient/_search",
        content=f"_id={requested}&_count=2",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    (following,) = [link["url"] for link in answer.json()["link"] if link["relation"] == "next"]
    assert len(following) < 2000
    assert await ids(client, following) == ["p2"]
