"""Ranges of bytes: RFC 9110, section 14."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.http.content.byte_range import OutsideContentError, byte_range

_CONTENT = b"0123456789"


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=5-", b"56789"),
        ("bytes=-3", b"789"),
        ("bytes=-20", _CONTENT),
        ("bytes=8-99", b"89"),
        ("BYTES=1-2", b"12"),
        (" bytes=1-2 ", b"12"),
        ("bytes=0000-" + "9" * 5000, _CONTENT),
        ("bytes=-" + "9" * 5000, _CONTENT),
    ],
)
def test_one_range_gives_its_part(header: str, part: bytes) -> None:
    """Both ends are included, a missing one is the content's end, and a suffix counts from there."""
    found = byte_range(header, len(_CONTENT))
    assert found is not None
    assert found.of(_CONTENT) == part


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes=-", "bytes=5-2", "bytes=0-1,3-4", "bytes=a-b", "bytes=1 - 2", "lines=1-2", "bytes=\u0661-"],
)
def test_what_is_not_one_range_asks_for_the_whole(header: str | None) -> None:
    """A Range that is malformed, of another unit or of several parts is passed over, as the RFC allows."""
    assert byte_range(header, len(_CONTENT)) is None


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0", "bytes=" + "9" * 5000 + "-"])
def test_a_range_outside_is_told_the_size(header: str) -> None:
    """No byte of it is there: 416, with the size."""
    with pytest.raises(OutsideContentError) as caught:
        byte_range(header, len(_CONTENT))
    assert caught.value.content_range == "bytes */10"


def test_an_empty_content_has_no_ranges() -> None:
    """Its first byte is outside; its last bytes are the whole, which is empty."""
    with pytest.raises(OutsideContentError):
        byte_range("bytes=0-", 0)
    assert byte_range("bytes=-5", 0) is None


@settings(deadline=None)
@given(content=st.binary(min_size=1, max_size=40), first=st.integers(0, 50), length=st.integers(1, 50))
def test_a_range_is_a_slice(content: bytes, first: int, length: int) -> None:
    """What is sent is the content's slice, and Content-Range says where it is."""
    if first >= len(content):
        with pytest.raises(OutsideContentError):
            byte_range(f"bytes={first}-{first + length - 1}", len(content))
        return
    found = byte_range(f"bytes={first}-{first + length - 1}", len(content))
    assert found is not None
    part = found.of(content)
    assert part == content[first : first + length]
    assert found.content_range == f"bytes {first}-{first + len(part) - 1}/{len(content)}"
