"""Code systems, value sets and concept maps that the tests store, and how they ask about them."""

from __future__ import annotations

from typing import Any

import httpx

Json = dict[str, Any]

GENDER = "http://hl7.org/fhir/administrative-gender"
GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"


def code_system(concepts: list[Json], *, url: str = "urn:s", **more: Any) -> Json:
    """Return a complete code system."""
    return {
        "resourceType": "CodeSystem",
        "url": url,
        "status": "active",
        "content": "complete",
        "caseSensitive": True,
        "concept": concepts,
        **more,
    }


def value_set(*include: Json, url: str = "urn:v", exclude: list[Json] | None = None, **more: Any) -> Json:
    """Return a value set of these includes."""
    compose = {"include": list(include), **({"exclude": exclude} if exclude else {})}
    return {"resourceType": "ValueSet", "url": url, "status": "active", "compose": compose, **more}


ANIMALS = code_system(
    [
        {
            "code": "animal",
            "display": "Animal",
            "concept": [
                {"code": "dog", "display": "Dog", "concept": [{"code": "beagle", "display": "Beagle"}]},
                {"code": "cat", "display": "Cat"},
            ],
        },
        {"code": "stone", "display": "Stone"},
    ],
    hierarchyMeaning="is-a",
)


async def store(client: httpx.AsyncClient, resource: Json, name: str) -> None:
    """Store a resource under an id."""
    answer = await client.put(f"{resource['resourceType']}/{name}", json={**resource, "id": name})
    assert answer.status_code in (200, 201), answer.text


async def codes(client: httpx.AsyncClient, url: str, **parameters: Any) -> list[str]:
    """Return the codes of an expansion in their order, without its hierarchy."""
    query = {"url": url, "excludeNested": "true", **parameters}
    answer = await client.get("ValueSet/$expand", params=query)
    assert answer.status_code == 200, answer.text
    return [each["code"] for each in answer.json()["expansion"].get("contains", [])]


def outputs(answer: httpx.Response) -> Json:
    """Return the primitive outputs of an operation by name."""
    assert answer.status_code == 200, answer.text
    body = answer.json()["parameter"]
    return {each["name"]: value for each in body for name, value in each.items() if name.startswith("value")}


async def is_member(client: httpx.AsyncClient, url: str, system: str, code: str) -> bool:
    """Return whether $validate-code finds a code in a value set."""
    query = {"url": url, "system": system, "code": code}
    return bool(outputs(await client.get("ValueSet/$validate-code", params=query))["result"])
