"""Ranges of bytes: RFC 9110, section 14."""

from __future__ import annotations

from email import message_from_bytes
from email.message import Message
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.http.content.byte_range import ByteRange, OutsideContentError, byte_ranges, partial_content
from fhir_server.store.resources.contents import HeldContent

_CONTENT = b"0123456789"


def _part(content: bytes, place: ByteRange) -> bytes:
    return content[place.first : place.last + 1]


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
    assert [_part(_CONTENT, each) for each in byte_ranges(header, len(_CONTENT))] == [part]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=5-2",
        "bytes=a-b",
        "bytes=1 - 2",
        "bytes=0-1,5-2",
        "bytes=0-1,x",
        "bytes=0-1, bytes=3-4",
        "lines=1-2",
        "bytes=\u0661-",
        "bytes=" + ",".join(["0-0"] * 51),
        "bytes=" + "0-0," * 20_000,
    ],
)
def test_what_is_no_set_of_ranges_asks_for_the_whole(header: str | None) -> None:
    """A Range that is malformed, of another unit or of very many parts is passed over, as the RFC allows."""
    assert byte_ranges(header, len(_CONTENT)) == ()


@pytest.mark.parametrize(
    ("header", "parts"),
    [
        ("bytes=0-1,3-4", [b"01", b"34"]),
        ("bytes=0-1 , ,\t3-4,", [b"01", b"34"]),
        ("bytes=0-1,2-3", [b"01", b"23"]),
        ("bytes=7-,0-1", [b"789", b"01"]),
        ("bytes=0-0,-1", [b"0", b"9"]),
        ("bytes=0-5,3-7", [b"01234567"]),
        ("bytes=6-7,0-2,1-3,9-", [b"67", b"0123", b"9"]),
        ("bytes=" + ",".join(["0-"] * 50), [_CONTENT]),
        ("bytes=0-1,50-60", [b"01"]),
        ("bytes=50-60,-0,9-99", [b"9"]),
    ],
)
def test_several_ranges_give_their_parts(header: str, parts: list[bytes]) -> None:
    """In the order that is asked for, without those outside of the content; what overlaps is sent once."""
    assert [_part(_CONTENT, each) for each in byte_ranges(header, len(_CONTENT))] == parts


async def test_several_parts_are_one_multipart_body() -> None:
    """Each with its type and place, between boundaries that the media type names."""
    reported, body = await partial_content(HeldContent(_CONTENT), byte_ranges("bytes=0-1,-2", 10), "text/plain")
    assert list(reported) == ["Content-Type"]
    message = message_from_bytes(f"Content-Type: {reported['Content-Type']}\r\n\r\n".encode() + body)
    assert message.get_content_type() == "multipart/byteranges"
    parts = cast("list[Message]", message.get_payload())
    assert [(each["Content-Range"], each.get_content_type(), each.get_payload(decode=True)) for each in parts] == [
        ("bytes 0-1/10", "text/plain", b"01"),
        ("bytes 8-9/10", "text/plain", b"89"),
    ]


@settings(deadline=None)
@given(
    content=st.binary(min_size=1, max_size=30),
    bounds=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted), min_size=1, max_size=8),
)
def test_parts_are_what_is_asked_for_and_each_byte_once(content: bytes, bounds: list[list[int]]) -> None:
    """Whatever ranges are asked for, the parts hold just their bytes."""
    expected = {at for first, last in bounds for at in range(first, last + 1) if at < len(content)}
    header = "bytes=" + ",".join(f"{first}-{last}" for first, last in bounds)
    if not expected:
        with pytest.raises(OutsideContentError):
            byte_ranges(header, len(content))
        return
    sent = [at for each in byte_ranges(header, len(content)) for at in range(each.first, each.last + 1)]
    assert sorted(sent) == sorted(expected)


@pytest.mark.parametrize(
    "header", ["bytes=10-", "bytes=99-100", "bytes=-0", "bytes=" + "9" * 5000 + "-", "bytes=10-,-0"]
)
def test_a_range_outside_is_told_the_size(header: str) -> None:
    """No byte of it is there: 416, with the size."""
    with pytest.raises(OutsideContentError) as caught:
        byte_ranges(header, len(_CONTENT))
    assert caught.value.content_range == "bytes */10"


def test_an_empty_content_has_no_ranges() -> None:
    """Its first byte is outside; its last bytes are the whole, which is empty."""
    with pytest.raises(OutsideContentError):
        byte_ranges("bytes=0-", 0)
    assert byte_ranges("bytes=-5", 0) == ()
    assert byte_ranges("bytes=0-,-5", 0) == ()


@settings(deadline=None)
@given(content=st.binary(min_size=1, max_size=40), first=st.integers(0, 50), length=st.integers(1, 50))
def test_a_range_is_a_slice(content: bytes, first: int, length: int) -> None:
    """What is sent is the content's slice, and Content-Range says where it is."""
    if first >= len(content):
        with pytest.raises(OutsideContentError):
            byte_ranges(f"bytes={first}-{first + length - 1}", len(content))
        return
    [result] = byte_ranges(f"bytes={first}-{first + length - 1}", len(content))
    part = _part(content, result)
    assert part == content[first : first + length]
    assert result.content_range == f"bytes {first}-{first + len(part) - 1}/{len(content)}"
