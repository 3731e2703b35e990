"""Reading and writing one resource by its id."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "name": [{"family": "Rossi", "given": ["Ada"]}],
    "birthDate": "1974-12-25",
}


def observation_of(decimal: str) -> str:
    """Return an Observation whose value is written as given."""
    value = f'{{"value":{decimal}}}'
    return f'{{"resourceType":"Observation","id":"o","status":"final","code":{{"text":"x"}},"valueQuantity":{value}}}'


async def test_a_created_resource_is_read_back_with_its_version(client: httpx.AsyncClient) -> None:
    """A create answers 201 with Location, ETag and Last-Modified, and a read gives the same resource."""
    made = await client.post("Patient", json=PATIENT)
    assert made.status_code == 201
    body = made.json()
    assert made.headers["Location"] == f"http://server.test/fhir/Patient/{body['id']}/_history/1"
    assert made.headers["ETag"] == 'W/"1"'
    assert "Last-Modified" in made.headers
    assert body["meta"]["versionId"] == "1"
    read = await client.get(f"Patient/{body['id']}")
    assert read.status_code == 200
    assert read.content == made.content
    assert read.headers["ETag"] == 'W/"1"'


async def test_head_answers_like_get_without_a_body(client: httpx.AsyncClient) -> None:
    """HEAD has the headers of GET and nothing else."""
    made = (await client.put("Patient/a", json=PATIENT | {"id": "a"})).json()
    head, get = await client.head("Patient/a"), await client.get("Patient/a")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"]
    assert made["id"] == "a"


async def test_an_update_makes_the_next_version_and_keeps_the_old_one(client: httpx.AsyncClient) -> None:
    """PUT answers 201 at first, then 200 with version 2; vread still gives version 1."""
    assert (await client.put("Patient/a", json=PATIENT | {"id": "a"})).status_code == 201
    changed = await client.put("Patient/a", json=PATIENT | {"id": "a", "gender": "female"})
    assert changed.status_code == 200
    assert changed.headers["ETag"] == 'W/"2"'
    first = await client.get("Patient/a/_history/1")
    assert first.status_code == 200
    assert "gender" not in first.json()
    assert (await client.get("Patient/a/_history/3")).status_code == 404
    assert (await client.get("Patient/a/_history/x")).status_code == 404
    assert (await client.get("Patient/a/_history/01")).status_code == 404


async def test_an_update_that_changes_nothing_makes_no_version(client: httpx.AsyncClient) -> None:
    """PUT of what is stored already makes no version; another precision of a decimal is a change."""
    await client.put("Observation/o", content=observation_of("1.0"))
    again = await client.put("Observation/o", content=observation_of("1.0"))
    assert again.headers["ETag"] == 'W/"1"'
    precise = await client.put("Observation/o", content=observation_of("1.00"))
    assert precise.headers["ETag"] == 'W/"2"'
    assert b'"value":1.00' in precise.content


def _reversed(node: Any) -> Any:
    """Return a JSON value with the properties of every object in the opposite order."""
    if isinstance(node, dict):
        return {name: _reversed(node[name]) for name in reversed(node)}
    return [_reversed(each) for each in node] if isinstance(node, list) else node


async def test_the_order_of_properties_makes_no_version(client: httpx.AsyncClient) -> None:
    """Properties in another order, at any depth, or other white space say the same; another order of an array not."""
    patient: dict[str, Any] = {
        "resourceType": "Patient",
        "id": "o",
        "meta": {"tag": [{"system": "urn:s", "code": "1"}], "profile": ["http://example.org/p"]},
        "name": [{"family": "Ω", "given": ["A", "B"], "_given": [None, {"id": "g"}]}, {"text": "C"}],
        "contained": [{"resourceType": "Organization", "id": "c", "name": "N"}],
        "managingOrganization": {"reference": "#c", "display": "N"},
    }
    await client.put("Patient/o", json=patient)
    again = await client.put("Patient/o", content=json.dumps(_reversed(patient), indent=3))
    assert (again.status_code, again.headers["ETag"]) == (200, 'W/"1"')
    swapped = {**patient, "name": patient["name"][::-1]}
    assert (await client.put("Patient/o", json=swapped)).headers["ETag"] == 'W/"2"'


@pytest.mark.parametrize("text", ["1.0", "1.00", "1E+2", "1e2", "-0.0", "0.0000001", "12345678901234567890.12", "100"])
async def test_decimals_come_back_as_they_were_written(client: httpx.AsyncClient, text: str) -> None:
    """Trap 6: write, read, patch and history keep the text of a decimal."""
    assert (await client.put("Observation/o", content=observation_of(text))).status_code == 201
    expected = f'"value":{text}}}'.encode()
    assert expected in (await client.get("Observation/o")).content
    patch = [{"op": "replace", "path": "/status", "value": "amended"}]
    await client.patch("Observation/o", json=patch, headers={"Content-Type": "application/json-patch+json"})
    history = (await client.get("Observation/o/_history")).content
    assert history.count(expected) == 2


async def test_the_server_owns_version_and_time_but_not_the_rest_of_meta(client: httpx.AsyncClient) -> None:
    """Trap 41: a client's versionId and lastUpdated are dropped; tags, security and profiles stay."""
    meta = {
        "versionId": "77",
        "lastUpdated": "1999-01-01T00:00:00Z",
        "profile": ["http://example.org/p"],
        "tag": [{"system": "urn:t", "code": "x"}],
        "security": [{"system": "urn:s", "code": "R"}],
    }
    stored = (await client.post("Patient", json=PATIENT | {"meta": meta})).json()["meta"]
    assert stored["versionId"] == "1"
    assert not stored["lastUpdated"].startswith("1999")
    assert [stored["profile"], stored["tag"], stored["security"]] == [meta["profile"], meta["tag"], meta["security"]]


