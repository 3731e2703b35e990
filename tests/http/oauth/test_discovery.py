"""What apps and browsers find before they have a token: discovery, keys, CORS, and the challenge."""

from __future__ import annotations

import httpx
import pytest

from fhir_server.auth.permission.scopes import parse_scopes
from tests.smart_server import BASE, ORIGIN, SmartServer


async def test_the_smart_configuration_says_what_the_server_does(smart: SmartServer) -> None:
    """Checklist 1: JSON without a token whatever Accept asks; every member there, absolute, and of the right type."""
    answer = await smart.http.get("/fhir/.well-known/smart-configuration", headers={"Accept": "application/fhir+xml"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    for name, value in body.items():
        if name.endswith(("_endpoint", "_uri", "issuer")):
            assert value.startswith(ORIGIN), name
    assert body["authorization_endpoint"] == f"{ORIGIN}/oauth/authorize"
    assert body["code_challenge_methods_supported"] == ["S256"]
    assert {"authorization_code", "refresh_token", "client_credentials"} == set(body["grant_types_supported"])
    assert {"RS384", "ES384"} == set(body["token_endpoint_auth_signing_alg_values_supported"])
    assert "private_key_jwt" in body["token_endpoint_auth_methods_supported"]
    assert {"launch-standalone", "launch-ehr", "sso-openid-connect", "permission-v1", "permission-v2"} <= set(
        body["capabilities"]
    )
    assert "?" not in body["authorization_endpoint"]


async def test_every_scope_that_is_advertised_is_one(smart: SmartServer) -> None:
    """Checklist 1: each entry of scopes_supported is understood, and one is granular."""
    scopes = (await smart.http.get("/fhir/.well-known/smart-configuration")).json()["scopes_supported"]
    assert all(str(parse_scopes(scope)) == scope for scope in scopes)
    assert any("?category=" in scope for scope in scopes)


WELL_KNOWN = (
    "/fhir/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server/fhir",
    "/.well-known/openid-configuration/fhir",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
)


async def test_one_issuer_is_told_everywhere(smart: SmartServer) -> None:
    """The issuer is the FHIR base: its own document, those by RFC 8414's paths, and SMART's say the same of it."""
    own = (await smart.http.get(f"{BASE}/.well-known/openid-configuration")).json()
    assert own["issuer"] == BASE
    for path in WELL_KNOWN:
        answer = await smart.http.get(path)
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.json() == own
    smart_configuration = (await smart.http.get("/fhir/.well-known/smart-configuration")).json()
    assert smart_configuration["issuer"] == BASE
    for result in (own, smart_configuration):
        assert result["authorization_response_iss_parameter_supported"] is True


@pytest.mark.parametrize("path", ["other", "fhir/x", "fhi", "%66hir%2f..", "fhir%00"])
async def test_nothing_is_told_of_an_issuer_that_there_is_not(smart: SmartServer, path: str) -> None:
    """RFC 8414: a well-known path of another issuer is 404 and JSON."""
    answer = await smart.http.get(f"/.well-known/oauth-authorization-server/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"] == "not_found"


async def test_openid_discovery_and_keys(smart: SmartServer) -> None:
    """Checklist 1: the issuer's document names RS256, and its JWKS has public RSA keys and nothing private."""
    answer = (await smart.http.get("/fhir/.well-known/openid-configuration")).json()
    assert answer["id_token_signing_alg_values_supported"] == ["RS256"]
    assert {"response_types_supported", "subject_types_supported", "token_endpoint"} <= answer.keys()
    keys = (await smart.http.get(answer["jwks_uri"])).json()["keys"]
    assert [key["kty"] for key in keys] == ["RSA"]
    assert not {"d", "p", "q", "k"} & set(keys[0])


async def test_the_capability_statement_names_the_same_endpoints(smart: SmartServer) -> None:
    """Checklist 1: rest.security has SMART-on-FHIR and the oauth-uris, all six equal to those of the configuration."""
    answer = (await smart.http.get("/fhir/.well-known/smart-configuration")).json()
    security = (await smart.http.get("/fhir/metadata")).json()["rest"][0]["security"]
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    assert security["extension"][0]["url"].endswith("/oauth-uris")
    stated = {one["url"]: one["valueUri"] for one in security["extension"][0]["extension"]}
    assert stated == {
        "authorize": answer["authorization_endpoint"],
        "token": answer["token_endpoint"],
        "introspect": answer["introspection_endpoint"],
        "revoke": answer["revocation_endpoint"],
        "manage": answer["management_endpoint"],
        "register": answer["registration_endpoint"],
    }


async def test_the_style_can_be_fetched_without_a_token(smart: SmartServer) -> None:
    """Checklist 3: smart_style_url answers 200 and JSON."""
    answer = await smart.http.get("/oauth/style.json")
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json()["color_background"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/fhir/Patient"), ("GET", "/fhir/Patient/1"), ("HEAD", "/fhir/Patient/1"), ("POST", "/fhir/Patient"),
        ("PUT", "/fhir/Patient/1"), ("DELETE", "/fhir/Patient/1"), ("POST", "/fhir"), ("GET", "/fhir"),
        ("GET", "/fhir/_history"), ("GET", "/fhir/Patient/1/$everything"), ("GET", "/fhir/Patient/1/_history/1"),
        ("POST", "/fhir/Patient/_search"), ("PATCH", "/fhir/Patient/1"), ("GET", "/fhir/Binary/1"),
    ],
)  # fmt: skip
async def test_nothing_but_discovery_answers_without_a_token(smart: SmartServer, method: str, path: str) -> None:
    """Checklist 10: 401 with exactly one WWW-Authenticate, a Bearer challenge with a realm, and an OperationOutcome."""
    answer = await smart.http.request(method, path, content=b"{}" if method in ("POST", "PUT") else None)
    assert answer.status_code == 401
    assert answer.headers.get_list("www-authenticate") == ['Bearer realm="fhir"']
    if method != "HEAD":
        assert answer.json()["resourceType"] == "OperationOutcome"


async def test_a_token_counts_in_the_authorization_header_only(smart: SmartServer) -> None:
    """Attack 15: a token in the query, a form, a cookie, or as Basic password is none."""
    token = await smart.system_token("system/*.rs")
    assert (await smart.fhir(token).get("Patient")).status_code == 200
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for answer in (
        await smart.http.get(f"/fhir/Patient?access_token={token}"),
        await smart.http.post("/fhir/Patient/_search", content=f"access_token={token}", headers=form),
        await smart.http.get("/fhir/Patient", headers={"Cookie": f"access_token={token}; fhir_session={token}"}),
        await smart.http.get("/fhir/Patient", auth=httpx.BasicAuth("x", token)),
    ):
        assert answer.status_code == 401
        assert len(answer.headers.get_list("www-authenticate")) == 1


async def test_a_forged_host_changes_no_link(smart: SmartServer) -> None:
    """Trap 51: URLs come from the settings, not from Host or X-Forwarded-Host."""
    forged = {"Host": "evil.test", "X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "https"}
    for path in ("/fhir/.well-known/smart-configuration", "/fhir/metadata", "/.well-known/openid-configuration"):
        answer = await smart.http.get(path, headers=forged)
        assert "evil.test" not in answer.text
        assert BASE.rpartition("/")[0] in answer.text
