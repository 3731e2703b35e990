"""A view shows what a search shows, and no row more."""

from __future__ import annotations

from typing import Any

import httpx

from tests.smart_server import SmartServer

RUN = "ViewDefinition/$viewdefinition-run"


def view(resource_type: str, path: str = "getResourceKey()") -> dict[str, Any]:
    definition = {
        "resourceType": "ViewDefinition",
        "resource": resource_type,
        "select": [{"column": [{"name": "key", "path": path}]}],
    }
    return {"resourceType": "Parameters", "parameter": [{"name": "viewResource", "resource": definition}]}


async def client_of(smart: SmartServer, scope: str) -> httpx.AsyncClient:
    app = await smart.add_client(scope, secret=True, redirect_uris=[])
    answer = await app.token(grant_type="client_credentials", scope=scope)
    assert answer.status_code == 200, answer.text
    return smart.fhir(answer.json()["access_token"])


async def test_a_view_shows_no_more_than_the_scopes(smart: SmartServer) -> None:
    """A type that the token may not search is 403; a granular scope leaves out what it does not name."""
    async with await client_of(smart, "system/*.cruds") as everything:
        for gender in ("female", "male"):
            patient = {"resourceType": "Patient", "id": f"view-{gender}", "gender": gender}
            assert (await everything.put(f"Patient/view-{gender}", json=patient)).status_code in (200, 201)
    async with await client_of(smart, "system/Patient.rs?gender=female") as some:
        answer = await some.post(RUN, json=view("Patient"), headers={"Accept": "application/json"})
        keys = {row["key"] for row in answer.json()}
        assert "Patient/view-female" in keys
        assert "Patient/view-male" not in keys
        assert (await some.post(RUN, json=view("Observation"))).status_code == 403
    async with await client_of(smart, "system/Patient.r") as reader:
        assert (await reader.post(RUN, json=view("Patient"))).status_code == 403
    async with smart.fhir("no-such-token") as nobody:
        assert (await nobody.post(RUN, json=view("Patient"))).status_code == 401