async def test_a_deleted_resource_is_gone_until_it_is_written_again(client: httpx.AsyncClient) -> None:
    """Trap 33: reads of a deleted resource answer 410, a second delete 204, and a new PUT continues the versions."""
    await client.put("Patient/a", json=PATIENT | {"id": "a"})
    assert (await client.delete("Patient/a")).status_code == 204
    gone = await client.get("Patient/a")
    assert gone.status_code == 410
    assert gone.json()["resourceType"] == "OperationOutcome"
    assert (await client.get("Patient/a/_history/2")).status_code == 410
    assert (await client.delete("Patient/a")).status_code == 204
    again = await client.put("Patient/a", json=PATIENT | {"id": "a"})
    assert again.status_code == 201
    assert again.headers["ETag"] == 'W/"3"'
    assert (await client.get("Patient/a")).status_code == 200


async def test_deleting_what_never_was_answers_204(client: httpx.AsyncClient) -> None:
    """A delete is about the end state."""
    assert (await client.delete("Patient/never")).status_code == 204
    assert (await client.get("Patient/never")).status_code == 404


@pytest.mark.parametrize(
    ("header", "status"), [('W/"2"', 200), ('"2"', 200), ('W/"1", W/"2"', 200), ('W/"1"', 412), ("*", 200)]
)
async def test_if_match_guards_an_update(client: httpx.AsyncClient, header: str, status: int) -> None:
    """Trap 34: weak, strong and lists of ETags."""
    await client.put("Patient/a", json=PATIENT | {"id": "a"})
    await client.put("Patient/a", json=PATIENT | {"id": "a", "gender": "male"})
    answer = await client.put("Patient/a", json=PATIENT | {"id": "a", "gender": "other"}, headers={"If-Match": header})
    assert answer.status_code == status
    assert (await client.delete("Patient/a", headers={"If-Match": 'W/"99"'})).status_code == 412


async def test_if_none_match_star_only_creates(client: httpx.AsyncClient) -> None:
    """PUT with If-None-Match: * answers 412 when the resource exists."""
    first = await client.put("Patient/a", json=PATIENT | {"id": "a"}, headers={"If-None-Match": "*"})
    second = await client.put("Patient/a", json=PATIENT | {"id": "a", "gender": "male"}, headers={"If-None-Match": "*"})
    assert (first.status_code, second.status_code) == (201, 412)


async def test_a_conditional_read_answers_304_to_who_has_the_version(client: httpx.AsyncClient) -> None:
    """If-None-Match and If-Modified-Since."""
    made = await client.put("Patient/a", json=PATIENT | {"id": "a"})
    same = await client.get("Patient/a", headers={"If-None-Match": 'W/"1"'})
    assert same.status_code == 304
    assert same.content == b""
    assert (await client.get("Patient/a", headers={"If-None-Match": 'W/"2"'})).status_code == 200
    since = {"If-Modified-Since": made.headers["Last-Modified"]}
    assert (await client.get("Patient/a", headers=since)).status_code == 304
    assert (
        await client.get("Patient/a", headers={"If-Modified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"})
    ).status_code == 200


@pytest.mark.parametrize("prefer", ["minimal", "representation", "OperationOutcome"])
async def test_prefer_decides_what_a_write_returns(client: httpx.AsyncClient, prefer: str) -> None:
    """All three forms of Prefer: return."""
    answer = await client.post("Patient", json=PATIENT, headers={"Prefer": f"return={prefer}"})
    assert answer.status_code == 201
    assert "Location" in answer.headers
    returned = answer.json()["resourceType"] if answer.content else None
    assert returned == {"minimal": None, "representation": "Patient"}.get(prefer, "OperationOutcome")


