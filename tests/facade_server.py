"""Fixtures: the whole server in process, and the patient app as its users hold it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from fhir_server.engine.context import Context, Request
from fhir_server.engine.engine import handle
from fhir_server.r4 import values
from fhir_server.server.app import create_app
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database

ORIGIN = "http://server.test"
PASSWORD = "korrekt horse 42 staple"


@dataclass(slots=True)
class AppUser:
    """The app in the hands of one user, signed in or not."""

    http: httpx.AsyncClient
    session: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id of the user's Patient."""
        return str(self.session["user"]["id"])

    async def ask(self, method: str, path: str, body: Any = None, *, status: int | None = 200, **more: Any) -> Any:
        """Return the JSON of the answer, which must have that status."""
        response = await self.send(method, path, body, **more)
        assert status is None or response.status_code == status, f"{response.status_code} {response.text}"
        return response.json() if response.content else None

    async def send(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Return the response."""
        headers = dict(more.pop("headers", {}))
        if "access_token" in self.session:
            headers.setdefault("Authorization", f"Bearer {self.session['access_token']}")
        return await self.http.request(method, path, json=body, headers=headers, **more)

    async def refused(self, code: str, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        """Return the problem that the answer must be, by its code."""
        response = await self.send(method, path, body, **more)
        assert response.headers["content-type"] == "application/problem+json", response.text
        problem: dict[str, Any] = response.json()
        assert (problem["code"], problem["status"]) == (code, response.status_code), problem
        return problem


@dataclass(slots=True)
class Hospital:
    """The server under test, its FHIR side as an EHR vendor with all rights, and its app."""

    app: Starlette
    http: httpx.AsyncClient

    @property
    def services(self) -> Any:
        return self.app.state.services

    async def fhir(self, method: str, path: str, resource: Any = None) -> dict[str, Any]:
        """Return what a FHIR interaction with all rights answers."""
        url, _, query = path.partition("?")
        pairs = [tuple(pair.split("=", 1)) for pair in query.split("&")] if query else []
        body = None if resource is None else values.decode(values.encode(resource))
        request = Request(method, url, pairs, body)  # type: ignore[arg-type]
        answer = await handle(Context(self.services, f"{ORIGIN}/fhir"), request)
        result: dict[str, Any] = values.decode(answer.json) if answer.json else {}
        return result

    async def put(self, *resources: dict[str, Any]) -> None:
        """Store resources under their ids."""
        for resource in resources:
            await self.fhir("PUT", f"{resource['resourceType']}/{resource['id']}", resource)

    def visitor(self) -> AppUser:
        """Return the app without a user."""
        return AppUser(self.http)

    async def sign_up(self, name: str = "mara", **overrides: Any) -> AppUser:
        """Return the app in the hands of a new user."""
        user = AppUser(self.http)
        number = sum(ord(letter) * 31**place for place, letter in enumerate(name)) % 10000
        body = {
            "first_name": name.capitalize(),
            "last_name": "Lindqvist",
            "email": f"{name}@example.org",
            "phone": f"+1207555{number:04d}",
            "password": PASSWORD,
            **overrides,
        }
        user.session = await user.ask("POST", "/user/signup", body, status=201)
        return user


@pytest.fixture
async def hospital(database: Database, mongod_url: str, tmp_path: Path) -> AsyncIterator[Hospital]:
    """Yield the server on a database of its own."""
    async with opened(mongod_url, database.name, tmp_path) as made:
        yield made


@asynccontextmanager
async def opened(mongod_url: str, database_name: str, data_dir: Path, **overrides: Any) -> AsyncIterator[Hospital]:
    """Give the server on a database, with further settings."""
    settings = Settings(
        base_url=f"{ORIGIN}/fhir",
        database_url=mongod_url,
        database_name=database_name,
        data_dir=data_dir,
        publish_definitions=False,  # they are another test's
        log_level="critical",
        **overrides,
    )
    app = create_app(settings)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ORIGIN)
    async with app.router.lifespan_context(app), http:
        yield Hospital(app, http)
