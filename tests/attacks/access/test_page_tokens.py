"""A paging link works only on its own path and query: elsewhere it would show what nobody asked for there."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

PATHS = [
    "Patient?_count=1",
    "Observation?_count=1",
    "Patient/a/Observation?_count=1",
    "Patient/b/Observation?_count=1",
    "Patient/a/*?_count=1",
    "?_type=Patient&_count=1",
    "?_count=1",
    "Observation?_count=1&code=x",
    "Patient/$everything?_count=1",
    "Patient/a/$everything?_count=1",
    "Patient/a/$everything?_count=1&_type=Observation",
    "Patient/b/$everything?_count=1",
    "Patient/_history?_count=1",
    "Patient/a/_history?_count=1",
    "_history?_count=1",
]


async def _stored(client: httpx.AsyncClient) -> None:
    for name in "ab":
        for _ in range(2):
            await client.put(f"Patient/{name}", json={"resourceType": "Patient", "id": name, "language": "en"})
            await client.put(f"Patient/{name}", json={"resourceType": "Patient", "id": name, "language": "de"})
        for number in "12":
            await client.put(
                f"Observation/{name}{number}",
                json={
                    "resourceType": "Observation",
                    "id": f"{name}{number}",
                    "status": "final",
                    "code": {"coding": [{"code": "x"}]},
                    "subject": {"reference": f"Patient/{name}"},
                },
            )


def _token(bundle: dict[str, Any]) -> str:
    url = next(each["url"] for each in bundle["link"] if each["relation"] == "next")
    return parse_qs(urlsplit(url).query)["_page"][0]


def _place(path: str) -> tuple[str, str]:
    route, _, query = path.partition("?")
    # How many stand on a page of a history is no part of what it is a history of.
    return route, query if "$everything" in route else "&".join(
        each for each in query.split("&") if "_count" not in each
    )


async def test_a_token_leads_nowhere_else(client: httpx.AsyncClient) -> None:
    """Of every pair of different searches, records and histories the link of one is refused by the other."""
    await _stored(client)
    tokens = {}
    for path in PATHS:
        answer = await client.get(path)
        tokens[path] = _token(answer.json())
    for own, token in tokens.items():
        for path in PATHS:
            answer = await client.get(path, params={**_parameters(path), "_page": token})
            fits = own == path or (_place(own)[0] == _place(path)[0] and not _place(path)[1] and "$" not in path)
            assert (answer.status_code == 200) == fits, (own, path, answer.text)
            if not fits:
                assert answer.status_code == 400
                assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("more", ["code=y", "subject=Patient/b", "_include=Observation:subject", "_count=2", "_page=x"])
async def test_a_link_takes_no_other_criteria(client: httpx.AsyncClient, more: str) -> None:
    """What stands beside the token would pass for a criterion, and is not one."""
    await _stored(client)
    token = _token((await client.get("Observation?_count=1&code=x")).json())
    assert (await client.get(f"Observation?_page={token}&_format=json&code=x")).status_code == 200
    assert (await client.get(f"Observation?_page={token}&{more}")).status_code == 400
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await client.post("Observation/_search", content=f"_page={token}", headers=form)).status_code == 200
    assert (await client.post("Observation/_search", content=f"_page={token}&{more}", headers=form)).status_code == 400
    assert (await client.post("Patient/_search", content=f"_page={token}", headers=form)).status_code == 400


async def test_a_cursor_of_graphql_belongs_to_its_arguments(client: httpx.AsyncClient) -> None:
    """The cursor of one connection is refused with other arguments and on another type."""
    await _stored(client)

    async def ask(text: str) -> dict[str, Any]:
        answer = await client.post("$graphql", json={"query": text}, headers={"Content-Type": "application/json"})
        found: dict[str, Any] = answer.json()
        return found

    first = await ask('{ObservationConnection(code:"x", _count:1) {next}}')
    cursor = first["data"]["ObservationConnection"]["next"]
    same = await ask(f'{{ObservationConnection(code:"x", _count:1, _cursor:"{cursor}") {{pagesize}}}}')
    assert same["data"]["ObservationConnection"]["pagesize"] == 1
    for other in (
        'ObservationConnection(code:"y"',
        'PatientConnection(name:"x"',
        'ObservationConnection(status:"final"',
    ):
        refused = await ask(f'{{{other}, _cursor:"{cursor}") {{pagesize}}}}')
        assert "errors" in refused, refused


def _parameters(path: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in path.partition("?")[2].split("&"))
