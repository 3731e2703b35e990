"""A real Keycloak, started for a test with a realm of its own and an empty database in memory."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.needs import need
from tests.smart.over_http import free_port
from tools.fetch_test_data import FOLDER, KEYCLOAK_HOME

REALM = Path(__file__).parent / "providers" / "realm.json"
_ADMIN = {"KC_BOOTSTRAP_ADMIN_USERNAME": "admin", "KC_BOOTSTRAP_ADMIN_PASSWORD": "admin"}
_STARTS_WITHIN = 270
"""Keycloak starts within ten seconds on a quiet machine; beyond this the run gives the test up."""


class Keycloak:
    """A running Keycloak; `issuer` is its realm of the hospital."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.issuer = f"{origin}/realms/hospital"

    async def _admin(self) -> httpx.AsyncClient:
        form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": "admin"}
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{self.origin}/realms/master/protocol/openid-connect/token", data=form)
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return httpx.AsyncClient(base_url=f"{self.origin}/admin/realms/hospital/", headers=headers, timeout=60)

    async def make_realm(self, text: str) -> None:
        """Have Keycloak make a realm of its JSON."""
        async with await self._admin() as http:
            answer = await http.post(f"{self.origin}/admin/realms", json=json.loads(text))
            assert answer.status_code == 201, answer.text
        await self._allow("loader", "system/*.cruds")

    async def _allow(self, client_id: str, scope: str) -> None:
        """Have a client's tokens carry a scope that is no scope of Keycloak's own."""
        attributes = {"include.in.token.scope": "true"}
        made = {"name": scope, "protocol": "openid-connect", "attributes": attributes}
        await self.manage("POST", "client-scopes", made)
        scopes = {each["name"]: each["id"] for each in await self.manage("GET", "client-scopes")}
        client = (await self.manage("GET", f"clients?clientId={client_id}"))[0]["id"]
        await self.manage("PUT", f"clients/{client}/default-client-scopes/{scopes[scope]}")

    async def manage(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the administration of the realm; return what it answers."""
        async with await self._admin() as http:
            answer = await http.request(method, path, json=body)
            assert answer.status_code < 300, answer.text
            return answer.json() if answer.content else None

    async def user(self, username: str) -> str:
        """Return the id of a user."""
        users = await self.manage("GET", f"users?exact=true&username={username}")
        return str(users[0]["id"])

    async def leave(self, username: str, group: str) -> None:
        """Take a user out of a group."""
        groups = await self.manage("GET", f"groups?exact=true&search={group}")
        await self.manage("DELETE", f"users/{await self.user(username)}/groups/{groups[0]['id']}")

    async def rotate_keys(self) -> None:
        """Sign with a new key from now on."""
        key = {
            "name": "newer",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": ["200"]},
        }
        await self.manage("POST", "components", key)

    async def machine_token(self) -> str:
        """Return an access token of the client that loads data."""
        form = {"grant_type": "client_credentials", "client_id": "loader", "client_secret": "s3cret of the loader"}
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{self.issuer}/protocol/openid-connect/token", data=form)
        return str(answer.json()["access_token"])


@asynccontextmanager
async def keycloak(directory: Path, origin: str) -> AsyncIterator[Keycloak]:
    """Run Keycloak meanwhile, with a realm for the server at that origin."""
    need(shutil.which("java"), "openjdk-17-jre-headless")
    home = FOLDER / KEYCLOAK_HOME
    need(home.exists(), "maven (make test-data then fetches Keycloak)")
    port = free_port()
    output = (directory / "keycloak.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        *(str(home / "bin" / "kc.sh"), "start", "--optimized", "--hostname-strict=false", "--http-enabled=true"),
        *(f"--http-port={port}", "--http-host=127.0.0.1", "--cache=local"),
        env=os.environ | _ADMIN | {"JAVA_OPTS_APPEND": "-Xmx400m -XX:TieredStopAtLevel=1"},
        stdout=output,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        running = Keycloak(f"http://127.0.0.1:{port}")
        await _ready(running, process, directory / "keycloak.log")
        await running.make_realm(REALM.read_text().replace("ORIGIN", origin).replace("BASE", f"{origin}/fhir"))
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        output.close()


async def _ready(running: Keycloak, process: asyncio.subprocess.Process, log: Path) -> None:
    async with httpx.AsyncClient() as http, asyncio.timeout(_STARTS_WITHIN):
        while True:
            assert process.returncode is None, log.read_text()[-4000:]
            try:
                if (await http.get(f"{running.origin}/realms/master")).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.5)
