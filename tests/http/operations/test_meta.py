"""$meta, $meta-add and $meta-delete."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fhir_server.engine.context import Services

TAG = {"system": "http://tags.test", "code": "x", "display": "X"}
OTHER = {"system": "http://tags.test", "code": "y"}
LABEL = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
PROFILE = "http://profiles.test/StructureDefinition/p"


def parameters(meta: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}


def meta_of(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    (parameter,) = response.json()["parameter"]
    assert parameter["name"] == "return"
    result: dict[str, Any] = parameter["valueMeta"]
    return result


@pytest.fixture
async def stored(client: httpx.AsyncClient) -> dict[str, Any]:
    """Store Patient/a with a tag."""
    resource = {"resourceType": "Patient", "id": "a", "meta": {"source": "urn:x", "tag": [TAG]}, "active": True}
    answer = await client.put("Patient/a", json=resource)
    body: dict[str, Any] = answer.json()
    return body


async def test_meta_is_what_a_read_shows(client: httpx.AsyncClient, stored: dict[str, Any]) -> None:
    """$meta of a resource answers with the meta of its current version."""
    assert meta_of(await client.get("Patient/a/$meta")) == stored["meta"]
    assert meta_of(await client.post("Patient/a/$meta", json={"resourceType": "Parameters"})) == stored["meta"]


async def test_meta_of_an_earlier_version(client: httpx.AsyncClient, stored: dict[str, Any]) -> None:
    """$meta of a version answers with the meta that the version had."""
    await client.post("Patient/a/$meta-add", json=parameters({"tag": [OTHER]}))
    assert meta_of(await client.get("Patient/a/_history/1/$meta")) == stored["meta"]
    assert meta_of(await client.get("Patient/a/_history/2/$meta"))["tag"] == [TAG, OTHER]


@pytest.mark.parametrize("call", ["$meta", "$meta-add", "$meta-delete"])
async def test_meta_of_what_is_not_there(client: httpx.AsyncClient, stored: dict[str, Any], call: str) -> None:
    """The meta operations answer 404 for a resource that never was, and 410 for a deleted one."""
    body = parameters({"tag": [TAG]}) if call != "$meta" else {"resourceType": "Parameters"}
    assert (await client.post(f"Patient/never/{call}", json=body)).status_code == 404
    await client.delete("Patient/a")
    assert (await client.post(f"Patient/a/{call}", json=body)).status_code == 410


async def test_meta_add_makes_a_version_with_what_was_missing(
    client: httpx.AsyncClient, stored: dict[str, Any]
) -> None:
    """$meta-add adds tags, labels and profiles, leaves everything else alone, and makes the next version."""
    form = {"tag": [OTHER], "security": [LABEL], "profile": [PROFILE], "source": "urn:other", "versionId": "77"}
    answer = await client.post("Patient/a/$meta-add", json=parameters(form))
    meta = meta_of(answer)
    assert answer.headers["ETag"] == 'W/"2"'
    read = (await client.get("Patient/a")).json()
    assert read["meta"] == meta
    assert meta["versionId"] == "2"
    assert meta["source"] == "urn:x"
    assert (meta["tag"], meta["security"], meta["profile"]) == ([TAG, OTHER], [LABEL], [PROFILE])
    assert read["active"] is True
    earlier = (await client.get("Patient/a/_history/1")).json()
    assert earlier == stored


async def test_a_tag_is_its_system_and_code(client: httpx.AsyncClient, stored: dict[str, Any]) -> None:
    """Adding a tag that is there under another display or version changes nothing and makes no version."""
    same = TAG | {"display": "Another", "version": "2"}
    answer = await client.post("Patient/a/$meta-add", json=parameters({"tag": [same, same]}))
    assert meta_of(answer) == stored["meta"]
    assert (await client.get("Patient/a")).headers["ETag"] == 'W/"1"'


async def test_meta_delete_takes_away_by_identity(client: httpx.AsyncClient, stored: dict[str, Any]) -> None:
    """$meta-delete removes by system and code whatever the display, and what is not there is no error."""
    await client.post("Patient/a/$meta-add", json=parameters({"profile": [PROFILE], "tag": [OTHER]}))
    form = {"tag": [{"system": TAG["system"], "code": "x", "version": "9"}], "profile": [PROFILE], "security": [LABEL]}
    meta = meta_of(await client.post("Patient/a/$meta-delete", json=parameters(form)))
    assert meta["tag"] == [OTHER]
    assert "profile" not in meta
    assert "security" not in meta
    assert meta["versionId"] == "3"


async def test_if_match_guards_a_change_of_meta(client: httpx.AsyncClient, stored: dict[str, Any]) -> None:
    """$meta-add with an If-Match that names another version answers 412."""
    body = parameters({"tag": [OTHER]})
    refused = await client.post("Patient/a/$meta-add", json=body, headers={"If-Match": 'W/"9"'})
    assert refused.status_code == 412
    assert (await client.post("Patient/a/$meta-add", json=body, headers={"If-Match": 'W/"1"'})).status_code == 200


async def _store_tagged(client: httpx.AsyncClient, number: int) -> None:
    for each in range(number):
        await client.put(
            f"Patient/p{each:03}",
            json={
                "resourceType": "Patient",
                "id": f"p{each:03}",
                "meta": {"profile": [PROFILE], "tag": [TAG, {"system": "urn:each", "code": f"{each % 7}"}]},
            },
        )


async def test_meta_of_a_type_and_of_the_server_is_what_is_in_use(client: httpx.AsyncClient) -> None:
    """Every profile, label and tag of live resources stands once, with its display; what is deleted counts no more."""
    await _store_tagged(client, 20)
    label = LABEL | {"display": "restricted"}
    await client.put(
        "Basic/b", json={"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "meta": {"security": [label]}}
    )
    gone = {"resourceType": "Patient", "id": "gone", "meta": {"tag": [OTHER]}}
    await client.put("Patient/gone", json=gone)
    assert OTHER in meta_of(await client.get("Patient/$meta"))["tag"]
    await client.delete("Patient/gone")
    of_type = {"profile": [PROFILE], "tag": [TAG, *({"system": "urn:each", "code": f"{each}"} for each in range(7))]}
    assert meta_of(await client.get("Patient/$meta")) == of_type
    assert meta_of(await client.post("Patient/$meta", json={"resourceType": "Parameters"})) == of_type
    assert meta_of(await client.get("$meta")) == of_type | {"security": [label]}


async def test_a_server_without_tags_says_that_there_are_none(client: httpx.AsyncClient) -> None:
    """The answer is valid FHIR: an element may not be empty, so the meta says that it has no data."""
    (extension,) = meta_of(await client.get("$meta"))["extension"]
    assert extension["valueCode"] == "not-applicable"
    assert "extension" in meta_of(await client.get("Patient/$meta"))


async def test_what_is_in_use_costs_no_more_where_many_use_it(client: httpx.AsyncClient, services: Services) -> None:
    """The index is leaped through: a thousand resources with the same tags are not read."""
    await _store_tagged(client, 60)
    commands: list[str] = []
    ask = services.search.ask

    async def counting(command: Any, *rest: Any) -> Any:
        commands.append(next(iter(command)))
        answer = await ask(command, *rest)
        assert len(answer[0]) <= 1
        return answer

    services.search.ask = counting  # type: ignore[method-assign]
    meta_of(await client.get("Patient/$meta"))
    # One leap for each of a profile and eight tags, and one that finds no more in each of the three spans.
    assert commands == ["find"] * (1 + 8 + 3)
