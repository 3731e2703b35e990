"""The methods of the facade's paths: HEAD where GET is, and all of them in Allow."""

from __future__ import annotations

import asyncio

import pytest

from tests.facade_server import Hospital


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/user/profile", "DELETE, GET, HEAD, PUT"),
        ("/user/family", "GET, HEAD, POST"),
        ("/booking/appointments/1", "DELETE, PUT"),
        ("/booking/clinics", "GET, HEAD"),
        ("/history/documents", "GET, HEAD, POST"),
    ],
)
async def test_every_method_of_a_path_is_told(hospital: Hospital, path: str, methods: str) -> None:
    """A method that a path does not take is 405, with all that it takes in Allow."""
    response = await hospital.http.request("PATCH", path)
    assert (response.status_code, response.headers["allow"]) == (405, methods)
    assert response.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/health/live", "GET, HEAD"),
        ("/health/ready", "GET, HEAD"),
        ("/", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
        ("/docs/swagger-ui.css", "GET, HEAD"),
        ("/fhir/.well-known/smart-configuration", "GET, HEAD"),
        ("/.well-known/openid-configuration/fhir", "GET, HEAD"),
        ("/oauth/authorize", "GET, HEAD, POST"),
        ("/oauth/login", "GET, HEAD, POST"),
        ("/oauth/token", "POST"),
        ("/oauth/userinfo", "GET, HEAD, POST"),
        ("/oauth/style.css", "GET, HEAD"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_every_other_door_tells_its_methods(hospital: Hospital, path: str, methods: str, method: str) -> None:
    """A path that there is answers 405 and never 404, whoever it belongs to."""
    response = await hospital.http.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, methods)


@pytest.mark.parametrize("path", ["/booking/clinics", "/booking/specialties", "/user/profile", "/notifications/stream"])
async def test_head_is_get_without_a_body(hospital: Hospital, path: str) -> None:
    """HEAD has the status and the headers of GET, also where it is refused, or where GET is a stream without end."""
    mara = await hospital.sign_up("mara")
    head = await asyncio.wait_for(mara.send("HEAD", path), 10)
    assert (head.status_code, head.content) == (200, b"")
    if path != "/notifications/stream":
        assert head.headers["content-type"] == (await mara.send("GET", path)).headers["content-type"]
    assert (await hospital.http.head("/user/profile")).status_code == 401
