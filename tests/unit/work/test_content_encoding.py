"""Compressed request bodies."""

from __future__ import annotations

import gzip
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import BadRequest, TooLarge, UnsupportedMediaType
from fhir_server.work.content_encoding import decompress

_LIMIT = 100_000


def _raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return coder.compress(data) + coder.flush()


_CODINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@given(data=st.binary(max_size=2000), coding=st.sampled_from(sorted(_CODINGS)))
def test_a_coded_body_comes_back(data: bytes, coding: str) -> None:
    """What a client compressed is what the server reads."""
    assert decompress(_CODINGS[coding](data), coding, limit=_LIMIT) == data


def test_deflate_may_be_the_bare_stream() -> None:
    """A deflate body without the zlib header is understood too."""
    assert decompress(_raw_deflate(b"{}" * 50), "deflate", limit=_LIMIT) == b"{}" * 50


@pytest.mark.parametrize("coding", ["", None, "identity"])
def test_a_plain_body_is_left_alone(coding: str | None) -> None:
    """Without a coding the body is what was sent."""
    assert decompress(b"abc", coding, limit=_LIMIT) == b"abc"


def test_codings_are_undone_in_reverse() -> None:
    """The coding that was applied last is undone first."""
    body = zstandard.ZstdCompressor().compress(gzip.compress(b"abc"))
    assert decompress(body, "gzip, zstd", limit=_LIMIT) == b"abc"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_several_members_are_one_body(coding: str) -> None:
    """Members or frames that follow each other are joined."""
    assert decompress(_CODINGS[coding](b"ab") + _CODINGS[coding](b"cd"), coding, limit=_LIMIT) == b"abcd"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_bomb_is_too_large(coding: str) -> None:
    """A small body that unpacks past the limit is refused, and one that just fits is not."""
    assert len(decompress(_CODINGS[coding](b"0" * _LIMIT), coding, limit=_LIMIT)) == _LIMIT
    with pytest.raises(TooLarge):
        decompress(_CODINGS[coding](b"0" * (_LIMIT + 1)), coding, limit=_LIMIT)


def test_a_plain_body_past_the_limit_is_too_large() -> None:
    """The limit holds for uncompressed bodies as well."""
    with pytest.raises(TooLarge):
        decompress(b"0" * 11, None, limit=10)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_broken_data_is_a_bad_request(coding: str) -> None:
    """Data cut off or not of the named coding is the caller's fault."""
    whole = _CODINGS[coding](bytes(range(256)) * 20)
    for body in (whole[:-5], whole[: len(whole) // 2], b"not compressed at all"):
        with pytest.raises(BadRequest):
            decompress(body, coding, limit=_LIMIT)


def test_an_unknown_coding_is_unsupported() -> None:
    """A coding that the server does not have is refused, with the list of those that it has."""
    with pytest.raises(UnsupportedMediaType) as caught:
        decompress(b"", "br", limit=_LIMIT)
    assert caught.value.headers["Accept-Encoding"] == "gzip, zstd, deflate"
