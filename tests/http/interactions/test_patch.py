"""The patch interaction: JSON Patch and FHIRPath Patch on a stored resource."""

from __future__ import annotations

import asyncio
import base64
import json
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


MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


async def test_a_merge_patch_makes_the_next_version(client: httpx.AsyncClient) -> None:
    """RFC 7396: null removes, an array replaces, an object is merged; by id and by criteria."""
    await client.put("Patient/a", json=PATIENT | {"maritalStatus": {"text": "x", "coding": [{"code": "M"}]}})
    change = {"active": None, "name": [{"family": "Bianchi"}], "maritalStatus": {"text": "y"}}
    patched = await client.patch("Patient/a", json=change, headers=MERGE_PATCH)
    assert (patched.status_code, patched.headers["ETag"]) == (200, 'W/"2"')
    assert "active" not in patched.json()
    assert patched.json()["name"] == [{"family": "Bianchi"}]
    assert patched.json()["maritalStatus"] == {"text": "y", "coding": [{"code": "M"}]}
    answer = await client.patch("Patient?family=bianchi", json={"gender": "male"}, headers=MERGE_PATCH)
    assert (answer.status_code, answer.json()["gender"]) == (200, "male")
    same = await client.patch("Patient/a", json={"gender": "male", "birthDate": None}, headers=MERGE_PATCH)
    assert same.headers["ETag"] == 'W/"3"'


async def test_a_merge_patch_keeps_numbers_as_they_are_written(client: httpx.AsyncClient) -> None:
    """1.00 stays 1.00 in what is patched and in what is not."""
    observation = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}}
    text = json.dumps(observation)[:-1] + ', "valueQuantity": {"value": 1.00, "unit": "g"}}'
    await client.put("Observation/o", content=text, headers={"Content-Type": "application/fhir+json"})
    change = '{"component": [{"code": {"text": "y"}, "valueQuantity": {"value": 2.50}}]}'
    patched = await client.patch("Observation/o", content=change, headers=MERGE_PATCH)
    assert '"value":1.00' in patched.text
    assert '"value":2.50' in patched.text


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"id": "b"}, 422),
        ({"id": None}, 422),
        ({"resourceType": "Group"}, 422),
        ({"resourceType": "Parameters", "parameter": []}, 422),
        ({"active": "yes"}, 422),
        ({"unknown": 1}, 422),
        ({"name": {"family": "x"}}, 422),
        ({"maritalStatus": {"text": None}}, 422),
        ([{"op": "remove", "path": "/active"}], 400),
        (None, 400),
        ("x", 400),
    ],
)
async def test_a_merge_patch_that_fails_changes_nothing(client: httpx.AsyncClient, change: Any, status: int) -> None:
    """Trap 40: a change of id or type, an invalid result, what is no object: 4xx, no version."""
    await client.put("Patient/a", json=PATIENT)
    answer = await client.patch("Patient/a", content=json.dumps(change), headers=MERGE_PATCH)
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert (await client.get("Patient/a")).headers["ETag"] == 'W/"1"'


@pytest.mark.parametrize("media_type", ["application/json-patch+json", "application/merge-patch+json"])
async def test_a_patch_nested_too_deeply_is_refused(client: httpx.AsyncClient, media_type: str) -> None:
    """However deep, it is a 4xx, sent alone or in a bundle."""
    await client.put("Patient/a", json=PATIENT)
    for depth in (200, 900, 5000):
        deep = '{"extension":' * depth + "1" + "}" * depth
        if "json-patch" in media_type:
            deep = f'[{{"op": "add", "path": "/contact", "value": {deep}}}]'
        answer = await client.patch("Patient/a", content=deep, headers={"Content-Type": media_type})
        assert 400 <= answer.status_code < 500, answer.text
        bundled = await client.post("", json=_bundle(media_type, deep))
        assert 400 <= bundled.status_code < 500, bundled.text


def _bundle(media_type: str, patch: str) -> dict[str, Any]:
    binary = {"resourceType": "Binary", "contentType": media_type, "data": base64.b64encode(patch.encode()).decode()}
    entry = {"request": {"method": "PATCH", "url": "Patient/a"}, "resource": binary}
    return {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}


