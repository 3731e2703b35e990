"""Lines go on as long as the rights do, and hold no more than the pages that they are made of."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.smart_server import App, SmartServer

LINES = {"Accept": "application/fhir+ndjson"}
_FIRST_PAGE = 200


async def _token(app: App, scope: str) -> str:
    answer = await app.token(grant_type="client_credentials", scope=scope)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def _add_patients(client: httpx.AsyncClient, count: int) -> None:
    entries = [
        {"resource": {"resourceType": "Patient", "active": True}, "request": {"method": "POST", "url": "Patient"}}
        for _ in range(count)
    ]
    answer = await client.post("", json={"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert answer.status_code == 200, answer.text


async def test_a_token_that_is_revoked_ends_the_lines(smart: SmartServer) -> None:
    """The page after it is refused, and that is the last line."""
    app = await smart.add_client("system/*.cruds", secret=True, redirect_uris=[])
    token = await _token(app, "system/*.cruds")
    await _add_patients(smart.fhir(token), _FIRST_PAGE + 50)
    pieces: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        pieces.append(message.get("body", b""))
        if sum(map(bool, pieces)) == 1:  # the first page
            credentials = (app.client_id, app.secret or "")
            assert (await smart.http.post("/oauth/revoke", data={"token": token}, auth=credentials)).status_code == 200

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "server": ("server.test", 80),
        "client": ("192.0.2.1", 1),
        "path": "/fhir/Patient",
        "raw_path": b"/fhir/Patient",
        "root_path": "",
        "query_string": b"_format=ndjson",
        "headers": [(b"host", b"server.test"), (b"authorization", f"Bearer {token}".encode())],
    }
    await smart.app(scope, receive, send)  # type: ignore[arg-type]
    lines = [json.loads(line) for line in b"".join(pieces).splitlines()]
    assert [line["resourceType"] for line in lines] == ["Patient"] * _FIRST_PAGE + ["OperationOutcome"]
    assert lines[-1]["issue"][0]["code"] == "login"


async def test_what_is_included_is_within_the_scopes(smart: SmartServer) -> None:
    """A type that the token may not read is in no line, whether it is included or asked for."""
    app = await smart.add_client("system/*.cruds", secret=True, redirect_uris=[])
    everything, some = [smart.fhir(await _token(app, f"system/{scope}")) for scope in ("*.cruds", "Flag.rs")]
    patient = (await everything.post("Patient", json={"resourceType": "Patient"})).json()
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "a"}}
    flag["subject"] = {"reference": f"Patient/{patient['id']}"}
    assert (await everything.post("Flag", json=flag)).status_code == 201
    lines = (await everything.get("Flag?_include=Flag:subject", headers=LINES)).text.splitlines()
    assert [json.loads(line)["resourceType"] for line in lines] == ["Flag", "Patient"]
    answer = await some.get("Flag?_include=Flag:subject", headers=LINES)
    assert answer.status_code == 403 or "Patient" not in [
        json.loads(line)["resourceType"] for line in answer.text.splitlines()
    ]
    assert (await some.get("Patient", headers=LINES)).status_code == 403
    assert (await smart.fhir("none").get("Flag", headers=LINES)).status_code == 401
