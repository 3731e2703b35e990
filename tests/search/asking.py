"""Storing resources and asking for them over HTTP, as the tests of single rules do."""

from __future__ import annotations

from typing import Any

import httpx

from fhir_server.r4 import values

Resource = dict[str, Any]


async def store(client: httpx.AsyncClient, *resources: Resource) -> None:
    """Store resources under their own ids."""
    for resource in resources:
        path = f"{resource['resourceType']}/{resource['id']}"
        answer = await client.put(path, content=values.encode(resource))
        assert answer.status_code in (200, 201), answer.text


async def bundle(client: httpx.AsyncClient, search: str, **headers: str) -> dict[str, Any]:
    """Return the Bundle that answers a search."""
    answer = await client.get(search, headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def entries(result: dict[str, Any], mode: str = "match") -> list[str]:
    """Return the ids of a Bundle's entries of a mode, in their order."""
    return [each["fullUrl"].rpartition("/")[2] for each in result.get("entry", ()) if each["search"]["mode"] == mode]


async def found(client: httpx.AsyncClient, search: str) -> set[str]:
    """Return the ids of the matches of a search, each of which stands once."""
    ids = entries(await bundle(client, search))
    assert len(ids) == len(set(ids))
    return set(ids)


async def refused(client: httpx.AsyncClient, search: str, named: str = "") -> None:
    """Assert that a search is refused with a 400 whose diagnostics name what is wrong."""
    answer = await client.get(search)
    assert answer.status_code == 400, (search, answer.text)
    assert named in answer.json()["issue"][0]["diagnostics"], answer.text


def link(result: dict[str, Any], relation: str) -> str | None:
    """Return a link of a Bundle."""
    return next((str(each["url"]) for each in result["link"] if each["relation"] == relation), None)


async def pages(client: httpx.AsyncClient, search: str) -> list[list[str]]:
    """Return the ids of the matches of each page of a search."""
    all_pages: list[list[str]] = []
    following: str | None = search
    while following is not None:
        answer = await bundle(client, following)
        all_pages.append(entries(answer))
        following = link(answer, "next")
        assert len(all_pages) < 100, "paging does not end"
    return all_pages


def patient(resource_id: str, **fields: Any) -> Resource:
    """Return a Patient."""
    return {"resourceType": "Patient", "id": resource_id, **fields}


def observation(resource_id: str, **fields: Any) -> Resource:
    """Return an Observation."""
    return {"resourceType": "Observation", "id": resource_id, "status": "final", "code": {"text": "x"}, **fields}


def coded(*codings: tuple[str, str]) -> dict[str, Any]:
    """Return a CodeableConcept of (system, code) pairs."""
    return {"coding": [{"system": system, "code": code} for system, code in codings]}
