"""Fixtures: the whole server with authorization, in process; its users and clients; a browser that fills in forms."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import httpx
import pytest
from starlette.applications import Starlette

from fhir_server.auth.tokens.secrets import fingerprint, new_secret
from fhir_server.cli import accounts
from fhir_server.server.app import create_app
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database

ORIGIN = "http://server.test"
BASE = f"{ORIGIN}/fhir"
REDIRECT = "https://app.test/callback"
PASSWORD = "correct horse"
ALL_USER_SCOPES = (
    "openid fhirUser launch launch/patient launch/encounter offline_access online_access patient/*.cruds user/*.cruds"
)


@dataclass(slots=True)
class Form:
    """A form of a page: where it leads, its fields, and its buttons by name."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        by_name = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(by_name.get("action", ""), by_name.get("method", "get").lower()))
        elif tag == "input" and self.forms and "name" in by_name:
            self.forms[-1].types[by_name["name"]] = by_name.get("type", "text")
            ticked = by_name.get("type") not in ("checkbox", "radio") or "checked" in by_name
            if ticked:
                self.forms[-1].fields.append((by_name["name"], by_name.get("value", "")))
        elif tag == "button" and self.forms and "name" in by_name:
            self.forms[-1].buttons[by_name["name"]] = by_name.get("value", "")


def forms_of(page: httpx.Response) -> list[Form]:
    """Return the forms of a page."""
    parser = _Forms()
    parser.feed(page.text)
    return parser.forms


