"""Canonical references: chains, `_has`, includes and sorting follow `url` and `url|version`."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from fhir_server.r4.definitions import RESOURCE_TYPES, table
from fhir_server.search.index.index import index
from fhir_server.search.query.criteria import is_canonical
from fhir_server.search.registry import Parameter, parameters
from tests.client import BASE
from tests.search.asking import bundle, entries, found, store

URL = "http://example.org/fhir/q"
CANONICAL = [
    (resource_type, parameter)
    for resource_type in sorted(RESOURCE_TYPES)
    for parameter in parameters(resource_type).values()
    if parameter.type == "reference" and not parameter.parts and is_canonical(parameter)
]


def _questionnaire(resource_id: str, title: str, **fields: Any) -> dict[str, Any]:
    return {"resourceType": "Questionnaire", "id": resource_id, "status": "active", "title": title, **fields}


def _response(resource_id: str, questionnaire: str) -> dict[str, Any]:
    return {
        "resourceType": "QuestionnaireResponse",
        "id": resource_id,
        "status": "completed",
        "questionnaire": questionnaire,
    }


async def _stored(client: httpx.AsyncClient) -> None:
    await store(
        client,
        _questionnaire("old", "Old", url=URL, version="1"),
        _questionnaire("new", "New", url=URL, version="2"),
        _questionnaire("bare", "Bare", url=f"{URL}2"),
        _questionnaire("place", "Place"),
        _response("r1", f"{URL}|1"),
        _response("r2", f"{URL}|2#part"),
        _response("any", URL),
        _response("bare", f"{URL}2"),
        _response("relative", "Questionnaire/place"),
        _response("absolute", f"{BASE}/Questionnaire/place"),
        _response("lost", f"{URL}|3"),
    )


async def test_a_chain_follows_the_version(client: httpx.AsyncClient) -> None:
    """A reference with a version leads to that version, one without to every version, a location to the resource."""
    await _stored(client)
    for title, expected in (
        ("Old", {"r1", "any"}),
        ("New", {"r2", "any"}),
        ("Bare", {"bare"}),
        ("Place", {"relative", "absolute"}),
        ("Old,New", {"r1", "r2", "any"}),
        ("None", set()),
    ):
        assert await found(client, f"QuestionnaireResponse?questionnaire.title={title}") == expected, title
        assert await found(client, f"QuestionnaireResponse?questionnaire:Questionnaire.title={title}") == expected
        assert await found(client, f"QuestionnaireResponse?questionnaire.title={title}&status=completed") == expected
        assert await found(client, f"QuestionnaireResponse?_filter=questionnaire.title eq {title}") == (
            expected if "," not in title else set()
        )
    for value in ("Questionnaire/place", f"{BASE}/Questionnaire/place"):
        assert await found(client, f"QuestionnaireResponse?questionnaire={value}") == {"relative", "absolute"}


async def test_has_follows_the_version(client: httpx.AsyncClient) -> None:
    """`_has` finds what a canonical reference leads to, and nothing that it only resembles."""
    await _stored(client)
    for resource_id, expected in (
        ("r1", {"old"}),
        ("r2", {"new"}),
        ("any", {"old", "new"}),
        ("bare", {"bare"}),
        ("relative", {"place"}),
        ("absolute", {"place"}),
        ("lost", set()),
    ):
        search = f"Questionnaire?_has:QuestionnaireResponse:questionnaire:_id={resource_id}"
        assert await found(client, search) == expected, resource_id
        assert await found(client, f"{search}&status=active") == expected, resource_id


async def test_includes_follow_the_version(client: httpx.AsyncClient) -> None:
    """`_include` and `_revinclude` add what canonical references lead to, or come from; wildcards too."""
    await _stored(client)
    for include in ("QuestionnaireResponse:questionnaire", "QuestionnaireResponse:questionnaire:Questionnaire", "*"):
        for ids, expected in (("r1", {"old"}), ("any", {"old", "new"}), ("absolute,lost", {"place"})):
            answer = await bundle(client, f"QuestionnaireResponse?_id={ids}&_include={include}")
            assert set(entries(answer, "include")) == expected, (include, ids)
    for include in ("QuestionnaireResponse:questionnaire", "*"):
        for ids, expected in (("old", {"r1", "any"}), ("place", {"relative", "absolute"})):
            answer = await bundle(client, f"Questionnaire?_id={ids}&_revinclude={include}")
            assert set(entries(answer, "include")) == expected, (include, ids)


async def test_a_chain_sorts_by_canonical(client: httpx.AsyncClient) -> None:
    """`_sort` by a chain reads the value of what the reference leads to."""
    await _stored(client)
    answer = await bundle(client, "QuestionnaireResponse?_id=r1,r2,bare&_sort=questionnaire.title")
    assert entries(answer) == ["bare", "r2", "r1"]


@pytest.mark.parametrize("many", [2, 200])
async def test_pages_of_a_chain_have_each_once(client: httpx.AsyncClient, many: int) -> None:
    """What an unversioned reference reaches by several versions stands once on all pages, also from the inside."""
    await store(client, *(_questionnaire(f"q{number}", "Same", url=URL, version=str(number)) for number in range(3)))
    body = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "resource": _response(f"r{number:03}", URL),
                "request": {"method": "PUT", "url": f"QuestionnaireResponse/r{number:03}"},
            }
            for number in range(many)
        ],
    }
    assert (await client.post("", json=body)).status_code == 200
    ids: list[str] = []
    url: str | None = f"QuestionnaireResponse?questionnaire.title=same&_count={many // 2 + 1}"
    while url:
        answer = await bundle(client, url)
        ids += entries(answer)
        url = next((str(each["url"]) for each in answer["link"] if each["relation"] == "next"), None)
    assert sorted(ids) == [f"r{number:03}" for number in range(many)]


# --- Every parameter ---------------------------------------------------------------------------------------------


def _with_value(resource_type: str, parameter: Parameter, value: str) -> dict[str, Any]:
    """Return a resource with the value at the parameter's first path."""
    path = re.sub(r"\((\S+) as \w+\)", r"\1", parameter.branches[0])
    cast = re.search(r" as (\w+)\)", parameter.branches[0])
    allowed = (cast[1],) if cast else ("canonical", "uri")
    kind = re.search(r"where\(type='([\w-]+)'\)", path)
    _, *names = re.sub(r"\.where\([^)]*\)", "", path).split(".")
    resource: dict[str, Any] = {"resourceType": resource_type, "id": "a"}
    node, type_name = resource, resource_type
    for name in names:
        elements = table(type_name).elements.values()
        element = next(each for each in elements if each.name == name or (each.choice == name and each.type in allowed))
        last = name == names[-1]
        inner: Any = value if last else ({"type": kind[1]} if kind and name == "relatedArtifact" else {})
        node[element.name] = [inner] if element.many else inner
        node, type_name = inner, element.type
    return resource