async def test_a_merge_patch_travels_in_a_bundle(client: httpx.AsyncClient) -> None:
    """As a Binary of its type; a Binary of another type is refused with the types that are taken."""
    await client.put("Patient/a", json=PATIENT)
    patched = await client.post("", json=_bundle("application/merge-patch+json; charset=utf-8", '{"active": false}'))
    assert patched.status_code == 200, patched.text
    assert (await client.get("Patient/a")).json()["active"] is False
    for media_type in ("application/xml", "text/plain"):
        refused = await client.post("", json=_bundle(media_type, '{"active": true}'))
        assert refused.status_code == 415
        assert "application/merge-patch+json" in refused.text
        assert refused.json()["issue"][0]["expression"] == ["Bundle.entry[0].resource.contentType"]


@pytest.mark.parametrize(
    "media_type",
    [
        "application/merge-patch+xml",
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        "text/json; charset=x",
    ],
)
async def test_what_is_no_patch_is_told_which_are_taken(client: httpx.AsyncClient, media_type: str) -> None:
    """RFC 5789: a 415 has Accept-Patch, and it lists what the CapabilityStatement lists."""
    await client.put("Patient/a", json=PATIENT)
    stated = (await client.get("metadata")).json()["patchFormat"]
    for path in ("Patient/a", "Patient?family=rossi"):
        answer = await client.patch(path, content=b"x", headers={"Content-Type": media_type})
        assert answer.status_code == 415, answer.text
        assert answer.headers["Accept-Patch"].split(", ") == stated
        if "charset" not in media_type:
            assert all(taken in answer.json()["issue"][0]["diagnostics"] for taken in stated)


@pytest.mark.parametrize(
    "media_type", ["application/json-patch+json", "application/merge-patch+json", "application/xml-patch+xml"]
)
async def test_only_patch_takes_patches(client: httpx.AsyncClient, media_type: str) -> None:
    """Sent to another interaction it is a 415 that names what is taken, without Accept-Patch; a Binary may hold one."""
    headers = {"Content-Type": media_type}
    for method, path in (("PUT", "Patient/a"), ("POST", "Patient"), ("POST", ""), ("POST", "Patient/$validate")):
        answer = await client.request(method, path, json=PATIENT, headers=headers)
        assert answer.status_code == 415, answer.text
        assert "application/fhir+json" in answer.json()["issue"][0]["diagnostics"]
        assert "Accept-Patch" not in answer.headers
    assert (await client.post("Binary", json=[], headers=headers)).status_code == 201


XML_PATCH = {"Content-Type": "application/xml-patch+xml; charset=utf-8"}


def _diff(*operations: str) -> bytes:
    return f'<diff xmlns:f="http://hl7.org/fhir">{"".join(operations)}</diff>'.encode()


async def test_an_xml_patch_makes_the_next_version(client: httpx.AsyncClient) -> None:
    """RFC 5261 on the XML form, by id and by criteria; the answer is in the format that is asked for."""
    await client.put("Patient/a", json=PATIENT)
    change = _diff('<add sel="f:Patient"><f:birthDate value="1980-01-02"/></add>')
    patched = await client.patch("Patient/a", content=change, headers=XML_PATCH | {"Accept": "application/fhir+xml"})
    assert (patched.status_code, patched.headers["ETag"]) == (200, 'W/"2"')
    assert '<birthDate value="1980-01-02"/>' in patched.text
    change = _diff('<replace sel="f:Patient/f:active/@value">false</replace>')
    answer = await client.patch("Patient?birthdate=1980-01-02", content=change, headers=XML_PATCH)
    assert (answer.status_code, answer.json()["active"]) == (200, False)
    same = await client.patch("Patient/a", content=change, headers=XML_PATCH | {"If-Match": 'W/"3"'})
    assert same.headers["ETag"] == 'W/"3"'
    stale = await client.patch("Patient/a", content=change, headers=XML_PATCH | {"If-Match": 'W/"2"'})
    assert stale.status_code == 412


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        (_diff('<replace sel="f:Patient/f:id/@value">b</replace>'), 422, "id"),
        (_diff('<replace sel="f:Patient/f:active/@value">yes</replace>'), 422, "Patient.active"),
        (_diff('<remove sel="f:Patient/f:active"/>', '<remove sel="f:Patient/f:active"/>'), 422, "Operation 1"),
        (_diff('<add sel="f:Patient"><f:nickname value="x"/></add>'), 422, "nickname"),
        (_diff('<add sel="f:Patient"><f:birthDate value="1980-02-31"/></add>'), 422, "Patient.birthDate"),
        (_diff('<remove sel="//f:active"/>'), 400, "Operation 0"),
        (_diff('<move sel="f:Patient"/>'), 400, "Operation 0"),
        (b"<diff>", 400, "well-formed"),
        (b'{"active": false}', 400, "well-formed"),
        (b'<!DOCTYPE d [<!ENTITY x "y">]><diff/>', 400, "DTD"),
        (b"<diff>" + b"<x>" * 900 + b"</x>" * 900 + b"</diff>", 400, "levels"),
        (b"<diff>" + b"<x/>" * 200_000 + b"</diff>", 413, "max_body_values"),
    ],
)
async def test_an_xml_patch_that_fails_changes_nothing(
    client: httpx.AsyncClient, change: bytes, status: int, text: str
) -> None:
    """Trap 40: what is no patch, does not fit, or leaves no valid resource is 4xx that says where: no version."""
    await client.put("Patient/a", json=PATIENT)
    answer = await client.patch("Patient/a", content=change, headers=XML_PATCH)
    assert answer.status_code == status, answer.text
    assert text in answer.text
    assert (await client.get("Patient/a")).headers["ETag"] == 'W/"1"'


