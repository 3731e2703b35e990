"""A resource that is marked as a part of one is never stored (trap 26)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
WHOLE: dict[str, Any] = {"resourceType": "Patient", "id": "a", "name": [{"family": "Rossi"}], "gender": "female"}
PART: dict[str, Any] = {"resourceType": "Patient", "id": "a", "meta": {"tag": [{"code": "x"}, SUBSETTED]}}


@pytest.mark.parametrize(
    ("method", "url"), [("PUT", "Patient/a"), ("POST", "Patient"), ("PUT", "Patient?family=Rossi")]
)
async def test_a_part_does_not_take_the_place_of_the_whole(client: httpx.AsyncClient, method: str, url: str) -> None:
    """What _summary and _elements gave cannot be sent back: update, conditional update and create answer 422."""
    await client.put("Patient/a", json=WHOLE)
    part = (await client.get("Patient/a?_elements=name")).json()
    answer = await client.request(method, url, json=part)
    assert answer.status_code == 422
    (issue,) = answer.json()["issue"]
    assert issue["expression"] == ["Patient.meta.tag[0]"]
    assert "SUBSETTED" in issue["diagnostics"]
    assert (await client.get("Patient/a")).headers["ETag"] == 'W/"1"'
    assert (await client.get("Patient?_summary=count")).json()["total"] == 1


@pytest.mark.parametrize(
    ("method", "url"), [("PUT", "Patient/a"), ("POST", "Patient"), ("PUT", "Patient?family=Rossi")]
)
async def test_nor_does_it_in_a_bundle(client: httpx.AsyncClient, method: str, url: str) -> None:
    """A transaction is refused as a whole with the place of the tag; a batch refuses the entry."""
    await client.put("Patient/a", json=WHOLE)
    entry = {"resource": PART, "request": {"method": method, "url": url}}
    other = {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}
    sent = {"resourceType": "Bundle", "type": "transaction", "entry": [other, entry]}
    refused = await client.post("", json=sent)
    assert refused.status_code == 422
    assert refused.json()["issue"][0]["expression"] == ["Bundle.entry[1].resource.meta.tag[1]"]
    assert (await client.get("Patient?_summary=count")).json()["total"] == 1
    done = (await client.post("", json=sent | {"type": "batch"})).json()["entry"]
    assert [each["response"]["status"][:3] for each in done] == ["201", "422"]
    assert (await client.get("Patient/a")).headers["ETag"] == 'W/"1"'


async def test_no_patch_or_operation_marks_a_whole_as_a_part(client: httpx.AsyncClient) -> None:
    """A patch and $meta-add that would set the tag answer 422, and $validate tells of it."""
    await client.put("Patient/a", json=WHOLE)
    add = [{"op": "add", "path": "/meta/tag", "value": [SUBSETTED]}]
    headers = {"Content-Type": "application/json-patch+json"}
    assert (await client.patch("Patient/a", json=add, headers=headers)).status_code == 422
    form = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [SUBSETTED]}}]}
    assert (await client.post("Patient/a/$meta-add", json=form)).status_code == 422
    answer = (await client.post("Patient/$validate", json=PART)).json()
    assert [issue["code"] for issue in answer["issue"]] == ["business-rule"]


async def test_what_a_stored_bundle_holds_is_its_own_affair(client: httpx.AsyncClient) -> None:
    """A searchset with parts of resources can be kept, as it is; and another system's SUBSETTED is just a tag."""
    held = {
        "resourceType": "Bundle",
        "id": "b",
        "type": "collection",
        "entry": [{"fullUrl": "urn:x:1", "resource": PART}],
    }
    stored = await client.put("Bundle/b", json=held)
    assert stored.status_code == 201
    assert stored.json()["entry"] == held["entry"]
    other = PART | {"meta": {"tag": [{"system": "urn:other", "code": "SUBSETTED"}]}}
    assert (await client.put("Patient/a", json=other)).status_code == 201
