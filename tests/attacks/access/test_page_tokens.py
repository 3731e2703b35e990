"""A paging link works only on its own path and query: elsewhere it would show what nobody asked for there."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from fhir_server.store.database.mongo import Database
from tests.smart_server import SmartServer, smart_server

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
        body: dict[str, Any] = answer.json()
        return body

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


BEYOND = [
    "Patient?_has:Observation:subject:status=final&_count=1",
    "Patient?_has:Observation:subject:status=final&_count=1&_total=accurate",
    "Patient?_count=1&_revinclude=Observation:subject",
    "Patient?_count=1&_revinclude=*&_sort=_id",
]


@pytest.mark.parametrize("path", BEYOND)
async def test_a_link_tells_a_narrower_token_nothing(smart: SmartServer, path: str) -> None:
    """What a wider token's link knows of types that the follower may not see is told by no total, place or include."""
    wide = smart.fhir(await smart.system_token("system/*.cruds"))
    await _stored(wide)
    narrow = smart.fhir(await smart.system_token("system/Patient.rs"))
    answer = await wide.get(path)
    assert answer.status_code == 200, answer.text
    url = f"Patient?_page={_token(answer.json())}"
    own, followed = (await narrow.get(path)).json(), (await narrow.get(url)).json()
    assert _told(followed) == _told(own)
    assert _told(own) != _told(answer.json())
    assert (await wide.get(url)).json()["entry"]


def _told(bundle: dict[str, Any]) -> tuple[Any, list[str], list[str]]:
    links = [each["relation"] for each in bundle["link"]]
    return bundle.get("total"), [each["fullUrl"] for each in bundle.get("entry", ())], links


async def test_a_link_names_no_type_beyond_the_scopes(smart: SmartServer) -> None:
    """A search that the token may not ask for is refused by its link, too."""
    wide = smart.fhir(await smart.system_token("system/*.cruds"))
    await _stored(wide)
    token = _token((await wide.get("?_type=Patient,Observation&_count=1")).json())
    for scope in ("system/Patient.rs", "system/*.cd"):
        narrow = smart.fhir(await smart.system_token(scope))
        for url in ("?_type=Patient,Observation&_count=1", f"?_page={token}"):
            answer = await narrow.get(url)
            assert answer.status_code == 403, (scope, url)
            assert answer.json()["resourceType"] == "OperationOutcome"


async def test_a_link_ends_with_the_token(smart: SmartServer) -> None:
    """It opens nothing without a token, nor with one that was revoked."""
    app = await smart.add_client("system/*.cruds", secret=True, redirect_uris=[])
    granted = (await app.token(grant_type="client_credentials", scope="system/*.cruds")).json()
    client = smart.fhir(granted["access_token"])
    await _stored(client)
    url = f"Observation?_page={_token((await client.get('Observation?_count=1')).json())}"
    assert (await client.get(url)).status_code == 200
    assert (await smart.fhir().get(url)).status_code == 401
    await smart.store.grants.revoke_client(app.client_id)
    assert (await client.get(url)).status_code == 401


async def test_a_link_follows_the_policy_of_now(database: Database, mongod_url: str, tmp_path: Path) -> None:
    """A link that staff got under a wider policy shows what the policy shows now."""
    urls = {}
    for policy in ("all", "treatment"):
        async with smart_server(mongod_url, database.name, tmp_path, staff_sees=policy) as server:
            if policy == "all":
                await _stored(server.fhir(await server.system_token("system/*.cruds")))
                await server.add_user("dora", "practitioner", "Practitioner/dora")
            client = server.fhir(await server.token_for("dora", "user/*.rs"))
            if policy == "all":
                urls = {path: _token((await client.get(path)).json()) for path in ("Observation?_count=1", "?_count=1")}
                continue
            for path, token in urls.items():
                bundle = (await client.get(f"{path.partition('?')[0]}?_page={token}")).json()
                assert not [each for each in bundle.get("entry", ()) if each["search"]["mode"] == "match"], path
                assert not bundle.get("total")


def _parameters(path: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in path.partition("?")[2].split("&"))
