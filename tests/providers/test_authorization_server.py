"""An outside authorization server: discovery and the CapabilityStatement tell its endpoints; this one's can be off."""

from __future__ import annotations

from pathlib import Path

from tests.identity_provider import IdentityProvider
from tests.providers.test_tokens import TOKENS
from tests.smart_server import SmartServer, smart_server


async def _extension(smart: SmartServer) -> dict[str, str]:
    statement = (await smart.http.get("/fhir/metadata")).json()
    extensions = statement["rest"][0]["security"].get("extension", [])
    return {each["url"]: each["valueUri"] for extension in extensions for each in extension["extension"]}


async def test_discovery_tells_the_outside_one(
    mongod_url: str, database_name: str, tmp_path: Path, idp: IdentityProvider
) -> None:
    """Its endpoints, keys and grants, with what it can do of SMART."""
    idp.metadata = {"grant_types_supported": ["authorization_code", "client_credentials"]}
    async with smart_server(mongod_url, database_name, tmp_path) as first:
        await idp.added_to(first, tokens=TOKENS | {"capabilities": ["launch-standalone", "client-public"]})
    settings = {"authorization_server": "idp", "services": "fhir"}
    async with smart_server(mongod_url, database_name, tmp_path, **settings) as smart:
        told = (await smart.http.get("/fhir/.well-known/smart-configuration")).json()
        assert told["issuer"] == idp.issuer
        assert told["authorization_endpoint"] == idp.url("authorize")
        assert told["token_endpoint"] == idp.url("token")
        assert told["grant_types_supported"] == ["authorization_code", "client_credentials"]
        assert told["code_challenge_methods_supported"] == ["S256"]
        assert told["capabilities"] == ["launch-standalone", "client-public"]
        assert await _extension(smart) == {
            "authorize": idp.url("authorize"),
            "token": idp.url("token"),
            "introspect": idp.url("introspect"),
        }
        assert (await smart.http.get("/fhir/.well-known/openid-configuration")).status_code == 404
        assert (await smart.http.get("/oauth/authorize")).status_code == 404


async def test_while_it_is_away_nothing_is_told_in_its_place(
    mongod_url: str, database_name: str, tmp_path: Path, idp: IdentityProvider
) -> None:
    """No app is led to this server's own endpoints by mistake; the statement names them when it answers again."""
    async with smart_server(mongod_url, database_name, tmp_path) as first:
        await idp.added_to(first, tokens=TOKENS)
    idp.silent = True
    async with smart_server(mongod_url, database_name, tmp_path, authorization_server="idp") as smart:
        assert (await smart.http.get("/fhir/.well-known/smart-configuration")).status_code == 503
        assert await _extension(smart) == {}
        idp.silent = False
        smart.app.state.oauth.providers.party.discovery._kept.clear()
        assert (await smart.http.get("/fhir/.well-known/smart-configuration")).status_code == 200
        assert (await _extension(smart))["token"] == idp.url("token")
