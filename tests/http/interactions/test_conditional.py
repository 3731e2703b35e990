"""Conditional create, update, patch and delete."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.client import BASE

CRITERIA = "identifier=urn:mrn|1"
PATIENT: dict[str, Any] = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "1"}]}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


async def total(client: httpx.AsyncClient, criteria: str = CRITERIA) -> int:
    """Return how many patients meet the criteria."""
    return len((await client.get(f"Patient?{criteria}")).json().get("entry", []))


async def test_a_conditional_create_finds_what_is_there(client: httpx.AsyncClient) -> None:
    """201 at first; 200 with the same resource afterwards; 412 when several match."""
    first = await client.post("Patient", json=PATIENT, headers={"If-None-Exist": CRITERIA})
    second = await client.post("Patient", json=PATIENT, headers={"If-None-Exist": CRITERIA})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    await client.post("Patient", json=PATIENT)
    third = await client.post("Patient", json=PATIENT, headers={"If-None-Exist": CRITERIA})
    assert third.status_code == 412
    assert await total(client) == 2


async def test_fifty_parallel_conditional_creates_make_one_resource(client: httpx.AsyncClient) -> None:
    """Trap 31: one 201, the others 200, one resource."""
    answers = await asyncio.gather(
        *(client.post("Patient", json=PATIENT, headers={"If-None-Exist": CRITERIA}) for _ in range(50))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await total(client) == 1


async def test_the_condition_is_free_again_when_its_resource_changes_or_goes(client: httpx.AsyncClient) -> None:
    """A resource that no longer meets the criteria does not stand in the way of the next create."""
    made = (await client.post("Patient", json=PATIENT, headers={"If-None-Exist": CRITERIA})).json()
    await client.put(f"Patient/{made['id']}", json={"resourceType": "Patient", "id": made["id"], "active": True})
    second = await client.post("Patient", json=PATIENT, headers={"If-None-Exist": CRITERIA})
    assert second.status_code == 201
    await client.delete(f"Patient/{second.json()['id']}")
    assert (await client.post("Patient", json=PATIENT, headers={"If-None-Exist": CRITERIA})).status_code == 201


async def test_an_unknown_criterion_is_refused(client: httpx.AsyncClient) -> None:
    """A condition that the server does not understand must not count as met, nor may it be empty."""
    assert (await client.post("Patient", json=PATIENT, headers={"If-None-Exist": "shoesize=42"})).status_code == 400
    assert (await client.delete("Patient?shoesize=42")).status_code == 400
    assert (await client.delete("Patient")).status_code == 400
    assert (await client.delete("Patient?_count=5")).status_code == 400
    assert await total(client, "_id=x") == 0


async def test_a_conditional_update_creates_updates_or_refuses(client: httpx.AsyncClient) -> None:
    """No match creates, one match updates, several answer 412; a body that names another id answers 400."""
    assert (await client.put(f"Patient?{CRITERIA}", json=PATIENT)).status_code == 201
    updated = await client.put(f"Patient?{CRITERIA}", json=PATIENT | {"active": True})
    assert updated.status_code == 200
    assert updated.headers["ETag"] == 'W/"2"'
    assert (await client.put(f"Patient?{CRITERIA}", json=PATIENT | {"id": "other"})).status_code == 400
    await client.post("Patient", json=PATIENT)
    assert (await client.put(f"Patient?{CRITERIA}", json=PATIENT | {"active": False})).status_code == 412


async def test_a_conditional_update_may_bring_its_id(client: httpx.AsyncClient) -> None:
    """Without a match the body's id is the new resource's."""
    answer = await client.put(f"Patient?{CRITERIA}", json=PATIENT | {"id": "mine"})
    assert answer.status_code == 201
    assert answer.json()["id"] == "mine"


async def test_parallel_conditional_updates_make_one_resource(client: httpx.AsyncClient) -> None:
    """20 upserts of the same identifier leave one resource with a version each that changed it."""
    bodies = [PATIENT | {"birthDate": f"19{n:02d}-01-01"} for n in range(10, 30)]
    answers = await asyncio.gather(*(client.put(f"Patient?{CRITERIA}", json=body) for body in bodies))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert await total(client) == 1


async def test_a_conditional_patch_needs_just_one_match(client: httpx.AsyncClient) -> None:
    """404 for none, 200 for one, 412 for several."""
    patch = [{"op": "add", "path": "/active", "value": True}]
    url = f"Patient?{CRITERIA}"
    assert (await client.patch(url, json=patch, headers=JSON_PATCH)).status_code == 404
    await client.post("Patient", json=PATIENT)
    assert (await client.patch(url, json=patch, headers=JSON_PATCH)).json()["active"] is True
    await client.post("Patient", json=PATIENT)
    assert (await client.patch(url, json=patch, headers=JSON_PATCH)).status_code == 412


async def test_a_conditional_delete_removes_one_or_all_when_told(client: httpx.AsyncClient) -> None:
    """204 for none and one; 412 for several unless _multiple=true."""
    url = f"Patient?{CRITERIA}"
    assert (await client.delete(url)).status_code == 204
    await client.post("Patient", json=PATIENT)
    assert (await client.delete(url)).status_code == 204
    assert await total(client) == 0
    await client.post("Patient", json=PATIENT)
    await client.post("Patient", json=PATIENT)
    assert (await client.delete(url)).status_code == 412
    assert await total(client) == 2
    assert (await client.delete(f"{url}&_multiple=true")).status_code == 204
    assert await total(client) == 0


async def test_if_match_guards_a_conditional_update_that_finds_nothing(client: httpx.AsyncClient) -> None:
    """Who expects a version does not want a new resource: 412 directly and in a transaction."""
    entry = {"request": {"method": "PUT", "url": f"Patient?{CRITERIA}", "ifMatch": 'W/"1"'}, "resource": PATIENT}
    direct = await client.put(f"Patient?{CRITERIA}", json=PATIENT, headers={"If-Match": 'W/"1"'})
    bundled = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    assert (direct.status_code, bundled.status_code) == (412, 412)
    assert await total(client) == 0


async def test_a_conditional_update_does_not_overwrite_what_the_criteria_do_not_find(client: httpx.AsyncClient) -> None:
    """A body that brings the id of another resource is refused, directly and in a transaction; a deleted id is free."""
    await client.put("Patient/mine", json={"resourceType": "Patient", "id": "mine", "active": True})
    body = PATIENT | {"id": "mine"}
    entry = {"request": {"method": "PUT", "url": f"Patient?{CRITERIA}"}, "resource": body}
    direct = await client.put(f"Patient?{CRITERIA}", json=body)
    bundled = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    assert (direct.status_code, bundled.status_code) == (409, 409)
    await client.delete("Patient/mine")
    assert (await client.put(f"Patient?{CRITERIA}", json=body)).status_code == 201


async def test_a_failed_condition_names_the_resource_it_is_about(client: httpx.AsyncClient) -> None:
    """Whoever wrote criteria learns which resource they found."""
    made = (await client.post("Patient", json=PATIENT)).json()
    answer = await client.delete(f"Patient?{CRITERIA}", headers={"If-Match": 'W/"9"'})
    assert answer.status_code == 412
    assert f"Patient/{made['id']}" in answer.json()["issue"][0]["diagnostics"]


async def test_criteria_may_be_about_the_time_of_the_last_change(client: httpx.AsyncClient) -> None:
    """_lastUpdated selects in conditional interactions as in searches, and pages can be gone back by it."""
    for name in "abc":
        await client.put(f"Patient/{name}", json={"resourceType": "Patient", "id": name})
    first = (await client.get("Patient?_lastUpdated=gt2000&_count=1")).json()
    second = (await client.get(next(link["url"] for link in first["link"] if link["relation"] == "next"))).json()
    third = (await client.get(next(link["url"] for link in second["link"] if link["relation"] == "next"))).json()
    back = (await client.get(next(link["url"] for link in third["link"] if link["relation"] == "previous"))).json()
    assert back["entry"] == second["entry"]
    assert (await client.delete("Patient?_lastUpdated=gt2000")).status_code == 412
    assert (await client.delete("Patient?_lastUpdated=gt2000&_multiple=true")).status_code == 204
    assert await total(client, "_lastUpdated=gt2000") == 0


async def test_criteria_take_no_result_parameters(client: httpx.AsyncClient) -> None:
    """_count does not limit what is deleted, so it is refused rather than passed over."""
    await client.post("Patient", json=PATIENT)
    assert (await client.delete(f"Patient?{CRITERIA}&_count=1&_multiple=true")).status_code == 400
    assert (
        await client.post("Patient", json=PATIENT, headers={"If-None-Exist": f"{CRITERIA}&_sort=name"})
    ).status_code == 400
    assert await total(client) == 1


@pytest.mark.parametrize("prefix", ["", "?", "Patient?", f"{BASE}/Patient?"])
async def test_criteria_may_come_with_their_path(client: httpx.AsyncClient, prefix: str) -> None:
    """If-None-Exist and ifNoneExist take criteria alone, with the type, or as an absolute URL."""
    await client.post("Patient", json=PATIENT)
    criteria = f"{prefix}{CRITERIA}"
    assert (await client.post("Patient", json=PATIENT, headers={"If-None-Exist": criteria})).status_code == 200
    request = {"method": "POST", "url": "Patient", "ifNoneExist": criteria}
    body = {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": PATIENT, "request": request}]}
    answer = (await client.post("", json=body)).json()
    assert answer["entry"][0]["response"]["status"].startswith("200")
    assert await total(client) == 1


@pytest.mark.parametrize("prefix", ["Group?", "https://elsewhere.test/fhir/Patient?", "Patient/1?"])
async def test_criteria_of_something_else_are_refused(client: httpx.AsyncClient, prefix: str) -> None:
    """Criteria that name another type or server are a 400, and nothing is made."""
    answer = await client.post("Patient", json=PATIENT, headers={"If-None-Exist": f"{prefix}{CRITERIA}"})
    assert answer.status_code == 400
    assert await total(client) == 0


async def test_a_plus_sign_that_was_not_escaped_is_a_plus_sign(client: httpx.AsyncClient) -> None:
    """Criteria with a raw plus find what the same body made: by header, in a bundle, by PUT."""
    body = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "a+b c"}]}
    criteria = "identifier=urn:mrn|a+b%20c"
    first = await client.post("Patient", json=body, headers={"If-None-Exist": criteria})
    assert first.status_code == 201
    plain = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "a+b"}]}
    criteria = "identifier=urn:mrn|a+b"
    made = await client.post("Patient", json=plain, headers={"If-None-Exist": criteria})
    assert (made.status_code, made.headers.get("Warning")) == (201, None)
    assert (await client.post("Patient", json=plain, headers={"If-None-Exist": criteria})).status_code == 200
    assert (await client.put(f"Patient?{criteria}", json=plain)).status_code == 200
    request = {"method": "POST", "url": "Patient", "ifNoneExist": criteria}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": plain, "request": request}]}
    assert (await client.post("", json=bundle)).json()["entry"][0]["response"]["status"].startswith("200")
    spaced = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "a b"}]}
    assert (await client.post("Patient", json=spaced, headers={"If-None-Exist": criteria})).status_code == 201
    assert (await client.post("Patient", json=spaced, headers={"If-None-Exist": criteria})).status_code == 200


async def test_a_body_that_does_not_meet_its_own_criteria_is_told(client: httpx.AsyncClient) -> None:
    """Stored, as the specification says, but with a warning that the next request makes another one."""
    other = {"resourceType": "Patient", "active": True}
    made = await client.post("Patient", json=other, headers={"If-None-Exist": CRITERIA})
    assert made.status_code == 201
    assert "identifier" in made.headers["Warning"]
    assert "urn:mrn" not in made.headers["Warning"]
    meeting = await client.post("Patient", json=PATIENT, headers={"If-None-Exist": CRITERIA})
    assert (meeting.status_code, meeting.headers.get("Warning")) == (201, None)
    assert "Warning" in (await client.put(f"Patient?{CRITERIA}", json=other)).headers
    for kind in ("batch", "transaction"):
        items = [
            {"method": "POST", "url": "Patient", "ifNoneExist": f"family={kind}"},
            {"method": "PUT", "url": f"Patient?given={kind}"},
        ]
        entries = [{"resource": other, "request": request} for request in items]
        answer = await client.post("", json={"resourceType": "Bundle", "type": kind, "entry": entries})
        for entry, name in zip(answer.json()["entry"], ("family", "given"), strict=True):
            assert entry["response"]["status"].startswith("201")
            [issue] = entry["response"]["outcome"]["issue"]
            assert issue["severity"] == "warning"
            assert name in issue["diagnostics"]
    chained = await client.post("Patient", json=other, headers={"If-None-Exist": "organization.name=x"})
    assert (chained.status_code, chained.headers.get("Warning")) == (201, None)


async def test_a_conditional_reference_that_cannot_be_decided_is_refused(client: httpx.AsyncClient) -> None:
    """A chain to what the transaction itself may be changing is a 400 with its reason."""
    reference = {"reference": "Patient?organization.name=x"}
    entries = [
        {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}},
        {
            "resource": {"resourceType": "Basic", "code": {"text": "x"}, "subject": reference},
            "request": {"method": "POST", "url": "Basic"},
        },
    ]
    answer = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 400
    assert await total(client, "_id:not=x") == 0


def bundle_of_creates(kind: str, *criteria: str) -> dict[str, Any]:
    """Return a bundle that creates a patient under each of the criteria, with the identifier that ends them."""
    entries = [
        {
            "resource": PATIENT | {"identifier": [{"system": "urn:mrn", "value": each.rpartition("|")[2]}]},
            "request": {"method": "POST", "url": "Patient", "ifNoneExist": f"identifier={each}"},
        }
        for each in criteria
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def outcomes(answer: httpx.Response) -> list[tuple[str, str]]:
    """Return status and resource of each entry of an answer."""
    responses = [entry["response"] for entry in answer.json()["entry"]]
    return [(each["status"][:3], each.get("location", "").partition("/_history")[0]) for each in responses]


async def test_a_batch_finds_what_it_has_made_under_other_criteria(client: httpx.AsyncClient) -> None:
    """One patient under two spellings is one; the entries between them are not held up by it."""
    answer = await client.post(
        "", json=bundle_of_creates("batch", "urn:mrn|a1", "urn:mrn|a2", "|a1", "a1", "urn:mrn|a3")
    )
    (first, second, *_) = result = outcomes(answer)
    assert [status for status, _ in result[:2] + result[4:]] == ["201", "201", "201"]
    # Without a system is another identifier.
    assert result[2][0] == "201"
    assert result[3][0] == "412"
    assert first[1] != second[1]


async def test_a_batch_answers_an_identifier_that_stands_twice_with_one_resource(client: httpx.AsyncClient) -> None:
    first, other, again = outcomes(
        await client.post("", json=bundle_of_creates("batch", "urn:mrn|b1", "urn:mrn|b2", "b1"))
    )
    assert first[0] == other[0] == "201"
    assert again == ("200", first[1])


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_bundles_of_the_same_creates_at_once_make_each_once(client: httpx.AsyncClient, kind: str) -> None:
    """Eight bundles of 30: for each criterion one 201, else 200 with that resource."""
    bundle = bundle_of_creates(kind, *(f"urn:mrn|c{number}" for number in range(30)))
    answers = await asyncio.gather(*(client.post("", json=bundle) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    for same in zip(*map(outcomes, answers), strict=True):
        assert sorted(status for status, _ in same) == ["200"] * 7 + ["201"]
        assert len({url for _, url in same}) == 1
    assert await total(client, "identifier=urn:mrn|&_count=100") == 30


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_criteria_that_many_meet_are_told_from_others(client: httpx.AsyncClient, kind: str) -> None:
    """What one of many criteria finds twice, or far too often, does not hide what the others find."""
    crowd = PATIENT | {"identifier": [{"system": "urn:mrn", "value": "crowd"}]}
    await asyncio.gather(*(client.post("Patient", json=crowd) for _ in range(60)))
    existing = outcomes(await client.post("", json=bundle_of_creates(kind, "urn:mrn|d1", "urn:mrn|d2")))
    answer = await client.post(
        "", json=bundle_of_creates(kind, "urn:mrn|d1", "urn:mrn|crowd", "urn:mrn|d2", "urn:mrn|d3")
    )
    if kind == "transaction":
        assert answer.status_code == 412
        assert await total(client, "identifier=urn:mrn|d3") == 0
    else:
        first, crowded, second, third = outcomes(answer)
        assert [first, second] == [("200", url) for _, url in existing]
        assert (crowded[0], third[0]) == ("412", "201")
