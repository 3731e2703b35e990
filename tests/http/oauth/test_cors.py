"""Pages of other origins: one rule for FHIR, the hospital's endpoints and the authorization server."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.settings import Settings, SettingsError, settings_with
from fhir_server.store.database.mongo import Database
from tests.smart_server import SmartServer, smart_server

APP, OTHER = "https://app.test", "https://evil.test"
ENDPOINTS = ("/fhir/Patient/1", "/fhir", "/fhir/metadata", "/oauth/token", "/oauth/userinfo", "/oauth/jwks", "/clinics")
PAGES = ("/oauth/authorize", "/oauth/login", "/oauth/consent", "/oauth/apps", "/oauth/patient", "/oauth/logout")


def _asking(origin: str, method: str = "PUT", headers: str = "authorization") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


async def test_other_origins_may_ask_and_see_what_they_need(smart: SmartServer) -> None:
    """Checklist 11: preflights, exposed headers, errors too; and never credentials, with a cookie neither."""
    token = await smart.system_token("system/*.cruds")
    for path in ENDPOINTS:
        preflight = await smart.http.options(path, headers=_asking(APP))
        assert preflight.status_code in (200, 204), path
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert "PUT" in preflight.headers["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in preflight.headers
    for bearer, method, path, body in (
        (token, "POST", "/fhir/Patient", {"resourceType": "Patient"}),
        (token, "GET", "/fhir/Patient/none", None),
        (None, "GET", "/fhir/Patient", None),
        (None, "GET", "/fhir/metadata", None),
        (None, "POST", "/oauth/token", None),
        (None, "GET", "/oauth/userinfo", None),
        (None, "GET", "/user/profile", None),
        (None, "GET", "/fhir/.well-known/smart-configuration", None),
    ):
        headers = {"Origin": APP, "Cookie": "fhir_session=x"}
        headers |= {"Authorization": f"Bearer {bearer}"} if bearer else {}
        answer = await smart.http.request(method, path, json=body, headers=headers)
        assert answer.headers.get_list("access-control-allow-origin") == ["*"], path
        assert "access-control-allow-credentials" not in answer.headers
        exposed = answer.headers["access-control-expose-headers"]
        expected = ("Location", "ETag", "Last-Modified", "WWW-Authenticate", "Retry-After", "Content-Disposition")
        assert all(name in exposed for name in expected)


async def test_a_preflight_allows_the_headers_that_are_asked_for(smart: SmartServer) -> None:
    """An app's own headers, such as those of tracing, do not stop it; what is no list of names is not repeated."""
    for path in ENDPOINTS:
        allowed = (await smart.http.options(path, headers=_asking(APP, headers="authorization, x-trace-id"))).headers
        assert allowed["access-control-allow-headers"] == "authorization, x-trace-id"
        for wrong in ("a b", "<script>", "x" * 3000, ""):
            allowed = (await smart.http.options(path, headers=_asking(APP, headers=wrong))).headers
            assert allowed["access-control-allow-headers"].startswith("Authorization, ")
        unsaid = {"Origin": APP, "Access-Control-Request-Method": "GET"}
        assert (
            "Idempotency-Key"
            in (await smart.http.options(path, headers=unsaid)).headers["access-control-allow-headers"]
        )


async def test_pages_for_people_are_nothing_for_scripts(smart: SmartServer) -> None:
    """Where a session's cookie counts no other origin is let in at all."""
    for path in PAGES:
        answer = await smart.http.get(path, headers={"Origin": APP})
        assert not [name for name in answer.headers if name.startswith("access-control-")], path
        preflight = await smart.http.options(path, headers=_asking(APP, "POST"))
        assert preflight.status_code in (404, 405)
        assert not [name for name in preflight.headers if name.startswith("access-control-")]


async def test_only_the_origins_of_the_setting_may_ask(mongod_url: str, database: Database, tmp_path: Path) -> None:
    """`cors_origins` holds everywhere alike; caches are told that answers differ, and credentials never count."""
    form = {"cors_origins": f"{APP}, http://localhost:3000"}
    async with smart_server(mongod_url, database.name, tmp_path, **form) as server:
        for path in ENDPOINTS:
            allowed = await server.http.options(path, headers=_asking(APP))
            assert allowed.headers["access-control-allow-origin"] == APP
            refused = await server.http.options(path, headers=_asking(OTHER))
            assert "access-control-allow-origin" not in refused.headers
            for origin, reported in ((APP, APP), (OTHER, None), ("https://app.test.evil.test", None), ("null", None)):
                answer = await server.http.get(path, headers={"Origin": origin})
                assert answer.headers.get("access-control-allow-origin") == reported
                assert "access-control-allow-credentials" not in answer.headers
                assert "Origin" in answer.headers["vary"]
            assert "Origin" in (await server.http.get(path)).headers["vary"]


async def test_no_origin_may_ask_where_the_setting_says_none(
    mongod_url: str, database: Database, tmp_path: Path
) -> None:
    """`none` turns it off, and the CapabilityStatement says so."""
    async with smart_server(mongod_url, database.name, tmp_path, cors_origins="none") as server:
        for path in ENDPOINTS:
            assert "access-control-allow-origin" not in (await server.http.options(path, headers=_asking(APP))).headers
            answer = await server.http.get(path, headers={"Origin": APP})
            assert "access-control-allow-origin" not in answer.headers
        assert (await server.http.get("/fhir/metadata")).json()["rest"][0]["security"]["cors"] is False


@pytest.mark.parametrize(
    "text",
    ["", "app.test", "https://app.test/", "https://app.test/x", "*,https://app.test", "https://*.app.test", "null"],
)
def test_what_is_no_origin_is_refused_at_the_start(text: str) -> None:
    """A setting that would silently match nothing, or everything, is told."""
    with pytest.raises(SettingsError, match="cors_origins"):
        settings_with(cors_origins=text)


def test_origins_of_apps_with_a_scheme_of_their_own_can_be_named() -> None:
    """Apps in a web view have origins such as capacitor://localhost."""
    settings = Settings(cors_origins="capacitor://localhost, http://[::1]:3000")
    assert settings.allowed_origins == ("capacitor://localhost", "http://[::1]:3000")
