"""A compressed body is undone in linear time, and refused when it is more than a body can be."""

from __future__ import annotations

import gzip
import zlib

import httpx
import pytest
import zstandard

from fhir_server.errors import FhirError
from fhir_server.work.content_encoding import decompress

LARGE = 64 * 1024 * 1024


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_body_of_a_million_members_is_refused(coding: str) -> None:
    """Each member costs a decoder, so a body has at most a thousand."""
    empty = gzip.compress(b"") if coding == "gzip" else zstandard.compress(b"")
    with pytest.raises(FhirError) as refused:
        decompress(empty * 50_000, coding, limit=LARGE)
    assert refused.value.issues[0].code == "too-costly"
    assert decompress(empty * 999, coding, limit=LARGE) == b""


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd", "gzip, gzip", "zstd, deflate"])
def test_what_grows_a_hundredfold_is_refused(coding: str) -> None:
    """A small body stands for no large one, however it was compressed; the refusal says which limit it is."""
    body = b" " * (8 * 1024 * 1024)
    for one in coding.split(", "):
        body = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}[one](body)
    with pytest.raises(FhirError, match="100 times") as refused:
        decompress(body, coding, limit=LARGE)
    assert refused.value.status == 413


def test_more_codings_than_anybody_needs_are_refused() -> None:
    """Codings are undone one after the other, so their number has a limit."""
    with pytest.raises(FhirError):
        decompress(b"", "gzip," * 10_000, limit=LARGE)


def test_members_and_padding_are_one_body() -> None:
    """What tools write is read: members behind each other, padded with zeros."""
    body = b"".join(gzip.compress(bytes([65 + at]) * 70_000) for at in range(5)) + b"\0" * 512
    assert decompress(body, "gzip", limit=LARGE) == b"".join(bytes([65 + at]) * 70_000 for at in range(5))
    with pytest.raises(FhirError):
        decompress(body[:-600], "gzip", limit=LARGE)


@pytest.mark.parametrize("coding", ["br", "compress", "x"])
async def test_a_coding_that_is_not_taken_is_named(client: httpx.AsyncClient, coding: str) -> None:
    """415 tells which codings are."""
    answer = await client.post("Patient", content=b"{}", headers={"Content-Encoding": coding})
    assert answer.status_code == 415
    assert "gzip" in answer.json()["issue"][0]["diagnostics"]
