"""The files of a bulk export are for who asked for it alone, with a token that covers them at the download."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.smart_server import App, SmartServer

ASYNC = {"Prefer": "respond-async"}


async def service(smart: SmartServer, scope: str) -> App:
    return await smart.add_client(scope, secret=True, redirect_uris=[])


async def client_of(smart: SmartServer, app: App, scope: str) -> httpx.AsyncClient:
    answer = await app.token(grant_type="client_credentials", scope=scope)
    assert answer.status_code == 200, answer.text
    return smart.fhir(answer.json()["access_token"])


async def finished(client: httpx.AsyncClient, url: str) -> tuple[str, dict[str, Any]]:
    answer = await client.get(url, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    status = answer.headers["content-location"]
    return status, await manifest_at(client, status)


async def manifest_at(client: httpx.AsyncClient, status: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while (answer := await client.get(status)).status_code == 202:  # noqa: ASYNC110 - it is asked as clients ask
            await asyncio.sleep(0.1)
    assert answer.status_code == 200, answer.text
    manifest: dict[str, Any] = answer.json()
    return manifest


async def resources(client: httpx.AsyncClient, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    collected = []
    for file in manifest["output"]:
        answer = await client.get(file["url"])
        assert answer.status_code == 200, answer.text
        collected += [json.loads(line) for line in answer.text.splitlines()]
    return collected


async def fill(smart: SmartServer) -> None:
    async with smart.fhir(await smart.system_token("system/*.cruds")) as client:
        for name in "ab":
            await client.put(f"Patient/{name}", json={"resourceType": "Patient", "id": name})
            category = [{"coding": [{"code": "laboratory" if name == "a" else "vital-signs"}]}]
            observation = {
                "resourceType": "Observation",
                "id": name,
                "status": "final",
                "category": category,
                "code": {"text": "x"},
                "subject": {"reference": f"Patient/{name}"},
            }
            assert (await client.put(f"Observation/{name}", json=observation)).status_code == 201


async def test_nobody_sees_the_export_of_another_client(smart: SmartServer) -> None:
    await fill(smart)
    own = await client_of(smart, await service(smart, "system/*.rs"), "system/*.rs")
    other = await client_of(smart, await service(smart, "system/*.cruds"), "system/*.cruds")
    status, manifest = await finished(own, "$export")
    urls = [status, manifest["output"][0]["url"]]
    absent = await other.get(status.rpartition("/")[0] + "/0190a0a0-0000-7000-8000-000000000000")
    for url in urls:
        assert (await other.get(url)).status_code == 404
        assert (await smart.fhir().get(url)).status_code == 401
    assert (await other.get(status)).json()["issue"] == absent.json()["issue"]
    assert (await other.delete(status)).status_code == 404
    assert (await own.get(status)).status_code == 200


async def test_a_download_needs_a_token_that_covers_the_file(smart: SmartServer) -> None:
    await fill(smart)
    app = await service(smart, "system/Patient.rs system/Observation.rs")
    _, manifest = await finished(await client_of(smart, app, "system/Patient.rs system/Observation.rs"), "$export")
    urls = {file["type"]: file["url"] for file in manifest["output"]}
    narrow = await client_of(smart, app, "system/Patient.rs")
    assert (await narrow.get(urls["Patient"])).status_code == 200
    assert (await narrow.get(urls["Observation"])).status_code == 403
    granular = await client_of(smart, app, "system/Observation.rs?category=laboratory")
    assert (await granular.get(urls["Observation"])).status_code == 403


async def test_an_export_has_what_the_scopes_cover(smart: SmartServer) -> None:
    await fill(smart)
    scope = "system/Observation.rs?category=laboratory"
    client = await client_of(smart, await service(smart, scope), scope)
    for url in ("$export", "Patient/$export"):
        _, manifest = await finished(client, url)
        assert [each["id"] for each in await resources(client, manifest)] == ["a"]
    for url in ("$export?_type=Patient", "$export?_type=Observation,Patient&_typeFilter=Patient?gender=male"):
        assert (await client.get(url, headers=ASYNC)).status_code == 403


async def test_a_patient_exports_the_own_record(smart: SmartServer) -> None:
    await fill(smart)
    await smart.add_user("anna", "patient", "Patient/a")
    client = smart.fhir(await smart.token_for("anna", "patient/*.rs"))
    form = {"name": "patient", "valueReference": {"reference": "Patient/b"}}
    for url in ("$export?_type=Patient,Observation", "Patient/$export"):
        _, manifest = await finished(client, url)
        result = await resources(client, manifest)
        assert {each["id"] for each in result} == {"a"}
    answer = await client.post(
        "Patient/$export", json={"resourceType": "Parameters", "parameter": [form]}, headers=ASYNC
    )
    manifest = await manifest_at(client, answer.headers["content-location"])
    assert manifest["output"] == []


async def test_a_revoked_client_downloads_nothing(smart: SmartServer) -> None:
    await fill(smart)
    app = await service(smart, "system/*.rs")
    client = await client_of(smart, app, "system/*.rs")
    _, manifest = await finished(client, "$export")
    await smart.store.grants.revoke_client(app.client_id)
    assert (await client.get(manifest["output"][0]["url"])).status_code == 401


@pytest.mark.parametrize("name", ["..%2f..%2fPatient", "x.ndjson", "%00", ".ndjson", "a" * 5000])
async def test_file_names_lead_nowhere_else(smart: SmartServer, name: str) -> None:
    await fill(smart)
    client = await client_of(smart, await service(smart, "system/*.rs"), "system/*.rs")
    status, _ = await finished(client, "$export?_type=Patient")
    answer = await client.get(f"{status}/{name}")
    assert answer.status_code in (400, 404)
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_a_bundle_starts_no_export(smart: SmartServer) -> None:
    client = await client_of(smart, await service(smart, "system/*.cruds"), "system/*.cruds")
    entry = {"request": {"method": "GET", "url": "$export"}}
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [entry]}
    answer = await client.post("", json=batch)
    assert answer.json()["entry"][0]["response"]["status"].startswith("400")
    later = await client.post("", json=batch, headers=ASYNC)
    answered = await manifest_at(client, later.headers["content-location"])
    assert answered["entry"][0]["resource"]["entry"][0]["response"]["status"].startswith("400")


async def test_an_answer_given_later_is_for_the_same_rights(smart: SmartServer) -> None:
    await fill(smart)
    app = await service(smart, "system/*.rs")
    client = await client_of(smart, app, "system/*.rs")
    status = (await client.get("Patient", headers=ASYNC)).headers["content-location"]
    await manifest_at(client, status)
    assert (await (await client_of(smart, app, "system/Observation.rs")).get(status)).status_code == 403
    other = await client_of(smart, await service(smart, "system/*.rs"), "system/*.rs")
    assert (await other.get(status)).status_code == 404
