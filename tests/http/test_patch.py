"""The patch interaction: JSON Patch and FHIRPath Patch on a stored resource."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

PATIENT: dict[str, Any] = {"resourceType": "Patient", "id": "a", "active": True, "name": [{"family": "Rossi"}]}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


def replace(path: str, value: dict[str, Any]) -> dict[str, Any]:
    """Return a FHIRPath Patch that replaces what the path finds."""
    parts = [{"name": "type", "valueCode": "replace"}, {"name": "path", "valueString": path}, {"name": "value"} | value]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


async def test_both_forms_of_patch_make_the_next_version(client: httpx.AsyncClient) -> None:
    """JSON Patch by its media type, FHIRPath Patch as a Parameters resource."""
    await client.put("Patient/a", json=PATIENT)
    operations = [{"op": "test", "path": "/active", "value": True}, {"op": "remove", "path": "/active"}]
    by_json = await client.patch("Patient/a", json=operations, headers=JSON_PATCH)
    assert by_json.status_code == 200
    assert by_json.headers["ETag"] == 'W/"2"'
    assert "active" not in by_json.json()
    by_path = await client.patch("Patient/a", json=replace("Patient.name.family", {"valueString": "Bianchi"}))
    assert by_path.headers["ETag"] == 'W/"3"'
    assert by_path.json()["name"][0]["family"] == "Bianchi"
    history = (await client.get("Patient/a/_history")).json()
    assert [entry["request"]["method"] for entry in history["entry"]] == ["PATCH", "PATCH", "PUT"]


@pytest.mark.parametrize(
    ("operations", "status"),
    [
        ([{"op": "test", "path": "/active", "value": False}], 422),
        ([{"op": "replace", "path": "/id", "value": "b"}], 422),
        ([{"op": "replace", "path": "/resourceType", "value": "Group"}], 422),
        ([{"op": "replace", "path": "/active", "value": "yes"}], 422),
        ([{"op": "add", "path": "/unknown", "value": 1}], 422),
        ([{"op": "remove", "path": "/gender"}], 422),
        ([{"op": "shake", "path": "/active"}], 400),
        ([{"path": "/active"}], 400),
        ({"op": "remove"}, 400),
        ("remove", 400),
        ([1], 400),
        (None, 400),
    ],
)
async def test_a_patch_that_fails_changes_nothing(client: httpx.AsyncClient, operations: Any, status: int) -> None:
    """Trap 40: a failed test, a change of id or type, an invalid result, a malformed patch: 4xx, no version."""
    await client.put("Patient/a", json=PATIENT)
    answer = await client.patch("Patient/a", json=operations, headers=JSON_PATCH)
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert (await client.get("Patient/a")).headers["ETag"] == 'W/"1"'


async def test_a_patch_that_changes_nothing_makes_no_version(client: httpx.AsyncClient) -> None:
    """Trap 30: version and lastUpdated stay."""
    before = await client.put("Patient/a", json=PATIENT)
    same = await client.patch(
        "Patient/a", json=[{"op": "replace", "path": "/active", "value": True}], headers=JSON_PATCH
    )
    assert same.content == before.content


async def test_only_what_is_there_can_be_patched(client: httpx.AsyncClient) -> None:
    """404 for what never was, 410 for what was deleted, 412 for another version than If-Match names."""
    patch = [{"op": "add", "path": "/active", "value": False}]
    assert (await client.patch("Patient/a", json=patch, headers=JSON_PATCH)).status_code == 404
    await client.put("Patient/a", json=PATIENT)
    stale = await client.patch("Patient/a", json=patch, headers=JSON_PATCH | {"If-Match": 'W/"7"'})
    assert stale.status_code == 412
    await client.delete("Patient/a")
    assert (await client.patch("Patient/a", json=patch, headers=JSON_PATCH)).status_code == 410


async def test_parallel_patches_all_take_effect(client: httpx.AsyncClient) -> None:
    """30 patches that each add a name leave 31 names and 31 versions."""
    await client.put("Patient/a", json=PATIENT)
    patches = [[{"op": "add", "path": "/name/-", "value": {"family": f"N{n}"}}] for n in range(30)]
    answers = await asyncio.gather(*(client.patch("Patient/a", json=patch, headers=JSON_PATCH) for patch in patches))
    assert {answer.status_code for answer in answers} == {200}
    read = await client.get("Patient/a")
    assert len(read.json()["name"]) == 31
    assert read.headers["ETag"] == 'W/"31"'


def _told(status: str) -> dict[str, Any]:
    return PATIENT | {"text": {"status": status, "div": '<div xmlns="http://www.w3.org/1999/xhtml">Rossi</div>'}}


@pytest.mark.parametrize("status", ["generated", "extensions"])
async def test_a_generated_narrative_does_not_outlive_the_data_it_tells_of(
    client: httpx.AsyncClient, status: str
) -> None:
    """R4: after a patch the narrative must not be unsafe; one that was generated goes when the data change."""
    await client.put("Patient/a", json=_told(status))
    kept = await client.patch(
        "Patient/a", json=[{"op": "add", "path": "/meta/source", "value": "urn:x"}], headers=JSON_PATCH
    )
    assert "text" in kept.json()
    by_path = await client.patch("Patient/a", json=replace("Patient.name.family", {"valueString": "Bianchi"}))
    assert by_path.status_code == 200
    assert "text" not in by_path.json()
    assert "text" not in (await client.get("Patient/a")).json()


async def test_a_narrative_that_the_patch_renews_stays(client: httpx.AsyncClient) -> None:
    """Who patches the text together with the data has seen to it."""
    await client.put("Patient/a", json=_told("generated"))
    div = '<div xmlns="http://www.w3.org/1999/xhtml">Bianchi</div>'
    operations = [
        {"op": "replace", "path": "/name/0/family", "value": "Bianchi"},
        {"op": "replace", "path": "/text/div", "value": div},
    ]
    answer = await client.patch("Patient/a", json=operations, headers=JSON_PATCH)
    assert answer.json()["text"]["div"] == div


async def test_a_narrative_that_says_more_than_the_data_is_not_thrown_away(client: httpx.AsyncClient) -> None:
    """A text with additional information must be patched with the data: else 422 and no version; an empty one stays."""
    change = [{"op": "replace", "path": "/active", "value": False}]
    await client.put("Patient/a", json=_told("additional"))
    refused = await client.patch("Patient/a", json=change, headers=JSON_PATCH)
    assert refused.status_code == 422
    assert refused.json()["issue"][0]["expression"] == ["Patient.text"]
    assert (await client.get("Patient/a")).headers["ETag"] == 'W/"1"'
    removed = await client.patch("Patient/a", json=[*change, {"op": "remove", "path": "/text"}], headers=JSON_PATCH)
    assert removed.status_code == 200
    await client.put("Patient/a", json=_told("empty"))
    assert "text" in (await client.patch("Patient/a", json=change, headers=JSON_PATCH)).json()