async def test_an_xml_patch_travels_in_a_bundle(client: httpx.AsyncClient) -> None:
    """As a Binary, in batches and transactions, where what it says of other entries becomes what these became."""
    await client.put("Patient/a", json=PATIENT)
    change = _diff('<remove sel="f:Patient/f:active"/>').decode()
    for kind in ("batch", "transaction"):
        await client.put("Patient/a", json=PATIENT)
        patched = await client.post("", json=_bundle("application/xml-patch+xml", change) | {"type": kind})
        assert patched.json()["entry"][0]["response"]["status"] == "200 OK", patched.text
        assert "active" not in (await client.get("Patient/a")).json()
    doctor = "urn:uuid:04121321-4af5-424c-a0e1-ed3aab1c349d"
    names_it = _diff(
        f'<add sel="f:Patient"><f:generalPractitioner><f:reference value="{doctor}"/></f:generalPractitioner></add>'
    )
    bundle = _bundle("application/xml-patch+xml", names_it.decode())
    made = {"fullUrl": doctor, "resource": {"resourceType": "Practitioner"},
            "request": {"method": "POST", "url": "Practitioner"}}  # fmt: skip
    answer = await client.post("", json=bundle | {"entry": [made, *bundle["entry"]]})
    assert answer.status_code == 200, answer.text
    place = answer.json()["entry"][0]["response"]["location"].split("/")[-3]
    assert (await client.get("Patient/a")).json()["generalPractitioner"] == [{"reference": f"Practitioner/{place}"}]
    for wrong, status in (("<diff>", 400), (_diff('<remove sel="f:Patient/f:gender[9]"/>').decode(), 422)):
        refused = await client.post("", json=_bundle("application/xml-patch+xml", wrong))
        assert refused.status_code == status, refused.text
        assert refused.json()["issue"][0]["expression"][0].startswith("Bundle.entry[0]")


@pytest.mark.parametrize(
    ("path", "methods", "patched"),
    [
        ("Patient/a", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS", True),
        ("Patient/nobody", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS", True),
        ("Patient", "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS", True),
        ("Patient/a/_history", "GET, HEAD, OPTIONS", False),
        ("Patient/$validate", "GET, POST, HEAD, OPTIONS", False),
        ("Patient/_search", "POST, OPTIONS", False),
        ("metadata", "GET, HEAD, OPTIONS", False),
        ("", "GET, POST, HEAD, OPTIONS", False),
    ],
)
async def test_options_tells_what_a_path_takes(
    client: httpx.AsyncClient, path: str, methods: str, patched: bool
) -> None:
    """RFC 9110 and RFC 5789: Allow, and Accept-Patch where PATCH is allowed; the same whether a resource is there."""
    answer = await client.options(path)
    assert (answer.status_code, answer.content, answer.headers["Allow"]) == (200, b"", methods)
    stated = ", ".join((await client.get("metadata")).json()["patchFormat"])
    assert answer.headers.get("Accept-Patch") == (stated if patched else None)


async def test_options_of_no_place_is_404(client: httpx.AsyncClient) -> None:
    """What is nowhere takes no method."""
    for path in ("Nothing", "Patient/a/b/c/d", "_x"):
        assert (await client.options(path)).status_code == 404
