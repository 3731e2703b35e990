"""GET /metadata."""

from __future__ import annotations

import httpx
import pytest

from fhir_server.engine.interactions.capabilities import capability_statement


@pytest.mark.parametrize("query", ["", "?mode=full", "?mode=normative", "?_format=json"])
async def test_metadata_is_the_statement_of_this_base(client: httpx.AsyncClient, query: str) -> None:
    """/metadata answers with the derived statement, naming the base URL."""
    answer = await client.get(f"metadata{query}")
    assert answer.status_code == 200
    assert answer.json() == capability_statement("http://server.test/fhir")


async def test_metadata_in_xml(client: httpx.AsyncClient) -> None:
    """The statement is there in XML too."""
    answer = await client.get("metadata", headers={"Accept": "application/fhir+xml"})
    assert answer.status_code == 200
    assert b'<CapabilityStatement xmlns="http://hl7.org/fhir">' in answer.content


@pytest.mark.parametrize("query", ["mode=nonsense", "mode=full&mode=terminology"])
async def test_a_mode_that_is_not_there_is_refused(client: httpx.AsyncClient, query: str) -> None:
    """An unknown mode, or two, answers 400 with an OperationOutcome."""
    answer = await client.get(f"metadata?{query}")
    assert answer.status_code == 400
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_metadata_is_read_only(client: httpx.AsyncClient) -> None:
    """Nothing but GET and HEAD is allowed on /metadata."""
    answer = await client.post("metadata", json={})
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert (await client.head("metadata")).status_code == 200


async def test_metadata_is_sent_again_only_when_it_changed(client: httpx.AsyncClient) -> None:
    """Its ETag answers a conditional read by 304."""
    tag = (await client.get("metadata")).headers["ETag"]
    again = await client.get("metadata", headers={"If-None-Match": tag})
    assert again.status_code == 304
    assert again.headers["ETag"] == tag
    assert again.content == b""
    assert (await client.get("metadata", headers={"If-None-Match": 'W/"other"'})).status_code == 200


async def test_metadata_can_be_asked_for_in_parts(client: httpx.AsyncClient) -> None:
    """_elements leaves the rest of a long statement out, and the tag says so."""
    statement = (await client.get("metadata?_elements=software")).json()
    assert "software" in statement
    assert "rest" not in statement
    assert statement["meta"]["tag"][0]["code"] == "SUBSETTED"