class Browser:
    """A browser without scripts: it keeps cookies, follows redirects on this server, and submits forms."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def get(self, url: str) -> httpx.Response:
        """Open a page; a redirect that leaves the server is returned, not followed."""
        return await self._followed(await self.http.get(url))

    async def submit(
        self,
        page: httpx.Response,
        action: str,
        *,
        button: str | None = None,
        drop: Iterable[str] = (),
        **values: str,
    ) -> httpx.Response:
        """Submit the form of that action: `values` replace fields, values in `drop` are unticked."""
        form = next(form for form in forms_of(page) if form.action.startswith(action))
        pairs = [(name, value) for name, value in form.fields if name not in values and value not in set(drop)]
        pairs += values.items()
        if button is not None:
            pairs.append((button, form.buttons[button]))
        url = urljoin(str(page.url), form.action)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}
        if form.method == "get":
            return await self.get(f"{url}?{urlencode(pairs)}")
        return await self._followed(await self.http.post(url, content=urlencode(pairs), headers=headers))

    async def sign_in(self, page: httpx.Response, username: str, password: str = PASSWORD) -> httpx.Response:
        """Fill in the sign-in page."""
        return await self.submit(page, "/oauth/login", username=username, password=password)

    async def _followed(self, answer: httpx.Response) -> httpx.Response:
        while answer.is_redirect and urljoin(str(answer.url), answer.headers["location"]).startswith(ORIGIN):
            answer = await self.http.get(urljoin(str(answer.url), answer.headers["location"]))
        return answer


@dataclass(slots=True)
class App:
    """An app of the tests: how it asks for a user's permission, and gets its tokens."""

    http: httpx.AsyncClient
    client_id: str
    secret: str | None = None
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def authorize_url(self, scope: str, /, **parameters: str | None) -> str:
        """Return the URL at which a launch begins; None leaves a parameter out."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        form: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT,
            "scope": scope,
            "state": "st&te =1",
            "aud": BASE,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **parameters,
        }
        return "/oauth/authorize?" + urlencode({name: value for name, value in form.items() if value is not None})

    async def token(self, **parameters: str | None) -> httpx.Response:
        """Ask the token endpoint; the client says who it is unless told otherwise."""
        rows: dict[str, str | None] = dict(parameters)
        headers = {}
        if self.secret is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
        else:
            rows = {"client_id": self.client_id, **rows}
        return await self.http.post(
            "/oauth/token", data={name: value for name, value in rows.items() if value is not None}, headers=headers
        )

    async def exchange(self, code: str, **parameters: str | None) -> httpx.Response:
        """Exchange a code."""
        form: dict[str, str | None] = {"redirect_uri": REDIRECT, "code_verifier": self.verifier, **parameters}
        return await self.token(grant_type="authorization_code", code=code, **form)

    async def refresh(self, refresh_token: str, **parameters: str | None) -> httpx.Response:
        """Refresh."""
        return await self.token(grant_type="refresh_token", refresh_token=refresh_token, **parameters)


def answered(response: httpx.Response) -> dict[str, str]:
    """Return the parameters with which the browser was led back to the app."""
    assert response.status_code == 303, response.text
    location = response.headers["location"]
    assert location.startswith(REDIRECT + "?")
    return dict(parse_qsl(urlsplit(location).query))


@dataclass(slots=True)
class SmartServer:
    """The server under test, with what its operator would do by command."""

    app: Starlette
    http: httpx.AsyncClient

    @property
    def store(self) -> Any:
        return self.app.state.oauth.store

    @property
    def services(self) -> Any:
        return self.app.state.services

    async def age_refresh_tokens(self, seconds: float) -> None:
        """Make every use of a refresh token so far lie further back."""
        tokens = self.services.database.collection("oauth_tokens")
        earlier = {"$dateSubtract": {"startDate": "$rotated", "unit": "millisecond", "amount": int(seconds * 1000)}}
        await tokens.update_many({"rotated": {"$type": "date"}}, [{"$set": {"rotated": earlier}}])

    def browser(self) -> Browser:
        """Return a new browser, with no cookies."""
        return Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url=ORIGIN))

    async def add_user(self, username: str, role: str, fhir_user: str | None = None) -> dict[str, Any]:
        """Add a user whose password is PASSWORD."""
        work = accounts.add_user(username, PASSWORD, role, fhir_user, create_patient=False)  # type: ignore[arg-type]
        return await work(self.services, self.store)

    async def add_client(self, scope: str = ALL_USER_SCOPES, *, secret: bool = False, **overrides: Any) -> App:
        """Register an app."""
        options: dict[str, Any] = {"redirect_uris": [REDIRECT], "jwks": None, "jwks_uri": None, "launch_url": None}
        work = accounts.add_client(overrides.pop("name", "An app"), scope, secret=secret, **{**options, **overrides})
        made = await work(self.services, self.store)
        return App(self.http, made["client_id"], made.get("client_secret"))

    async def system_token(self, scope: str) -> str:
        """Return an access token of a service with those scopes."""
        service = await self.add_client(scope, secret=True, redirect_uris=[])
        answer = await service.token(grant_type="client_credentials", scope=scope)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def launch(self, app: App, username: str, scope: str, **parameters: str | None) -> dict[str, Any]:
        """Return the token response of a standalone launch in which the user allows everything."""
        browser = self.browser()
        page = await browser.get(app.authorize_url(scope, **parameters))
        page = await browser.sign_in(page, username)
        back = await browser.submit(page, "/oauth/consent", button="approve")
        answer = await app.exchange(answered(back)["code"])
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def token_for(self, username: str, scope: str) -> str:
        """Return an access token of a user for the scopes."""
        app = await self.add_client(f"{ALL_USER_SCOPES} {scope}")
        return str((await self.launch(app, username, scope))["access_token"])

    def fhir(self, token: str | None = None) -> httpx.AsyncClient:
        """Return a client whose base is the FHIR base, with that token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(app=self.app)
        return httpx.AsyncClient(transport=transport, base_url=BASE + "/", headers=headers)


def stored_secret() -> tuple[str, str]:
    """Return a secret and what is stored of it."""
    secret = new_secret()
    return secret, fingerprint(secret)


@pytest.fixture
async def smart(database: Database, mongod_url: str, tmp_path: Path) -> AsyncIterator[SmartServer]:
    """Yield the server with authorization on, on a database of its own."""
    async with smart_server(mongod_url, database.name, tmp_path) as server:
        yield server


@asynccontextmanager
async def smart_server(url: str, name: str, data_dir: Path, **settings_given: Any) -> AsyncIterator[SmartServer]:
    """Give a server with authorization on a database; several on one are the workers of one server."""
    settings = Settings(
        base_url=BASE,
        database_url=url,
        database_name=name,
        data_dir=data_dir,
        # What staff sees of patients is another test's.
        **{"dynamic_registration": True, "staff_sees": "all", **settings_given},
        publish_definitions=False,  # they are another test's
        log_level="critical",
    )
    app = create_app(settings)
    transport = httpx.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        yield SmartServer(app, http)
