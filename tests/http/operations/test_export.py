"""Bulk exports over HTTP: kick-off, progress, manifest and files, and that an export is as of its moment."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest

from fhir_server.engine.bulk.steps import Limits, take_step
from fhir_server.engine.context import Services
from fhir_server.store.work.exports import ExportStore
from tests.client import BASE

ASYNC = {"Prefer": "respond-async", "Accept": "application/fhir+json"}


async def kick_off(client: httpx.AsyncClient, url: str, **headers: str) -> str:
    answer = await client.get(url, headers=ASYNC | headers)
    assert answer.status_code == 202, answer.text
    return answer.headers["content-location"]


_LIMITS = Limits()


async def carry_out(services: Services, limits: Limits = _LIMITS) -> None:
    store = ExportStore(services.database)
    while waiting := await store.unfinished():
        for export in waiting:
            assert await take_step(services, store, export, limits)


async def lines(client: httpx.AsyncClient, manifest: dict[str, Any], kind: str = "output") -> list[dict[str, Any]]:
    collected = []
    for file in manifest[kind]:
        answer = await client.get(file["url"], headers={"Accept": "application/fhir+ndjson"})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/fhir+ndjson"
        own = [json.loads(line) for line in answer.text.splitlines()]
        assert len(own) == file["count"]
        assert all(each["resourceType"] == file["type"] for each in own)
        collected += own
    return collected


async def exported(client: httpx.AsyncClient, services: Services, url: str) -> dict[str, Any]:
    status = await kick_off(client, url)
    assert (await client.get(status)).status_code == 202
    await carry_out(services)
    answer = await client.get(status)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    manifest: dict[str, Any] = answer.json()
    return manifest


def names(resources: list[dict[str, Any]]) -> set[str]:
    return {f"{each['resourceType']}/{each['id']}" for each in resources}


async def store(client: httpx.AsyncClient, *resources: dict[str, Any]) -> None:
    for resource in resources:
        answer = await client.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code in (200, 201), answer.text


def patient(name: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": name, **more}


def weight(name: str, of: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": {"text": "weight"},
        "subject": {"reference": f"Patient/{of}"},
        **more,
    }


ORGANIZATION = {"resourceType": "Organization", "id": "o", "name": "A clinic"}


async def test_system_export_has_everything_once(client: httpx.AsyncClient, services: Services) -> None:
    await store(client, patient("a"), patient("b"), weight("w", "a"), ORGANIZATION)
    manifest = await exported(client, services, "$export")
    assert names(await lines(client, manifest)) == {"Patient/a", "Patient/b", "Observation/w", "Organization/o"}
    assert manifest["request"] == f"{BASE}/$export"
    assert manifest["requiresAccessToken"] is False
    assert manifest["error"] == []
    assert manifest["deleted"] == []


async def test_patient_export_leaves_out_what_is_nobodys(client: httpx.AsyncClient, services: Services) -> None:
    await store(client, patient("a"), weight("w", "a"), ORGANIZATION)
    manifest = await exported(client, services, "Patient/$export")
    assert names(await lines(client, manifest)) == {"Patient/a", "Observation/w"}


async def test_patients_that_are_named(client: httpx.AsyncClient, services: Services) -> None:
    await store(client, patient("a"), patient("b"), weight("w", "a"), weight("v", "b"))
    form = {
        "resourceType": "Parameters",
        "parameter": [{"name": "patient", "valueReference": {"reference": "Patient/b"}}],
    }
    answer = await client.post("Patient/$export", json=form, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    await carry_out(services)
    manifest = (await client.get(answer.headers["content-location"])).json()
    assert names(await lines(client, manifest)) == {"Patient/b", "Observation/v"}


def group(*members: str, **more: Any) -> dict[str, Any]:
    entities = [{"entity": {"reference": f"Patient/{name}"}} for name in members]
    return {"resourceType": "Group", "id": "g", "type": "person", "actual": True, "member": entities, **more}


async def test_group_export_is_of_its_members(client: httpx.AsyncClient, services: Services) -> None:
    await store(client, patient("a"), patient("b"), patient("c"), weight("w", "a"), weight("v", "b"))
    gone = {"entity": {"reference": "Patient/c"}, "inactive": True}
    left = {"entity": {"reference": "Patient/b"}, "period": {"end": "2020-01-01"}}
    await store(client, group("a") | {"member": [*group("a")["member"], gone, left]})
    manifest = await exported(client, services, "Group/g/$export?_type=Patient,Observation")
    assert names(await lines(client, manifest)) == {"Patient/a", "Observation/w"}


async def test_a_group_described_by_a_query(client: httpx.AsyncClient, services: Services) -> None:
    await store(client, patient("a", gender="female"), patient("b", gender="male"), weight("w", "a"), weight("v", "b"))
    described = {
        "resourceType": "Group",
        "id": "g",
        "type": "person",
        "actual": False,
        "extension": [
            {
                "url": "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/member-filter",
                "valueExpression": {"language": "application/x-fhir-query", "expression": "Patient?gender=female"},
            }
        ],
    }
    await store(client, described)
    manifest = await exported(client, services, "Group/g/$export?_type=Patient,Observation")
    assert names(await lines(client, manifest)) == {"Patient/a", "Observation/w"}


async def test_since_has_the_whole_record_of_new_members(client: httpx.AsyncClient, services: Services) -> None:
    await store(client, patient("a"), patient("b"), weight("w", "a"), weight("v", "b"), group("a"))
    since = (await exported(client, services, "Group/g/$export"))["transactionTime"]
    await store(client, group("a", "b"), weight("x", "a"))
    manifest = await exported(client, services, f"Group/g/$export?_since={since}&_type=Patient,Observation")
    assert names(await lines(client, manifest)) == {"Patient/b", "Observation/v", "Observation/x"}


async def test_since_tells_what_was_deleted(client: httpx.AsyncClient, services: Services) -> None:
    await store(client, patient("a"), weight("w", "a"), weight("v", "a"))
    since = (await exported(client, services, "$export"))["transactionTime"]
    await client.delete("Observation/w")
    manifest = await exported(client, services, f"Patient/$export?_since={since}")
    assert manifest["output"] == []
    (bundle,) = await lines(client, manifest, "deleted")
    assert bundle["type"] == "transaction"
    assert [entry["request"] for entry in bundle["entry"]] == [{"method": "DELETE", "url": "Observation/w"}]


async def test_type_filters(client: httpx.AsyncClient, services: Services) -> None:
    await store(
        client, patient("a", gender="female"), patient("b"), weight("w", "a"), weight("v", "b", status="amended")
    )
    filters = "_typeFilter=Observation?status=amended&_typeFilter=Patient?gender=female"
    manifest = await exported(client, services, f"$export?_type=Patient,Observation&{filters}")
    assert names(await lines(client, manifest)) == {"Patient/a", "Observation/v"}
    chained = "_type=Observation&_typeFilter=Observation%3Fsubject%3APatient.gender%3Dfemale"
    manifest = await exported(client, services, f"$export?{chained}")
    assert names(await lines(client, manifest)) == {"Observation/w"}


async def test_elements(client: httpx.AsyncClient, services: Services) -> None:
    await store(client, patient("a", gender="female", birthDate="1970-01-01"))
    manifest = await exported(client, services, "Patient/$export?_elements=birthDate")
    (one,) = await lines(client, manifest)
    assert "gender" not in one
    assert one["birthDate"] == "1970-01-01"
    assert one["meta"]["tag"][0]["code"] == "SUBSETTED"


async def test_what_changes_after_the_moment_is_as_it_was(client: httpx.AsyncClient, services: Services) -> None:
    """Updated, deleted, moved to another patient and created after the export began, before its files are made."""
    await store(client, patient("a", gender="female"), patient("b"), weight("w", "a"), weight("v", "b"))
    status = await kick_off(client, "Patient/$export?_typeFilter=Patient?gender=female&_type=Patient,Observation")
    exports = ExportStore(services.database)
    (export,) = await exports.unfinished()
    assert await take_step(services, exports, export)  # fixes the moment
    await store(client, patient("a", gender="male"), weight("w", "b"), patient("late", gender="female"))
    await client.delete("Observation/v")
    await carry_out(services)
    manifest = (await client.get(status)).json()
    result = await lines(client, manifest)
    assert names(result) == {"Patient/a", "Observation/w", "Observation/v"}
    assert {each["id"]: each.get("gender") for each in result if each["resourceType"] == "Patient"} == {"a": "female"}
    assert next(each["subject"] for each in result if each["id"] == "w") == {"reference": "Patient/a"}


async def test_files_are_cut_and_hold_each_resource_once(client: httpx.AsyncClient, services: Services) -> None:
    await store(client, patient("a"), *(weight(f"w{number}", "a") for number in range(7)))
    status = await kick_off(client, "$export")
    await carry_out(services, Limits(resources=1))
    manifest = (await client.get(status)).json()
    assert len(await lines(client, manifest)) == 8


async def test_a_file_by_range_and_compressed(client: httpx.AsyncClient, services: Services) -> None:
    await store(client, patient("a"), patient("b"))
    manifest = await exported(client, services, "$export")
    url = manifest["output"][0]["url"]
    whole = (await client.get(url, headers={"Accept-Encoding": "identity"})).content
    part = await client.get(url, headers={"Accept-Encoding": "identity", "Range": "bytes=5-24"})
    assert part.status_code == 206
    assert part.content == whole[5:25]
    assert part.headers["content-range"] == f"bytes 5-24/{len(whole)}"
    async with client.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        packed = b"".join([piece async for piece in answer.aiter_raw()])
    assert gzip.decompress(packed) == whole
    async with client.stream("GET", url, headers={"Accept-Encoding": "gzip", "Range": "bytes=10-"}) as answer:
        assert answer.status_code == 206
        assert b"".join([piece async for piece in answer.aiter_raw()]) == packed[10:]
    beyond = await client.get(url, headers={"Accept-Encoding": "identity", "Range": f"bytes={len(whole)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    several = await client.get(url, headers={"Accept-Encoding": "identity", "Range": "bytes=0-1,5-6"})
    assert (several.status_code, several.content) == (200, whole)


async def test_delete_ends_an_export(client: httpx.AsyncClient, services: Services) -> None:
    await store(client, patient("a"))
    status = await kick_off(client, "$export")
    assert (await client.delete(status)).status_code == 202
    assert (await client.get(status)).status_code == 404
    assert await ExportStore(services.database).unfinished() == []
    manifest = await exported(client, services, "$export")
    url = manifest["output"][0]["url"]
    assert (await client.delete(url.rpartition("/")[0])).status_code == 202
    assert (await client.get(url)).status_code == 404
    assert await services.database.collection("exports.files").count_documents({}) == 0


async def test_a_step_of_an_export_that_was_ended_leaves_nothing(client: httpx.AsyncClient, services: Services) -> None:
    await store(client, patient("a"))
    status = await kick_off(client, "Patient/$export?_type=Patient")
    exports = ExportStore(services.database)
    (export,) = await exports.unfinished()
    await take_step(services, exports, export)
    (export,) = await exports.unfinished()
    await client.delete(status)
    assert not await take_step(services, exports, export)
    assert await services.database.collection("exports.files").count_documents({}) == 0


async def test_two_workers_never_add_the_same_part(client: httpx.AsyncClient, services: Services) -> None:
    await store(client, patient("a"))
    status = await kick_off(client, "Patient/$export?_type=Patient")
    exports = ExportStore(services.database)
    (export,) = await exports.unfinished()
    await take_step(services, exports, export)
    (export,) = await exports.unfinished()
    assert [await take_step(services, exports, export) for _ in range(2)] == [True, False]
    manifest = (await client.get(status)).json()
    assert [file["count"] for file in manifest["output"]] == [1]


async def test_what_is_purged_is_in_no_file_any_more(client: httpx.AsyncClient, services: Services) -> None:
    await store(client, patient("a"), weight("w", "a"))
    manifest = await exported(client, services, "$export")
    waiting = await kick_off(client, "$export")
    exports = ExportStore(services.database)
    (export,) = await exports.unfinished()
    await take_step(services, exports, export)
    await client.post("Observation/w/$purge")
    assert (await client.get(manifest["output"][0]["url"])).status_code == 404
    await carry_out(services)
    answer = await lines(client, (await client.get(waiting)).json())
    assert names(answer) == {"Patient/a"}


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("$export?_type=Patience", "Patience"),
        ("$export?_outputFormat=text/csv", "_outputFormat"),
        ("$export?_since=yesterday", "_since"),
        ("$export?_typeFilter=Observation?foo=bar", "foo"),
        ("$export?_type=Patient&_typeFilter=Observation?status=final", "_typeFilter"),
        ("$export?_typeFilter=Observation?_sort=date", "_typeFilter"),
        ("$export?_elements=fantasy", "fantasy"),
        ("$export?includeAssociatedData=Everything", "includeAssociatedData"),
        ("$export?_since=2021-01-01T00:00:00Z&_until=2020-01-01T00:00:00Z", "_until"),
        ("Patient/$export?_type=Organization", "Organization"),
        ("$export?organizeOutputBy=Patient", "organizeOutputBy"),
    ],
)
async def test_what_cannot_be_exported_is_said_at_once(client: httpx.AsyncClient, url: str, named: str) -> None:
    answer = await client.get(url, headers=ASYNC)
    assert answer.status_code == 400
    assert named in answer.json()["issue"][0]["diagnostics"]


async def test_it_takes_the_async_preference(client: httpx.AsyncClient) -> None:
    answer = await client.get("$export")
    assert answer.status_code == 400
    assert "respond-async" in answer.json()["issue"][0]["diagnostics"]


async def test_an_unknown_group(client: httpx.AsyncClient) -> None:
    assert (await client.get("Group/none/$export", headers=ASYNC)).status_code == 404


async def test_too_many_at_once(client: httpx.AsyncClient, services: Services) -> None:
    for _ in range(services.settings.max_exports):
        await kick_off(client, "$export")
    answer = await client.get("$export", headers=ASYNC)
    assert answer.status_code == 429
    assert "retry-after" in answer.headers
