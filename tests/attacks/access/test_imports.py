"""A bulk import stores what its caller may write, in the caller's name, and fetches only where the operator allows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest

from tests.attacks.access.test_exports import ASYNC, client_of, manifest_at, service
from tests.smart_server import SmartServer


def asked(*urls: str, kind: str = "") -> dict[str, Any]:
    named = [{"name": "type", "valueCode": kind}] if kind else []
    parts = [[*named, {"name": "url", "valueUrl": url}] for url in urls]
    return {"resourceType": "Parameters", "parameter": [{"name": "input", "part": part} for part in parts]}


async def uploaded(client: httpx.AsyncClient, *lines: dict[str, Any]) -> str:
    content = "\n".join(map(json.dumps, lines))
    answer = await client.post("Binary", content=content, headers={"Content-Type": "application/fhir+ndjson"})
    assert answer.status_code == 201, answer.text
    return f"Binary/{answer.headers['location'].split('/')[-3]}"


async def reported(client: httpx.AsyncClient, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    answer = await client.post("$import", json=body, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    status = answer.headers["content-location"]
    return status, await manifest_at(client, status)


async def refusals(client: httpx.AsyncClient, report: dict[str, Any]) -> list[dict[str, Any]]:
    texts = [(await client.get(file["url"])).text for file in report["error"]]
    return [json.loads(line)["issue"][0] for text in texts for line in text.splitlines()]


LINES: list[dict[str, Any]] = [
    {"resourceType": "Patient", "id": "new"},
    {"resourceType": "Group", "id": "new", "type": "person", "actual": True},
]


async def test_lines_are_stored_by_the_scopes(smart: SmartServer) -> None:
    """A line of another type is refused as the write itself would be."""
    client = await client_of(smart, await service(smart, "system/*.cruds"), "system/*.cruds")
    url = await uploaded(client, *LINES)
    scope = "system/Patient.cud system/Binary.r"
    narrow = await client_of(smart, await service(smart, scope), scope)
    _, report = await reported(narrow, asked(url))
    assert [(each["type"], each["count"]) for each in report["output"]] == [("Patient", 1)]
    assert [issue["code"] for issue in await refusals(narrow, report)] == ["forbidden"]
    assert (await client.get("Group/new")).status_code == 404
    assert (await narrow.post("$import", json=asked(url, kind="Group"), headers=ASYNC)).status_code == 403


async def test_a_binary_that_the_caller_may_not_read_is_none(smart: SmartServer) -> None:
    """As if it did not exist."""
    client = await client_of(smart, await service(smart, "system/*.cruds"), "system/*.cruds")
    url = await uploaded(client, *LINES)
    blind = await client_of(smart, await service(smart, "system/Patient.cud"), "system/Patient.cud")
    reasons = []
    for named in (url, "Binary/absent"):
        _, report = await reported(blind, asked(named))
        assert report["output"] == []
        reasons += [issue["diagnostics"] for issue in await refusals(blind, report)]
    assert reasons[0] == reasons[1]


@pytest.mark.parametrize(
    ("role", "user", "scope"),
    [
        ("patient", "Patient/a", "patient/*.cruds"),
        ("practitioner", "Practitioner/d", "user/*.cruds"),
        ("admin", "Practitioner/d", "user/*.rs"),
    ],
)
async def test_only_services_and_operators_import(smart: SmartServer, role: str, user: str, scope: str) -> None:
    """The server would fetch in the name of whoever asks."""
    async with smart.fhir(await smart.system_token("system/*.cruds")) as system:
        for name in (user, "Patient/a"):
            kind, _, resource_id = name.partition("/")
            await system.put(name, json={"resourceType": kind, "id": resource_id})
    await smart.add_user("somebody", role, user)
    client = smart.fhir(await smart.token_for("somebody", scope))
    assert (await client.post("$import", json=asked("Binary/a"), headers=ASYNC)).status_code == 403
    assert (await smart.fhir().post("$import", json=asked("Binary/a"), headers=ASYNC)).status_code == 401


async def test_nobody_sees_or_ends_the_import_of_another_client(smart: SmartServer) -> None:
    """Its status, its refusals, and its end are the client's own."""
    own = await client_of(smart, await service(smart, "system/*.cruds"), "system/*.cruds")
    other = await client_of(smart, await service(smart, "system/*.cruds"), "system/*.cruds")
    status, report = await reported(own, asked(await uploaded(own, {"resourceType": "Canary"})))
    for url in (status, report["error"][0]["url"]):
        assert (await other.get(url)).status_code == 404
        assert (await smart.fhir().get(url)).status_code == 401
    assert (await other.delete(status)).status_code == 404
    for name in ("0-0-1", "0-1-0", "0-0-0-0", "1-0-0", "0--1-0", "x", "0-00000000000-0"):
        assert (await own.get(f"{status}/{name}.ndjson")).status_code == 404
    assert (await own.get(report["error"][0]["url"])).status_code == 200


async def test_a_revoked_client_stores_nothing_more(smart: SmartServer) -> None:
    """What was taken before ends with the right to it."""
    app = await service(smart, "system/*.cruds")
    client = await client_of(smart, app, "system/*.cruds")
    url = await uploaded(client, *LINES)
    await smart.store.grants.revoke_client(app.client_id)
    stores = smart.services.stores.bulk_imports
    assert (await client.post("$import", json=asked(url), headers=ASYNC)).status_code == 401
    assert await stores.unfinished() == []


async def test_every_stored_line_is_in_the_trail(smart: SmartServer) -> None:
    """In the name of the client that asked."""
    app = await service(smart, "system/*.cruds")
    client = await client_of(smart, app, "system/*.cruds")
    await reported(client, asked(await uploaded(client, *LINES)))
    async with smart.fhir(await smart.system_token("system/AuditEvent.rs")) as auditor:
        trail = (await auditor.get("AuditEvent?_count=200")).json()["entry"]
    told = [json.dumps(entry["resource"]) for entry in trail]
    assert any("Patient/new" in text and "Group/new" in text and app.client_id in text for text in told)
    assert any("$import" in text for text in told)


@pytest.fixture
def redirecting() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(307)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.mark.parametrize("internal", [True, False])
async def test_an_allowed_source_leads_nowhere_else(smart: SmartServer, redirecting: str, internal: bool) -> None:
    """It redirects to an internal address; or lies at one itself, where the setting does not allow that."""
    settings = smart.services.settings
    for name, value in (("import_sources", redirecting), ("allow_internal_urls", internal)):
        object.__setattr__(settings, name, value)
    client = await client_of(smart, await service(smart, "system/*.cruds"), "system/*.cruds")
    _, report = await reported(client, asked(f"{redirecting}x"))
    (issue,) = await refusals(client, report)
    assert ("it answers 307" if internal else "only https is fetched") in issue["diagnostics"]