async def test_fifty_parallel_updates_leave_no_gap(client: httpx.AsyncClient) -> None:
    """Trap 32: 50 parallel PUTs of differing bodies all succeed, as versions 2 to 51."""
    await client.put("Patient/a", json=PATIENT | {"id": "a"})
    bodies = [PATIENT | {"id": "a", "birthDate": f"19{n:02d}-01-01"} for n in range(50)]
    answers = await asyncio.gather(*(client.put("Patient/a", json=body) for body in bodies))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(int(answer.headers["ETag"][3:-1]) for answer in answers) == list(range(2, 52))
    history = (await client.get("Patient/a/_history?_count=100")).json()
    assert [entry["resource"]["meta"]["versionId"] for entry in history["entry"]] == [str(n) for n in range(51, 0, -1)]
    times = [entry["resource"]["meta"]["lastUpdated"] for entry in history["entry"]]
    assert len(set(times)) == 51
    assert times == sorted(times, reverse=True)


async def test_of_parallel_updates_with_the_same_if_match_one_wins(client: httpx.AsyncClient) -> None:
    """50 writers on version 1: one 200, the others 412."""
    await client.put("Patient/a", json=PATIENT | {"id": "a"})
    bodies = [PATIENT | {"id": "a", "birthDate": f"19{n:02d}-01-01"} for n in range(50)]
    answers = await asyncio.gather(
        *(client.put("Patient/a", json=body, headers={"If-Match": 'W/"1"'}) for body in bodies)
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 49


async def test_a_deletion_can_be_undone_by_who_saw_it(client: httpx.AsyncClient) -> None:
    """If-Match with the version of the deletion brings the resource back; with another, or with *, it does not."""
    await client.put("Patient/a", json=PATIENT | {"id": "a"})
    deleted = (await client.delete("Patient/a")).headers["ETag"]
    for stale in ('W/"1"', "*"):
        answer = await client.put("Patient/a", json=PATIENT | {"id": "a"}, headers={"If-Match": stale})
        assert answer.status_code == 412
    again = await client.put("Patient/a", json=PATIENT | {"id": "a"}, headers={"If-Match": deleted})
    assert again.status_code == 201
    assert again.headers["ETag"] == 'W/"3"'


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("_summary=true", {"resourceType", "id", "meta", "identifier", "active", "name", "birthDate"}),
        ("_summary=text", {"resourceType", "id", "meta", "text"}),
        ("_summary=data", {"resourceType", "id", "meta", "identifier", "active", "name", "birthDate", "photo"}),
        ("_elements=birthDate,photo", {"resourceType", "id", "meta", "birthDate", "photo"}),
    ],
)
async def test_a_read_of_parts_is_marked_as_such(client: httpx.AsyncClient, query: str, names: set[str]) -> None:
    """_summary and _elements work on read, vread and history as on search, with the tag SUBSETTED."""
    narrative = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Rossi</div>'}
    photo = [{"contentType": "image/png", "title": "x"}]
    patient = PATIENT | {"id": "a", "text": narrative, "photo": photo, "active": True, "identifier": [{"value": "1"}]}
    await client.put("Patient/a", json=patient)
    history = (await client.get(f"Patient/a/_history?{query}")).json()
    shown = [
        (await client.get(f"Patient/a?{query}")).json(),
        (await client.get(f"Patient/a/_history/1?{query}")).json(),
        history["entry"][0]["resource"],
    ]
    for resource in shown:
        mandatory = {"active"} if query.startswith("_elements") or query == "_summary=text" else set()
        assert set(resource) == names | mandatory  # a modifier element is never left out
        assert resource["meta"]["tag"][0]["code"] == "SUBSETTED"


async def test_a_whole_read_is_not_marked(client: httpx.AsyncClient) -> None:
    """_summary=false leaves nothing out; a count of one resource, or an unknown form, is refused."""
    await client.put("Patient/a", json=PATIENT | {"id": "a"})
    assert (await client.get("Patient/a?_summary=false")).content == (await client.get("Patient/a")).content
    assert (await client.get("Patient/a?_summary=count")).status_code == 400
    assert (await client.get("Patient/a?_summary=most")).status_code == 400


async def test_caches_are_told_to_keep_no_patient_data(client: httpx.AsyncClient) -> None:
    """Answers depend on Accept, and none with data of a patient may be stored on the way."""
    made = await client.put("Patient/a", json=PATIENT | {"id": "a"})
    for answer in (made, await client.get("Patient/a"), await client.get("Patient"), await client.get("Patient/none")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Vary"] == "Accept"