@pytest.mark.parametrize(("resource_type", "parameter"), CANONICAL, ids=[f"{n}-{p.code}" for n, p in CANONICAL])
def test_every_canonical_parameter_leads_to_its_target(resource_type: str, parameter: Parameter) -> None:
    """What each canonical parameter of R4 writes is what the resource of that URL, or URL and version, writes."""
    for value in (URL, f"{URL}|1.0"):
        keys = index(_with_value(resource_type, parameter, value))["keys"]
        [written] = [key for key in keys if key.startswith(f"{parameter.code}@")]
        target = {"resourceType": "Questionnaire", "id": "q", "url": URL, "version": "1.0", "status": "draft"}
        assert f"_canonical={written.partition('@')[2]}" in index(target)["keys"]
        other = index({**target, "version": "2.0"})["keys"]
        assert (f"_canonical={written.partition('@')[2]}" in other) == (value == URL)


def test_all_canonical_parameters_are_known() -> None:
    """Each reference parameter of R4 whose element is a canonical or uri is followed as one; none with References."""
    codes = {f"{name}:{parameter.code}" for name, parameter in CANONICAL}
    assert {
        "QuestionnaireResponse:questionnaire", "PlanDefinition:definition", "ConceptMap:source", "ConceptMap:other",
        "Library:depends-on", "Measure:depends-on", "StructureDefinition:valueset", "CarePlan:instantiates-canonical",
        "CapabilityStatement:resource-profile", "ImplementationGuide:global", "SearchParameter:component",
    } <= codes  # fmt: skip
    assert not {"Consent:source-reference", "Observation:subject", "Bundle:composition"} & codes
    assert len(codes) == 75
